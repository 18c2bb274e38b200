"""What each calculation asks of the queue: the machine's words and the plan's estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adhesion.estimates import cpu_seconds, kpoints
from adhesion.study import Machine, Resources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adhesion.planning import Plan

SHORTEST_SECONDS = 1800
"""Walltime below which asking for less gains nothing: starting Python alone may take a minute."""
MPI_EFFICIENCY = 0.6
GROUP_EFFICIENCY = 0.7
"""Exponent of the speed with the ranks that share one k-point; a rough figure, which only has
to tell sharing k-points from sharing plane waves."""


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
    ranks = matched_ranks(resources.cores or 1, kpoints(plan, role)) if gpaw else 1
    if gpaw:
        resources = resources.model_copy(update={"cores": ranks})
    estimate = cpu_seconds(plan, role)
    longest = resources.run_time_max
    if estimate is None:
        return Request(label, ranks, resources)
    speed = 1.0 if ranks == 1 else MPI_EFFICIENCY * ranks
    wanted = max(SHORTEST_SECONDS, round(machine.walltime_factor * estimate / speed))
    walltime = wanted if longest is None else min(wanted, longest)
    return Request(label, ranks, resources.model_copy(update={"run_time_max": walltime}))


def matched_ranks(cores: int, kpoints: int) -> int:
    """Return how many ranks of at most so many cores an SCF is fastest with.

    Groups of ranks share the k-points evenly or not at all, and within a group the plane waves,
    at a loss: four ranks are slower than three where there are three k-points.

    Parameters
    ----------
    cores : int
        That the machine gives.
    kpoints : int
        Irreducible ones.
    """

    def speed(ranks: int) -> float:
        groups = math.gcd(ranks, kpoints)
        return float(groups * (ranks / groups) ** GROUP_EFFICIENCY)

    return max(range(1, cores + 1), key=speed)


def default_request(machine: Machine, label: str) -> Request:
    """Return what a job of no plan asks for: one core and the machine's walltime."""
    return Request(label, 1, machine.resource_dict)
