"""Surface energies of the two sides: slabs and bulk on one surface mesh.

On the primitive mesh they cost little, and take the k-point density of the bulk. One
calculation is at the crystal's own lattice, another one strained as in the interface.
The bulk on the same mesh, with the same k-points in the plane, is what they are compared
with, and what tells the energy of the strain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from atomate2.ase.jobs import AseMaker
from jobflow import Job, job

from adhesion.calculators import alone, identity, resolve
from adhesion.calculators.makers import maker_for
from adhesion.errors import CalculationError, NotConvergedError
from adhesion.interfaces import cell_area, strained
from adhesion.jobs import (
    MAX_STEPS,
    CalculationMaker,
    Meter,
    Workspace,
    at_bulk,
    common_cells,
    face,
    new_calculator,
    new_document,
    relax,
)
from adhesion.materials import Material
from adhesion.planning import Plan, Side
from adhesion.schemas import Recipe, SurfaceDocument
from adhesion.slabs import build_slab

THICKNESSES: dict[str, tuple[int, ...]] = {"metal": (6, 7, 8), "layered": (1, 2)}
"""Layers of a metal, over which its energy swings; sheets of a layered crystal. A compound
needs slabs too large to be cheap."""


@dataclass(frozen=True)
class Surface:
    """A surface to be computed: its recipe, settings and crystal."""

    label: str
    recipe: Recipe
    settings: dict[str, Any]
    side: str


def surfaces_of(plan: Plan) -> dict[str, Surface]:
    """Return the surfaces of an interface: 'film', 'film_strained' and so on.

    Those of compounds are left out, and all of a ready-made interface, whose crystals
    are not known.
    """
    if plan.film is None or plan.substrate is None:
        return {}
    found: dict[str, Surface] = {}
    for side, chosen in (("film", plan.film), ("substrate", plan.substrate)):
        if chosen.material.kind not in THICKNESSES:
            continue
        own = found[side] = own_surface(plan, side, chosen)
        slab = plan.recipes[f"{side}_slab"]
        names = ("share", *(k for k in slab.parameters if k.startswith(("film_", "substrate_"))))
        strained_too = own.recipe.model_copy(
            update={
                "parameters": {
                    **own.recipe.parameters,
                    "side": side,
                    **{n: slab.parameters[n] for n in names},
                },
                "crystals": slab.crystals,
                "parents": slab.parents,
            }
        )
        label = f"{own.label} in {plan.spec.label}"
        found[f"{side}_strained"] = Surface(label, strained_too, own.settings, side)
    return found


def own_surface(
    plan: Plan,
    side: str,
    chosen: Side,
    *,
    thicknesses: tuple[int, ...] | None = None,
    kpoint_length_A: float | None = None,
) -> Surface:
    """Return the surface of one side at its own lattice.

    Parameters
    ----------
    plan : Plan
    side : str
        'film' or 'substrate'.
    chosen : Side
        That side of the plan.
    thicknesses : tuple of int, optional
        In place of those of its kind.
    kpoint_length_A : float, optional
        k-points times length, in place of that of the level's bulks, Å.
    """
    settings = surface_settings(plan, chosen, kpoint_length_A)
    bulk: list[int] = []
    if "kpoints" in settings:
        length = kpoint_length_A or plan.level.kpoint_length_bulk_A
        # Not the third vector's length: layers that are stacked obliquely are nearer than that.
        height = float(chosen.termination.repeat_A[2])
        bulk = [*settings["kpoints"][:2], max(1, round(length / height))]
    recipe = Recipe(
        kind="surface",
        calculator=identity(settings),
        parameters=_parameters(plan, chosen, thicknesses)
        | ({"bulk_kpoints": bulk} if bulk else {}),
        crystals={"film": chosen.material.checksum},
        parents={"bulk_film": plan.recipes[f"bulk_{side}"].hash},
    )
    return Surface(f"{chosen.spec.label} surface", recipe, settings, side)


def surface_settings(
    plan: Plan, side: Side, kpoint_length_A: float | None = None
) -> dict[str, Any]:
    """Return the level's settings with the bulk's k-point density in the plane."""
    length = kpoint_length_A or plan.level.kpoint_length_bulk_A
    n = side.termination.cell_multiple
    lengths = np.linalg.norm(np.diag([n, 1]) @ side.termination.mesh_A, axis=1)
    a, b = (max(1, round(length / float(vector))) for vector in lengths)
    elements = side.material.elements
    settings = resolve(
        plan.level.calculator, elements, (a, b, 1), slab=True, partners=plan.elements
    )
    return alone(settings)


def _parameters(
    plan: Plan, side: Side, thicknesses: tuple[int, ...] | None = None
) -> dict[str, Any]:
    relaxed = side.material.kind in plan.level.relax_slabs
    return {
        "miller": list(side.spec.miller),
        "termination": side.termination.name,
        "thicknesses": list(thicknesses or THICKNESSES[side.material.kind]),
        "vacuum_A": plan.level.vacuum_A,
        "relax": relaxed,
    } | ({"fmax_eV_A": plan.level.fmax_eV_A} if relaxed else {})


@dataclass
class SurfaceMaker(CalculationMaker):
    """Slabs of several thicknesses on the primitive mesh, at the own lattice or strained.

    Parameters
    ----------
    bulk_calculator : AseMaker, optional
        With k-points along the third vector, too; the same, if left out.
    """

    name: str = "surface"
    max_steps: int = MAX_STEPS
    bulk_calculator: AseMaker | None = None

    @job(output_schema=SurfaceDocument)
    def make(
        self,
        recipe: dict[str, Any],
        film: Material,
        film_bulk: Any,
        substrate: Material | None = None,
        substrate_bulk: Any = None,
    ) -> SurfaceDocument:
        """Compute the slabs.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'surface'.
        film, film_bulk : Material, BulkDocument
            The crystal with its bulk; of a strained surface those of the film.
        substrate, substrate_bulk : Material, BulkDocument, optional
            The other crystal, of a strained surface only.
        """
        parsed = Recipe.model_validate(recipe)
        workspace = Workspace(parsed)
        past = workspace.load()
        meter = Meter(past)
        materials = {"film": at_bulk(film, film_bulk)}
        if substrate is not None:
            materials["substrate"] = at_bulk(substrate, substrate_bulk)
        slabs, bulk, strain = _slabs(parsed.parameters, materials)
        found: list[dict[str, float]] = list(past.get("slabs", []))
        try:
            bulk.calc = self._bulk_calculator(workspace, meter)
            bulk_energy = float(bulk.get_potential_energy()) / len(bulk)
            for slab in slabs[len(found) :]:
                found.append(self._energy(slab, workspace, meter))
                workspace.save(slabs=found, **meter.read())
                workspace.progress(f"{len(slab)} atoms: {found[-1]['energy_eV']:.4f} eV")
        except NotConvergedError as error:
            return new_document(
                SurfaceDocument, self, parsed, meter, status="unconverged", reason=str(error)
            )
        return new_document(
            SurfaceDocument, self, parsed, meter,
            area_A2=cell_area(slabs[0].cell[:]), atoms=[len(s) for s in slabs],
            energies_eV=[f["energy_eV"] for f in found], bulk_energy_eV=bulk_energy,
            strain_percent=strain,
            relaxed=parsed.parameters["relax"],
            fmax_end_eV_A=max((f["fmax_eV_A"] for f in found if "fmax_eV_A" in f), default=None),
        )  # fmt: skip

    def _bulk_calculator(self, workspace: Workspace, meter: Meter) -> Any:
        made = CalculationMaker(calculator=self.bulk_calculator or self.needed())
        return new_calculator(made.needed(), workspace, meter)

    def _energy(self, slab: Atoms, workspace: Workspace, meter: Meter) -> dict[str, float]:
        """Energy of one slab, relaxed where the recipe says so."""
        parameters = workspace.recipe.parameters
        if not parameters["relax"]:
            slab.calc = new_calculator(self.needed(), workspace, meter)
            return {"energy_eV": float(slab.get_potential_energy())}
        part = workspace.part(f"{len(slab)}")
        result = relax(
            slab,
            lambda: new_calculator(self.needed(), part, meter),
            parameters["fmax_eV_A"],
            self.max_steps,
            part,
            meter,
        )
        if result["status"] != "done":
            raise NotConvergedError(result["reason"], where=f"{self.label}, {len(slab)} atoms")
        return {"energy_eV": result["energy_eV"], "fmax_eV_A": result["fmax_end_eV_A"]}


def _slabs(
    parameters: dict[str, Any], materials: dict[str, Material]
) -> tuple[list[Atoms], Atoms, tuple[float, float] | None]:
    """Slabs of all thicknesses, the bulk, and the principal strains in % where strained."""
    side = parameters.get("side", "film")
    crystal = materials[side]
    termination = face(crystal, parameters["miller"], parameters["termination"])
    supercell = ((termination.cell_multiple, 0), (0, 1))
    mesh = np.array(supercell) @ termination.mesh_A
    deformation, strain = np.eye(2), None
    if "side" in parameters:
        if len(materials) < 2:
            raise CalculationError("a strained surface needs both crystals")
        _, cells, cell = common_cells(parameters, materials)
        deformation = np.linalg.solve(cells[side], cell)
        mesh = mesh @ deformation
        stretches = np.linalg.svd(deformation, compute_uv=False)
        low, high = sorted(round(100 * (float(s) - 1), 3) for s in stretches)
        strain = (low, high)
    slabs = []
    for thickness in parameters["thicknesses"]:
        slab = strained(build_slab(crystal, termination, thickness, supercell), mesh)
        slab.center(vacuum=parameters["vacuum_A"] / 2, axis=2)
        slabs.append(slab)
    unit = build_slab(crystal, termination, termination.units_per_repeat, supercell)
    bulk = strained(unit, mesh)
    lateral = termination.repeat_A[:2] @ deformation
    bulk.set_cell([*np.pad(mesh, ((0, 0), (0, 1))), [*lateral, termination.repeat_A[2]]])
    bulk.pbc = True
    return slabs, bulk, strain


def surface_jobs(plan: Plan, bulks: dict[str, Job]) -> dict[str, Job]:
    """Return the jobs of an interface's surfaces, by name.

    Parameters
    ----------
    plan : Plan
    bulks : dict
        'bulk_film' and 'bulk_substrate', the jobs that they start from.
    """
    return {name: surface_job(plan, one, bulks) for name, one in surfaces_of(plan).items()}


def surface_job(plan: Plan, surface: Surface, bulks: dict[str, Job]) -> Job:
    """Return the job of one surface, known by the hash of its recipe.

    Parameters
    ----------
    plan : Plan
    surface : Surface
    bulks : dict
        'bulk_film' and 'bulk_substrate', the jobs that it starts from.
    """
    assert plan.film is not None
    assert plan.substrate is not None
    crystals = {"film": plan.film.material, "substrate": plan.substrate.material}
    mesh = surface.recipe.parameters.get("bulk_kpoints")
    changes = {"kpoints": tuple(mesh), "dipole": False} if mesh else {}
    maker = SurfaceMaker(
        name=surface.label,
        label=surface.label,
        calculator=maker_for(surface.settings),
        bulk_calculator=maker_for({**surface.settings, **changes}),
        max_steps=plan.level.max_steps,
    )
    if "side" in surface.recipe.parameters:
        inputs = crystals | {f"{s}_bulk": bulks[f"bulk_{s}"].output for s in crystals}
    else:
        bulk = bulks[f"bulk_{surface.side}"].output
        inputs = {"film": crystals[surface.side], "film_bulk": bulk}
    made: Job = maker.make(recipe=surface.recipe.model_dump(mode="json"), **inputs)
    made.set_uuid(surface.recipe.hash)
    return made
