"""What each calculation asks of the queue: the machine's words and the plan's estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adhesion.calculators.launched import matched_ranks, shares_kpoints
from adhesion.estimates import cpu_seconds, kpoints
from adhesion.study import Machine, Resources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adhesion.planning import Plan

SHORTEST_SECONDS = 1800
"""Walltime below which asking for less gains nothing: starting Python alone may take a minute."""
MPI_EFFICIENCY = 0.6


@dataclass(frozen=True)
class Request:
    """One queue job.

    Attributes
    ----------
    label : str
        For people.
    ranks : int
        MPI ranks of GPAW; 1 for anything else.
    resources : Resources
        With the walltime that the estimate asks for.
    """

    label: str
    ranks: int
    resources: Resources


def requests(plans: Iterable[Plan], machine: Machine) -> dict[str, Request]:
    """Return what each calculation of the plans asks for, by its hash."""
    found: dict[str, Request] = {}
    for plan in plans:
        for role, recipe in plan.recipes.items():
            if recipe.hash not in found:
                found[recipe.hash] = request(plan, role, machine)
    return found


def label_of(plan: Plan, role: str) -> str:
    """Return the name of a calculation for people, as 'Na(001)/Pb(001) curve' or 'Pb bulk'."""
    side = {"bulk_film": plan.film, "bulk_substrate": plan.substrate}.get(role)
    return f"{side.material.name} bulk" if side else f"{plan.spec.label} {role.replace('_', ' ')}"


def request(plan: Plan, role: str, machine: Machine) -> Request:
    """Return what one calculation asks for."""
    recipe, label = plan.recipes[role], label_of(plan, role)
    resources = machine.resources(recipe.kind)
    gpaw = recipe.calculator.get("name") == "gpaw"
    ranks = 1
    if gpaw:
        cores, points = resources.cores or 1, kpoints(plan, role)
        ranks = matched_ranks(cores, points, shared=shares_kpoints()) if cores > 1 else 1
        resources = resources.model_copy(update={"cores": ranks})
    estimate = cpu_seconds(plan, role)
    longest = resources.run_time_max
    if estimate is None:
        return Request(label, ranks, resources)
    speed = 1.0 if ranks == 1 else MPI_EFFICIENCY * ranks
    wanted = max(SHORTEST_SECONDS, round(machine.walltime_factor * estimate / speed))
    walltime = wanted if longest is None else min(wanted, longest)
    return Request(label, ranks, resources.model_copy(update={"run_time_max": walltime}))


def default_request(machine: Machine, label: str) -> Request:
    """Return what a job of no plan asks for: one core and the machine's walltime."""
    return Request(label, 1, machine.resource_dict)
