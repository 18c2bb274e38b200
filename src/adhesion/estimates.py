"""CPU time of a calculation, estimated from its size before it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor

from adhesion.calculators.size import Size, size_of
from adhesion.interfaces import contact_gap, stack
from adhesion.planning import Plan

SECONDS = {
    "plain": (1.0e-6, 0.2, 0.2),
    "soft": (1.0e-6, 0.4, 0.4),
    "softer": (1.0e-6, 0.5, 0.5),
}
"""Seconds of an SCF iteration by scheme: for each point of the grid, for 10^9 operations of the
transforms and 10^9 of the products of `Size`. Fitted by benchmarks/scaling.py on one core."""
ITERATIONS = {"plain": 20, "soft": 18, "softer": 60}
"""Of an SCF from scratch; one that starts from the geometry before takes half."""
IONIC_STEPS = 12
VOLUMES = 6
"""Of an equation of state."""


def cpu_seconds(plan: Plan, role: str) -> float | None:
    """Estimate the CPU time of one calculation, s; None where the calculator has no estimate."""
    settings = plan.recipes[role].calculator
    if settings.get("name") != "gpaw":
        return 0.0 if not settings else None
    scheme = plan.settings["scf"]
    if role.startswith("bulk_"):
        one = scf_seconds(settings, _bulk(plan, role), plan.bulk_settings[role[5:]]["scf"])
        return VOLUMES * one
    low, high, both = _cells(plan)
    if role == "curve":
        points = plan.level.n_gaps * plan.level.n_registries + 1
        alone = sum(scf_seconds(settings, side, scheme) for side in (low, high))
        return alone + points * scf_seconds(settings, both, scheme)
    steps = 1 + IONIC_STEPS / 2
    if role == "interface":
        frozen = sum(scf_seconds(settings, side, scheme) for side in (low, high))
        return steps * scf_seconds(settings, both, scheme) + frozen
    side = high if role == "film_slab" else low
    starts = plan.recipes[role].parameters.get("starts", 1)
    return float(starts * steps * scf_seconds(settings, side, "plain"))


def scf_seconds(settings: dict[str, Any], atoms: Atoms, scheme: str) -> float:
    """Estimate one SCF from scratch, s."""
    return ITERATIONS[scheme] * iteration_seconds(size_of(settings, atoms), scheme)


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
