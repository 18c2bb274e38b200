"""Convergence ladders, for people and for programs."""

from __future__ import annotations

from typing import Any

from adhesion.convergence import Ladder, shown


def ladder_data(ladder: Ladder) -> dict[str, Any]:
    """Return a ladder as plain data: values, W and steps of each parameter, J/m2."""
    return {
        "interface": ladder.interface,
        "level": ladder.level,
        "W_curve_J_m2": ladder.W_J_m2,
        "tolerance_J_m2": ladder.tolerance_J_m2,
        "parameters": {
            parameter: {
                "level_value": foot,
                "converged": ladder.converged(parameter),
                "error_J_m2": ladder.error_J_m2(parameter),
                "rungs": [
                    {"value": r.value, "W_J_m2": r.W_J_m2, "step_J_m2": r.step_J_m2, "hash": r.hash}
                    for r in ladder.of(parameter)
                ],
            }
            for parameter, foot in ladder.foot.items()
        },
    }


def ladder_text(ladder: Ladder) -> str:
    """Return a ladder as a table: one block for each parameter, W in J/m2."""
    lines = [
        f"{ladder.interface} at {ladder.level}: W_curve {ladder.W_J_m2:.3f} J/m2",
        f"  {'parameter':18}{'value':>12}{'W J/m2':>10}{'step':>9}",
    ]
    for parameter, foot in ladder.foot.items():
        name = parameter.replace("_", " ")
        lines.append(f"  {name:18}{shown(parameter, foot):>12}{ladder.W_J_m2:10.3f}")
        lines += [
            f"  {'':18}{shown(parameter, r.value):>12}{r.W_J_m2:10.3f}{r.step_J_m2:+9.3f}"
            for r in ladder.of(parameter)
        ]
        lines.append(f"  {'':18}{_verdict(ladder, parameter)}")
    return "\n".join(lines)


def _verdict(ladder: Ladder, parameter: Any) -> str:
    error, good = ladder.error_J_m2(parameter), ladder.converged(parameter)
    if error is None:
        return "no rung computed"
    state = "converged" if good else "not converged"
    return f"error {error:.3f}, {state} to {ladder.tolerance_J_m2:g}"
