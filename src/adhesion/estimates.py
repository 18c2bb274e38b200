"""CPU time of a calculation, estimated from its size before it runs."""

from __future__ import annotations

from typing import Any

from adhesion.planning import Plan

# Fitted to the binding curves in results/ (22 to 63 atoms, one core), which it meets within a
# factor of 2: seconds per SCF iteration ~ k-points x (volume x cutoff^1.5) x bands^1.6.
_SECONDS_PER_UNIT = 1.9e-7
_START_SECONDS = 1.5
_OWN_GRID_A = 0.2  # GPAW's choice at 450 eV
_VALENCE = {"H": 1, "C": 4, "N": 5, "O": 6, "Na": 7, "Si": 4, "P": 5, "S": 6, "Zr": 12, "Pb": 14}
_ITERATIONS = {"plain": 14, "soft": 40, "softer": 160}  # in units of a plain one
_STEPS = 10


def cpu_seconds(plan: Plan, role: str) -> float | None:
    """Estimate the CPU time of one calculation, s; None where the calculator has no estimate."""
    settings = plan.recipes[role].calculator
    if settings.get("name") != "gpaw":
        return 0.0 if not settings else None
    if role.startswith("bulk_"):
        side = plan.film if role == "bulk_film" else plan.substrate
        assert side is not None
        structure = side.material.structure
        symbols = [site.specie.symbol for site in structure]
        one = _iteration(settings, symbols, float(structure.volume), symmetry=10.0)
        return 5 * (_START_SECONDS + 12 * one)
    sides = {n: _side_symbols(plan, n) for n in ("film", "substrate")}
    area = float(plan.summary["area_A2"])
    both = sides["film"] + sides["substrate"]
    height = 2.2 * len(both) * 16.0 / area / 2 + plan.level.vacuum_A
    iterations = _ITERATIONS[plan.settings.get("scf", "plain")]
    if role == "curve":
        alone = sum(_iteration(settings, s, area * height) for s in sides.values())
        points = plan.level.n_gaps * plan.level.n_registries + 1
        return iterations * (
            alone + (0.4 + 0.6 * points) * _iteration(settings, both, area * height)
        )
    if role == "interface":
        return iterations * (0.5 * _STEPS + 2) * _iteration(settings, both, area * height)
    side_symbols = sides[role.removesuffix("_slab")]
    return 0.5 * _STEPS * iterations * _iteration(settings, side_symbols, area * height)


def _side_symbols(plan: Plan, name: str) -> list[str]:
    if plan.ready_made is not None:
        film, substrate, _ = plan.ready_made
        return list((film if name == "film" else substrate).symbols)
    side = plan.film if name == "film" else plan.substrate
    assert side is not None
    assert plan.match is not None
    return list(side.slab(getattr(plan.match, f"{name}_transformation")).get_chemical_symbols())


def _iteration(
    settings: dict[str, Any], symbols: list[str], volume_A3: float, symmetry: float = 1.0
) -> float:
    """Seconds of one SCF iteration over all k-points."""
    variants = settings["setups"]
    electrons = sum(1 if variants.get(s) == "1" else _VALENCE.get(s, 8) for s in symbols)
    mesh = settings["kpoints"]
    n_k = max(1.0, float(mesh[0] * mesh[1] * mesh[2]) / 2 / symmetry)
    complex_numbers = 1.0 if n_k <= 1 and max(mesh) == 1 else 2.0
    waves = volume_A3 * float(settings["ecut_eV"]) ** 1.5 / 1000
    if settings["grid_A"] is not None:
        waves *= (_OWN_GRID_A / settings["grid_A"]) ** 3 * (450 / settings["ecut_eV"]) ** 1.5
    bands = electrons / 2 + 4
    return float(_SECONDS_PER_UNIT * complex_numbers * n_k * waves * bands**1.6)
