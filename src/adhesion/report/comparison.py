"""Two runs side by side: levels, functionals or machines, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adhesion.report.layout import DASH, Column, Table, as_text, fixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adhesion.schemas import AdhesionRow

QUANTITIES = {
    "W_curve_J_m2": "W_curve",
    "W_ad_J_m2": "W_ad",
    "W_rigid_J_m2": "W_rigid",
    "W_ad_D3_J_m2": "W_D3",
}
DIFFERING = ("calculator", "functional", "level", "area_A2", "film_layers", "substrate_layers",
             "termination")  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One side of a comparison.

    Attributes
    ----------
    name : str
        As it was asked for.
    rows : list of AdhesionRow
        One for each interface.
    settings : mapping
        Interface to resolved settings of its calculator; empty where only a table was read.
    """

    name: str
    rows: list[AdhesionRow]
    settings: Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """One kind of W of one interface in both runs, J/m2.

    Attributes
    ----------
    interface, quantity : str
    first, second : float or None
        None where a run has no such number.
    tolerance_J_m2 : float
    """

    interface: str
    quantity: str
    first: float | None
    second: float | None
    tolerance_J_m2: float

    @property
    def step_J_m2(self) -> float | None:
        """Second less first; None where one is missing."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first

    @property
    def good(self) -> bool | None:
        """Whether both agree within the tolerance; None where one is missing."""
        step = self.step_J_m2
        return None if step is None else abs(step) <= self.tolerance_J_m2 + 1e-12


def compare_runs(first: Run, second: Run, tolerance_J_m2: float) -> list[Difference]:
    """Compare every W that at least one of two runs has, interface by interface.

    Parameters
    ----------
    first, second : Run
    tolerance_J_m2 : float
        Largest difference of W that counts as the same, J/m2.

    Returns
    -------
    list of Difference
        In the order of the first run; interfaces that only the second has come last.
    """
    sides = [{row.interface: row for row in run.rows} for run in (first, second)]
    return [
        Difference(name, label, *values, tolerance_J_m2)
        for name in dict.fromkeys([*sides[0], *sides[1]])
        for field, label in QUANTITIES.items()
        if (values := _pair(sides, name, field)) != (None, None)
    ]


def _pair(
    sides: list[dict[str, AdhesionRow]], name: str, field: str
) -> tuple[float | None, float | None]:
    found = [getattr(side[name], field) if name in side else None for side in sides]
    return found[0], found[1]


def comparison_text(first: Run, second: Run, lines: list[Difference]) -> str:
    """Return the comparison as a table, with what differs in the settings below it."""
    columns = [
        Column("interface", "", [line.interface for line in lines], numeric=False),
        Column("quantity", "", [line.quantity for line in lines], numeric=False),
        Column("A", "", [fixed(line.first, 3) for line in lines]),
        Column("B", "", [fixed(line.second, 3) for line in lines]),
        Column("B - A", "", [_step(line) for line in lines]),
        Column("agree", "", [_verdict(line) for line in lines], numeric=False),
    ]
    tolerance = f"{lines[0].tolerance_J_m2:g}" if lines else ""
    notes = [f"A: {first.name}.", f"B: {second.name}.", *_settings(first, second)]
    notes += [note for run in (first, second) for note in _not_done(run)]
    if not lines:
        return "\n".join([*notes, "Neither run holds a work of adhesion.", ""])
    return as_text(Table("", f"W in J/m2, tolerance {tolerance}", columns, notes))


def comparison_data(first: Run, second: Run, lines: list[Difference]) -> dict[str, Any]:
    """Return the comparison as plain data."""
    return {
        "A": first.name,
        "B": second.name,
        "differences": [
            {
                "interface": line.interface,
                "quantity": line.quantity,
                "A_J_m2": line.first,
                "B_J_m2": line.second,
                "step_J_m2": line.step_J_m2,
                "tolerance_J_m2": line.tolerance_J_m2,
                "agree": line.good,
            }
            for line in lines
        ],
        "settings": list(_settings(first, second)),
    }


def _step(line: Difference) -> str:
    step = line.step_J_m2
    return DASH if step is None else f"{round(step, 3) + 0.0:+.3f}"


def _verdict(line: Difference) -> str:
    return {True: "ok", False: "NO", None: "missing"}[line.good]


def _settings(first: Run, second: Run) -> Iterator[str]:
    """Say what differs besides W, each difference once with its interfaces."""
    said: dict[str, list[str]] = {}
    others = {row.interface: row for row in second.rows}
    for row in first.rows:
        other = others.get(row.interface)
        if other is None:
            continue
        found = [
            f"{field}: {_shown(getattr(row, field))} and {_shown(getattr(other, field))}"
            for field in DIFFERING
            if _shown(getattr(row, field)) != _shown(getattr(other, field))
        ]
        a, b = (run.settings.get(row.interface, {}) for run in (first, second))
        if a and b:
            found += [
                f"{key}: {a.get(key, 'none')} and {b.get(key, 'none')}"
                for key in dict.fromkeys([*a, *b])
                if key not in ("name", "functional") and a.get(key) != b.get(key)
            ]
        for words in found:
            said.setdefault(words, []).append(row.interface)
    everywhere = sum(1 for row in first.rows if row.interface in others)
    for words, names in said.items():
        whose = "" if len(names) == everywhere else f" ({', '.join(names)})"
        yield f"Differs: {words}{whose}."


def _shown(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _not_done(run: Run) -> Iterator[str]:
    for row in run.rows:
        if row.status != "done":
            yield f"{run.name}: {row.interface} is {row.status}: {row.reason or 'no reason given'}."
