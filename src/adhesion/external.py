"""Interfaces computed by makers of atomate2: VASP, ASE or a force field, a job per energy.

Any maker whose ``make(structure)`` gives a task document with ``output.energy`` and
``structure`` fits. Slabs are cut from the crystals as given, strained into the common
cell and, with a relax maker, relaxed in it; then brought together rigidly.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from jobflow import Flow, Job, Maker, job
from monty.json import jsanitize
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from adhesion.errors import CalculationError, InputError
from adhesion.interfaces import cell_area, contact_gap, deepest_first, stack, strained
from adhesion.jobs import common_slab, versions
from adhesion.planning import Plan
from adhesion.schemas import CurveDocument, CurvePoint, Energy, Geometry, Recipe
from adhesion.study import CalculatorSpec

SIDES = ("film", "substrate")
CELL_TOLERANCE_A = 1e-3


def maker_identity(maker: Any) -> dict[str, Any]:
    """Return what a recipe says of a maker in place of the level's calculator.

    Name (its import path, or the force field's), functional (one of its keywords, else
    its class) and all its settings.
    """
    settings = asdict(maker) if is_dataclass(maker) and not isinstance(maker, type) else {}
    settings = jsanitize(settings, strict=True, enum_values=True)
    keywords = settings.get("calculator_kwargs") or {}
    path = f"{type(maker).__module__}.{type(maker).__qualname__}"
    return {
        "name": str(settings.get("force_field_name", path)),
        "functional": str(keywords.get("functional", type(maker).__name__)),
        "proxy": keywords.get("proxy"),
        "settings": settings,
    }


def external_plan(plan: Plan, static_maker: Maker, relax_maker: Maker | None) -> Plan:
    """Return the plan of an interface that these makers compute: one binding curve.

    Raises
    ------
    InputError
        If the relax maker would relax the cell.
    """
    if getattr(relax_maker, "relax_cell", False):
        raise InputError(
            f"{type(relax_maker).__name__} relaxes the cell; slabs share one that is fixed",
            where="relax_maker",
            hint="give it relax_cell=False",
        )
    static = maker_identity(static_maker)
    parameters = dict(plan.recipes["curve"].parameters) | {
        "slabs": {s: plan.recipes[f"{s}_slab"].parameters for s in SIDES},
        "relax_maker": maker_identity(relax_maker) if relax_maker else None,
        "dispersion": False,
    }
    recipe = plan.recipes["curve"].model_copy(
        update={"calculator": static, "parameters": parameters, "parents": {}}
    )
    calculator = CalculatorSpec(name=static["name"], settings={"functional": static["functional"]})
    level = plan.level.model_copy(update={"calculator": calculator, "dispersion": False})
    return replace(plan, level=level, recipes={"curve": recipe})


def external_jobs(plan: Plan, static_maker: Maker, relax_maker: Maker | None) -> dict[str, Any]:
    """Return the jobs of a plan of `external_plan` by role; the last is 'curve'.

    Registries are chosen on the slabs as cut. There are n_gaps gaps, the second where the
    relaxed slabs touch, whether they bracket the lowest energy or not; the row says if not.
    """
    slabs = _slabs(plan)
    gap = plan.ready_made[2] if plan.ready_made else None
    made: dict[str, Any] = {}
    structures: dict[str, Any] = {s: AseAtomsAdaptor.get_structure(a) for s, a in slabs.items()}
    if relax_maker is not None:
        for side in SIDES:
            made[f"relax_{side}"] = _named(
                relax_maker.make(structures[side]), f"{plan.spec.label} {side} slab relaxed"
            )
            structures[side] = made[f"relax_{side}"].output.structure
    parameters = plan.recipes["curve"].parameters
    made["stack"] = stacked(
        **structures,
        cell_A=np.asarray(slabs["film"].cell[:2, :2]).tolist(),
        shifts=deepest_first(slabs["substrate"], slabs["film"], plan.shifts)[
            : parameters["n_registries"]
        ],
        steps_A=_steps(parameters["n_gaps"], parameters["gap_step_A"]),
        vacuum_A=parameters["vacuum_A"],
        gap_A=gap,
    )
    n_points = len(made["stack"].function_kwargs["shifts"]) * parameters["n_gaps"]
    atoms = made["stack"].output
    energies = []
    for name, structure in [
        *((side, atoms[side]) for side in SIDES),
        *((f"point {i}", atoms["points"][i]) for i in range(n_points)),
    ]:
        made[name] = _named(static_maker.make(structure), f"{plan.spec.label} {name}")
        energies.append(made[name].output.output.energy)
    made["curve"] = collected(
        recipe=plan.recipes["curve"].model_dump(mode="json"),
        label=f"{plan.spec.label} curve",
        stacks=atoms,
        energies_eV=energies,
        relaxed=relax_maker is not None,
    )
    made["curve"].set_uuid(plan.recipes["curve"].hash)
    _named(made["stack"], f"{plan.spec.label} stacked")
    _named(made["curve"], f"{plan.spec.label} curve")
    return made


def _steps(n_gaps: int, step_A: float) -> list[float]:
    """Gaps beyond touching; from three on, one is closer."""
    return [round((i - (n_gaps > 2)) * step_A, 6) for i in range(n_gaps)]


def _named(made: Job | Flow, name: str) -> Job | Flow:
    made.name = name
    return made


def _slabs(plan: Plan) -> dict[str, Atoms]:
    """Both sides as cut, in the common cell."""
    if plan.ready_made is not None:
        return {s: g.to_ase() for s, g in zip(SIDES, plan.ready_made[:2], strict=True)}
    assert plan.film is not None
    assert plan.substrate is not None
    materials = {"film": plan.film.material, "substrate": plan.substrate.material}
    slabs = {}
    for side in SIDES:
        parameters = plan.recipes["curve"].parameters["slabs"][side]
        slabs[side], _ = common_slab(parameters, materials)
        slabs[side].center(vacuum=parameters["vacuum_A"] / 2, axis=2)
    return slabs


@job
def stacked(
    film: Structure,
    substrate: Structure,
    cell_A: list[list[float]],
    shifts: list[Any],
    steps_A: list[float],
    vacuum_A: float,
    gap_A: float | None,
) -> dict[str, Any]:
    """Bring two slabs together at all registries and gaps, and each alone, in one cell.

    Returns
    -------
    dict
        film, substrate and points (structures), registries and gaps_A of the points,
        film_indices.

    Raises
    ------
    CalculationError
        If a slab comes back in another cell.
    """
    sides = [_in_cell(s, cell_A, name) for s, name in ((film, "film"), (substrate, "substrate"))]
    high, low = sides
    starts = [gap_A if gap_A is not None else round(contact_gap(low, high, s), 3) for s in shifts]
    extents = sum(float(np.ptp(s.positions[:, 2])) for s in sides)
    height = extents + max([2.0, *starts]) + steps_A[-1] + vacuum_A
    grid = [(tuple(s), start + step) for s, start in zip(shifts, starts, strict=True)
            for step in steps_A]  # fmt: skip
    found = [stack(low, high, gap_A=gap, registry=s, height_A=height) for s, gap in grid]
    alone = {"film": found[0].film_atoms(), "substrate": found[0].substrate_atoms()}
    return {
        **{side: _structure(atoms) for side, atoms in alone.items()},
        "points": [_structure(interface.atoms) for interface in found],
        "registries": [list(s) for s, _ in grid],
        "gaps_A": [gap for _, gap in grid],
        "film_indices": list(found[0].film),
    }


def _in_cell(structure: Structure, cell_A: list[list[float]], name: str) -> Atoms:
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    if np.abs(np.asarray(atoms.cell[:2, :2]) - np.asarray(cell_A)).max() > CELL_TOLERANCE_A:
        raise CalculationError(
            f"the {name} slab came back in another cell",
            hint="the relax maker must hold the cell (VASP: ISIF=2; ASE: relax_cell=False)",
        )
    atoms.calc = None
    return strained(atoms, np.asarray(cell_A))


def _structure(atoms: Atoms) -> Structure:
    return AseAtomsAdaptor.get_structure(atoms)


@job(output_schema=CurveDocument)
def collected(
    recipe: dict[str, Any],
    label: str,
    stacks: dict[str, Any],
    energies_eV: list[float],
    relaxed: bool,
) -> CurveDocument:
    """Turn the energies of film, substrate and all points into a binding curve.

    Raises
    ------
    CalculationError
        If an energy is missing or no finite number.
    """
    if not all(e is not None and np.isfinite(e) for e in energies_eV):
        raise CalculationError("an energy is missing or no number", where=label)
    parsed = Recipe.model_validate(recipe)
    film, substrate, *rest = (Energy(energy_eV=float(e)) for e in energies_eV)
    points = [
        CurvePoint(registry=(s[0], s[1]), gap_A=gap, energy=energy)
        for s, gap, energy in zip(stacks["registries"], stacks["gaps_A"], rest, strict=True)
    ]
    lowest = int(np.argmin([p.energy.energy_eV for p in points]))
    atoms = AseAtomsAdaptor.get_atoms(stacks["points"][lowest], msonable=False)
    return CurveDocument(
        hash=parsed.hash,
        label=label,
        recipe=parsed,
        status="done",
        proxy=bool(parsed.calculator["proxy"]),
        versions=versions(""),
        notes=[] if relaxed else ["unrelaxed slabs"],
        film=film,
        substrate=substrate,
        points=points,
        geometry=Geometry.from_ase(atoms),
        film_indices=stacks["film_indices"],
        area_A2=cell_area(atoms.cell[:]),
    )
