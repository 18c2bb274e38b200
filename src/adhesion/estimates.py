"""CPU time of a calculation, estimated from its size before it runs."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor

from adhesion.calculators.size import Size, size_of
from adhesion.interfaces import contact_gap, stack
from adhesion.planning import Plan

SECONDS = {
    "plain": (7.0e-6, 8.5, 4.9),
    "soft": (3.9e-6, 9.3, 23.0),
    "softer": (3.9e-6, 11.6, 28.8),  # five Davidson steps instead of four, not measured
}
"""Seconds of an SCF iteration by scheme: for each point of the grid, for 10^9 operations of the
transforms and 10^9 of the products of `Size`. Fitted by benchmarks/scaling.py on one core."""
ITERATIONS = {"plain": 20, "soft": 20, "softer": 60}
"""Of an SCF of an interface from scratch, its start counted in."""
ITERATIONS_ALONE = 12
"""Of one side, or of a crystal."""
IONIC_STEPS = {"metal": 5, "layered": 10, "compound": 12}
"""Of a slab, by its kind. Each starts from the density of the one before, which saves half of its
iterations."""
INTERFACE_STEPS = {"metal": 30, "layered": 10, "compound": 30}
"""Of an interface, by its substrate. The lowest layers of the film slide a long way (31 steps for
Na/Pb, 11 for Na/C); none on a compound was relaxed to its end: Na/NZSP needs more than 8."""
VOLUMES = 6
"""Of an equation of state."""


def cpu_seconds(plan: Plan, role: str) -> float | None:
    """Estimate the CPU time of one calculation, s; None where the calculator has no estimate."""
    settings = plan.recipes[role].calculator
    if settings.get("name") != "gpaw":
        return 0.0 if not settings else None
    scheme = plan.settings["scf"]
    if role.startswith("bulk_"):
        size = size_of(settings, _bulk(plan, role))
        return VOLUMES * ITERATIONS_ALONE * iteration_seconds(size, "plain")
    low, high, both = (size_of(settings, atoms) for atoms in _cells(plan))
    alone = ITERATIONS_ALONE * sum(iteration_seconds(side, scheme) for side in (low, high))
    together = ITERATIONS[scheme] * iteration_seconds(both, scheme)
    if role == "curve":
        registries = min(plan.level.n_registries, len(plan.shifts))
        return alone + (plan.level.n_gaps * registries + 1) * together
    if role == "interface":
        return (1 + INTERFACE_STEPS[_kind(plan, "substrate")] / 2) * together + alone
    name = role.removesuffix("_slab")
    starts = plan.recipes[role].parameters.get("starts", 1)
    scf = ITERATIONS_ALONE * iteration_seconds(high if name == "film" else low, "plain")
    return float(starts * (1 + IONIC_STEPS[_kind(plan, name)] / 2) * scf)


def kpoints(plan: Plan, role: str) -> int:
    """Count the irreducible k-points of a calculation with GPAW."""
    settings = plan.recipes[role].calculator
    if role.startswith("bulk_"):
        return size_of(settings, _bulk(plan, role)).kpoints
    low, high, both = _cells(plan)
    atoms = {"film_slab": high, "substrate_slab": low}.get(role, both)
    return size_of(settings, atoms).kpoints


def _kind(plan: Plan, name: str) -> str:
    side = plan.film if name == "film" else plan.substrate
    return "compound" if side is None else side.material.kind


def iteration_seconds(size: Size, scheme: str) -> float:
    """Estimate one SCF iteration, s."""
    terms = (size.grid, size.transforms, size.products)
    return float(np.dot(SECONDS[scheme], terms))


def _bulk(plan: Plan, role: str) -> Atoms:
    side = plan.film if role == "bulk_film" else plan.substrate
    assert side is not None
    return AseAtomsAdaptor.get_atoms(side.material.structure, msonable=False)


def _cells(plan: Plan) -> tuple[Atoms, Atoms, Atoms]:
    """Substrate, film and both, in the cell of the interface."""
    if plan.ready_made is not None:
        film, substrate, gap_A = plan.ready_made
        low, high = substrate.to_ase(), film.to_ase()
    else:
        low, high = plan.pairings[plan.spec.candidate - 1].slabs
        gap_A = contact_gap(low, high, (0.0, 0.0))
    extent_A = float(np.ptp(low.positions[:, 2]) + np.ptp(high.positions[:, 2]))
    height_A = extent_A + max(gap_A, 2.0) + plan.level.vacuum_A
    both = stack(low, high, gap_A=gap_A, height_A=height_A)
    return both.substrate_atoms(), both.film_atoms(), both.atoms
