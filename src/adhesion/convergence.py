"""The convergence ladder: one parameter of a level raised at a time until W holds still.

Each rung is one more point: film and substrate alone and together, at the gap and
registry where the level's own binding curve is lowest. W is stationary there, so that
a small change of the best gap enters only in second order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jobflow import Flow, Job

from adhesion.calculators import identity
from adhesion.energetics import work_of_adhesion
from adhesion.errors import CalculationError
from adhesion.flows import WorkOfAdhesionMaker
from adhesion.planning import Plan
from adhesion.schemas import CurveDocument, Recipe
from adhesion.store import Results

Parameter = Literal["film_layers", "substrate_layers", "kpoints", "cutoff", "vacuum"]
PARAMETERS: tuple[Parameter, ...] = (
    "film_layers",
    "substrate_layers",
    "kpoints",
    "cutoff",
    "vacuum",
)
UNITS = {"film_layers": "", "substrate_layers": "", "kpoints": "", "cutoff": "eV", "vacuum": "Å"}

TOLERANCE_J_m2 = 0.01
MAX_RUNGS = 3
KPOINT_FACTOR = 1.35
CUTOFF_FACTOR = 1.2
VACUUM_STEP_A = 4.0
TOP_A = 1.0
"""How deep the face reaches that two thicknesses are compared by, Å."""


@dataclass(frozen=True)
class Rung:
    """One value of one parameter, all others being the level's.

    Attributes
    ----------
    parameter : str
        One of `PARAMETERS`.
    value : int, float or tuple of int
        Layers (repeat units, sheets), eV, Å, or the k-point mesh.
    W_J_m2 : float or None
        At the gap and registry of the level's own curve; None if not computed.
    step_J_m2 : float or None
        W less that of the rung before (of the level itself for the first).
    hash : str
        Of its calculation.
    """

    parameter: Parameter
    value: Any
    W_J_m2: float | None
    step_J_m2: float | None
    hash: str


@dataclass(frozen=True)
class Ladder:
    """All rungs of an interface at a level.

    Attributes
    ----------
    interface, level : str
    W_J_m2 : float
        W_curve at the level itself, J/m2, the foot of every rung.
    foot : dict
        Parameter to its value at the level.
    rungs : tuple of Rung
        Those that were computed, parameter by parameter, in rising order.
    tolerance_J_m2 : float
        A parameter is converged when its last step is smaller.
    """

    interface: str
    level: str
    W_J_m2: float
    foot: dict[Parameter, Any]
    rungs: tuple[Rung, ...]
    tolerance_J_m2: float = TOLERANCE_J_m2

    def of(self, parameter: Parameter) -> list[Rung]:
        """Rungs of one parameter, rising."""
        return [r for r in self.rungs if r.parameter == parameter]

    def converged(self, parameter: Parameter) -> bool | None:
        """Whether the last step is within the tolerance; None without a rung."""
        rungs = self.of(parameter)
        if not rungs or rungs[-1].step_J_m2 is None:
            return None
        return abs(rungs[-1].step_J_m2) <= self.tolerance_J_m2

    def error_J_m2(self, parameter: Parameter, value: Any = None) -> float | None:
        """Largest change of W from a value of the parameter to any rung above it, J/m2.

        Parameters
        ----------
        parameter : str
        value : optional
            Of a row at another level; the level's own if left out. Between two rungs the
            lower counts, and above the last one nothing is known.

        Returns
        -------
        float or None
            None where no rung lies above the value.
        """
        steps = [(self.foot[parameter], self.W_J_m2)]
        steps += [(r.value, r.W_J_m2) for r in self.of(parameter) if r.W_J_m2 is not None]
        at = _size(self.foot[parameter] if value is None else value)
        below = [W for v, W in steps if _size(v) <= at]
        above = [W for v, W in steps if _size(v) > at]
        if not below or not above:
            return None
        return max(abs(W - below[-1]) for W in above)


def _size(value: Any) -> float:
    return float(np.prod(value)) if isinstance(value, list | tuple) else float(value)


def ladder_of(
    plan: Plan,
    results: Results,
    *,
    max_rungs: int = MAX_RUNGS,
    tolerance_J_m2: float = TOLERANCE_J_m2,
) -> Ladder | None:
    """Return what is known of an interface's ladder, from store and archive.

    Returns
    -------
    Ladder or None
        None where the level's own curve is not done.
    """
    curve = _curve(results, plan.hashes["curve"])
    if curve is None:
        return None
    foot = {p: _foot(plan, p) for p in parameters(plan)}
    rungs: list[Rung] = []
    for parameter in foot:
        before = W_lowest_J_m2(curve)
        for value in values(plan, curve, parameter, max_rungs):
            recipe = _recipes(plan, parameter, value)["curve"]
            document = _curve(results, recipe.hash)
            if document is None:
                break
            W = W_lowest_J_m2(document)
            rungs.append(Rung(parameter, value, W, W - before, recipe.hash))
            before = W
    return Ladder(
        plan.spec.label, plan.level.name, W_lowest_J_m2(curve), foot, tuple(rungs), tolerance_J_m2
    )


def climb(
    plans: Iterable[Plan],
    results: Results,
    run: Callable[[Flow], Any],
    *,
    tolerance_J_m2: float = TOLERANCE_J_m2,
    max_rungs: int = MAX_RUNGS,
    only: Iterable[Parameter] = PARAMETERS,
) -> list[Ladder]:
    """Raise each parameter until W moves by less than the tolerance.

    Parameters
    ----------
    plans : iterable of Plan
        Their own curves must be done.
    results : Results
        Store and archive; what is finished is never repeated.
    run : callable
        Computes a flow into the store.
    tolerance_J_m2 : float
        Largest last step of a converged parameter, J/m2.
    max_rungs : int
        Rungs of a parameter at most.
    only : iterable of str
        Parameters to raise.

    Returns
    -------
    list of Ladder

    Raises
    ------
    CalculationError
        If the level's own curve of an interface is not done.
    """
    plans = list(plans)
    for plan in plans:
        if _curve(results, plan.hashes["curve"]) is None:
            raise CalculationError(
                f"{plan.spec.label} has no binding curve at {plan.level.name} to start from",
                hint=f"adhesion run STUDY --level {plan.level.name} --only {plan.spec.short}",
            )
    for height in range(max_rungs):
        jobs: dict[str, Job] = {}
        for plan in plans:
            for parameter in [p for p in parameters(plan) if p in set(only)]:
                jobs |= _next_rung(plan, results, parameter, height, tolerance_J_m2)
        if jobs:
            run(Flow(list(jobs.values()), name=f"ladder, rung {height + 1}"))
    found = [
        ladder_of(p, results, max_rungs=max_rungs, tolerance_J_m2=tolerance_J_m2) for p in plans
    ]
    return [ladder for ladder in found if ladder is not None]


def without_interface(plan: Plan) -> Plan:
    """Return a plan that ends with the binding curve: the foot of every ladder."""
    recipes = {role: recipe for role, recipe in plan.recipes.items() if role != "interface"}
    return replace(plan, recipes=recipes)


def _next_rung(
    plan: Plan, results: Results, parameter: Parameter, height: int, tolerance_J_m2: float
) -> dict[str, Job]:
    """Jobs of a parameter's rung; none if it is done, converged, or the one below is missing."""
    curve = _curve(results, plan.hashes["curve"])
    assert curve is not None
    rising = values(plan, curve, parameter, height + 1)
    if len(rising) <= height:
        return {}
    below = [_curve(results, _recipes(plan, parameter, v)["curve"].hash) for v in rising[:-1]]
    W = [W_lowest_J_m2(d) for d in [curve, *below] if d is not None]
    if len(W) <= height or (height and abs(W[-1] - W[-2]) <= tolerance_J_m2):
        return {}
    recipes = _recipes(plan, parameter, rising[-1])
    if _curve(results, recipes["curve"].hash) is not None:
        return {}
    return _rung_jobs(plan, recipes, curve, f"{parameter} {shown(parameter, rising[-1])}")


def parameters(plan: Plan) -> tuple[Parameter, ...]:
    """Parameters that can be raised: k-points and cutoff only where the calculator has them."""
    made = plan.ready_made is not None
    left_out = {"film_layers", "substrate_layers"} if made else set()
    if "kpoints" not in plan.settings:
        left_out |= {"kpoints"}
    if "ecut_eV" not in plan.settings:
        left_out |= {"cutoff"}
    return tuple(p for p in PARAMETERS if p not in left_out)


def values(plan: Plan, curve: CurveDocument, parameter: Parameter, n: int) -> list[Any]:
    """Return the next n values of a parameter above the level's own."""
    foot = _foot(plan, parameter)
    if parameter in ("film_layers", "substrate_layers"):
        return [foot + i + 1 for i in range(n)]
    if parameter == "cutoff":
        return [float(round(foot * CUTOFF_FACTOR ** (i + 1))) for i in range(n)]
    if parameter == "vacuum":
        return [foot + VACUUM_STEP_A * (i + 1) for i in range(n)]
    assert curve.geometry is not None
    lengths = np.linalg.norm(np.asarray(curve.geometry.cell_A)[:2], axis=1)
    found: list[tuple[int, int, int]] = []
    length, last = plan.level.kpoint_length_A, tuple(foot)
    while len(found) < n:
        length *= KPOINT_FACTOR
        a, b = (max(m, round(length / side)) for m, side in zip(last, lengths, strict=False))
        if (a, b, 1) != last:
            last = (a, b, 1)
            found.append(last)
    return found


def shown(parameter: Parameter, value: Any) -> str:
    """Return a value as people read it, with its unit."""
    if parameter == "kpoints":
        return " x ".join(str(n) for n in value[:2])
    return f"{value:g} {UNITS[parameter]}".strip()


def _foot(plan: Plan, parameter: Parameter) -> Any:
    if parameter == "film_layers":
        return plan.recipes["film_slab"].parameters["thickness"]
    if parameter == "substrate_layers":
        return plan.recipes["substrate_slab"].parameters["thickness"]
    if parameter == "kpoints":
        return tuple(plan.settings["kpoints"])
    if parameter == "cutoff":
        return float(plan.settings["ecut_eV"])
    return plan.level.vacuum_A


def _settings(plan: Plan, parameter: Parameter, value: Any) -> dict[str, Any]:
    key = {"kpoints": "kpoints", "cutoff": "ecut_eV"}.get(parameter)
    return plan.settings if key is None else {**plan.settings, key: value}


def _recipes(plan: Plan, parameter: Parameter, value: Any) -> dict[str, Recipe]:
    """Recipes of a rung: the level's slabs, or one of another thickness, and one point."""
    recipes = {role: r for role, r in plan.recipes.items() if role not in ("curve", "interface")}
    if parameter in ("film_layers", "substrate_layers"):
        role = f"{parameter.removesuffix('_layers')}_slab"
        old = recipes[role]
        recipes[role] = old.model_copy(
            update={"parameters": {**old.parameters, "thickness": value}}
        )
    base = plan.recipes["curve"]
    recipes["curve"] = base.model_copy(
        update={
            "calculator": identity(_settings(plan, parameter, value)),
            "parameters": {
                **base.parameters,
                "n_gaps": 1,
                "n_registries": 1,
                "dispersion": False,
                "vacuum_A": value if parameter == "vacuum" else base.parameters["vacuum_A"],
                **({"registry": "of the top layer"} if parameter == "substrate_layers" else {}),
            },
            # The point is that of the level's own curve: gap and registry come from there.
            "parents": {
                "film_slab": recipes["film_slab"].hash,
                "substrate_slab": recipes["substrate_slab"].hash,
                "at": base.hash,
            },
        }
    )
    return recipes


def _rung_jobs(
    plan: Plan, recipes: Mapping[str, Recipe], curve: CurveDocument, name: str
) -> dict[str, Job]:
    """Jobs of a rung by hash: its slabs at the level's settings, and its point at its own."""
    maker = WorkOfAdhesionMaker(level=plan.level.name)
    own = replace(plan, recipes=dict(recipes))
    jobs = maker.jobs(own)
    best = min(curve.points, key=lambda p: p.energy.energy_eV)
    registry = np.asarray(best.registry)
    if plan.substrate is not None:
        thickness = int(recipes["substrate_slab"].parameters["thickness"])
        registry = (registry + top_shift(plan, thickness)) % 1.0
    settings = recipes["curve"].calculator
    jobs["curve"] = maker.calculation(
        own, "curve", {**plan.settings, **settings},
        film_slab=jobs["film_slab"].output, substrate_slab=jobs["substrate_slab"].output,
        shifts=[(float(registry[0]), float(registry[1]))], gap_A=best.gap_A,
    )  # fmt: skip
    jobs["curve"].name = f"{plan.spec.label} {name}"
    return {made.uuid: made for made in jobs.values()}


def top_shift(plan: Plan, thickness: int) -> Any:
    """In-plane shift of the substrate's top when its thickness changes.

    Layers are stacked over each other's hollows: with one more, the same face stands
    elsewhere in the cell, and the film has to follow it to keep its registry.

    Parameters
    ----------
    plan : Plan
        With the substrate at the level's own thickness.
    thickness : int
        The other one.

    Returns
    -------
    ndarray, shape (2,)
        In fractions of the common cell.

    Raises
    ------
    CalculationError
        If the two tops are not the same face.
    """
    assert plan.substrate is not None
    assert plan.match is not None
    transformation = plan.match.substrate_transformation
    tops = []
    for side in (plan.substrate, replace(plan.substrate, thickness=thickness)):
        slab = side.slab(transformation)
        cell = np.array(slab.cell[:2, :2])
        depth = slab.positions[:, 2].max() - slab.positions[:, 2]
        top = np.flatnonzero(depth < TOP_A)
        flat = np.linalg.solve(cell.T, slab.positions[top, :2].T).T
        tops.append((flat, depth[top], slab.numbers[top]))
    (old, old_depth, old_numbers), (new, new_depth, new_numbers) = tops
    for shift in new - old[0]:
        apart = old[:, None] + shift - new[None, :]
        apart -= np.round(apart)
        same = (np.abs(apart).max(-1) < 1e-3) & (old_numbers[:, None] == new_numbers[None, :])
        same &= np.abs(old_depth[:, None] - new_depth[None, :]) < 1e-2
        if same.any(1).all():
            return shift % 1.0
    raise CalculationError(
        f"{plan.spec.label}: {thickness} layers of the substrate end in another face",
        hint="leave substrate_layers out with --parameter",
    )


def W_lowest_J_m2(curve: CurveDocument) -> float:
    """W at the lowest point of a curve that is done, J/m2."""
    assert curve.film is not None
    assert curve.substrate is not None
    assert curve.area_A2 is not None
    lowest = min(p.energy.energy_eV for p in curve.points)
    return work_of_adhesion(curve.film.energy_eV, curve.substrate.energy_eV, lowest, curve.area_A2)


def _curve(results: Results, hash: str) -> CurveDocument | None:
    """A curve that is done and holds all that W is made of; its row says what it lacks."""
    found = results.finished(hash)
    curve = found.document if found is not None else None
    if not isinstance(curve, CurveDocument):
        return None
    return curve if curve.film and curve.substrate and curve.area_A2 and curve.points else None
