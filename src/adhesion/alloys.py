"""What alloying gives beside adhesion: formation energies of compounds of the two sides.

For every interface of two elements, all known crystals made of just these two, from
the elements' own bulks with the same calculator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobflow import Flow, Job, job
from pymatgen.io.ase import AseAtomsAdaptor

from adhesion.calculators import identity, resolve
from adhesion.calculators.makers import maker_for
from adhesion.energetics import EV_PER_A2_IN_J_M2, require_alike
from adhesion.errors import AdhesionError, InputError, NotConvergedError
from adhesion.flows import WorkOfAdhesionMaker
from adhesion.jobs import (
    BulkMaker,
    CalculationMaker,
    Meter,
    Workspace,
    is_cubic_and_rigid,
    largest_force,
    new_calculator,
    new_document,
)
from adhesion.materials import Material, known_materials, load_material
from adhesion.planning import Plan
from adhesion.schemas import BulkDocument, Formation, Geometry, Recipe
from adhesion.store import Results
from adhesion.study import Study

MESH_DEPENDENT = ("kpoints", "setups")
"""Settings that follow from the cell or its elements, and so differ between crystals."""


@dataclass(frozen=True)
class Alloy:
    """A compound of an interface's two elements.

    Attributes
    ----------
    material : Material
        In its primitive cell.
    counts : tuple of int
        Atoms of film and substrate in one formula unit.
    recipe : Recipe
        Of its bulk.
    settings : dict
        Resolved calculator settings.
    """

    material: Material
    counts: tuple[int, int]
    recipe: Recipe
    settings: dict[str, Any]

    def reaction(self, film: str, substrate: str) -> str:
        """As '15 Na + 4 Pb -> Na15Pb4'."""
        amounts = (
            f"{n if n > 1 else ''} {e}".strip()
            for n, e in zip(self.counts, (film, substrate), strict=True)
        )
        return f"{' + '.join(amounts)} -> {self.material.name}"


def formation_energy(
    alloy_energy: float, film_energy: float, substrate_energy: float, counts: tuple[int, int]
) -> float:
    """Return E(A_n B_m) - n E(A) - m E(B), eV per formula unit; negative where it forms.

    Parameters
    ----------
    alloy_energy : float
        Of one formula unit, eV.
    film_energy, substrate_energy : float
        Of one atom of each element in its own bulk, eV.
    counts : tuple of int
        n and m.
    """
    n, m = counts
    return alloy_energy - n * film_energy - m * substrate_energy


def per_area(formation_eV: float, counts: tuple[int, int], top_atoms: int, area_A2: float) -> float:
    """Return what forming the alloy from the substrate's top layer gives, J/m2.

    Energy per formula unit x formula units that the top layer can make / its area.

    Parameters
    ----------
    formation_eV : float
        Per formula unit, eV.
    counts : tuple of int
        Atoms of film and substrate in a formula unit.
    top_atoms : int
        Substrate atoms in the top layer of one surface mesh.
    area_A2 : float
        Of that mesh, Å2.
    """
    return formation_eV * (top_atoms / counts[1]) / area_A2 * EV_PER_A2_IN_J_M2


def alloys_of(plan: Plan, study: Study) -> list[Alloy]:
    """Return the compounds of an interface's two elements: the study's own and the known ones."""
    if plan.film is None or plan.substrate is None:
        return []
    elements = [side.material.elements for side in (plan.film, plan.substrate)]
    if any(len(e) != 1 for e in elements) or elements[0] == elements[1]:
        return []
    (film,), (substrate,) = elements
    found = []
    for name in dict.fromkeys([*study.materials, *known_materials()]):
        material = load_material(name, study.materials)
        if material.elements == {film, substrate}:
            found.append(_alloy(plan, material, film, substrate))
    return found


def _alloy(plan: Plan, material: Material, film: str, substrate: str) -> Alloy:
    rigid = is_cubic_and_rigid(material)
    primitive = material.with_structure(material.structure.get_primitive_structure())
    reduced = material.structure.composition.reduced_composition
    lengths = primitive.structure.lattice.abc
    a, b, c = (max(1, round(plan.level.kpoint_length_bulk_A / length)) for length in lengths)
    settings = resolve(plan.level.calculator, primitive.elements, (a, b, c), slab=False)
    relaxed = rigid or plan.level.lattice["compound"] == "relaxed"
    recipe = Recipe(
        kind="bulk",
        calculator=identity(settings),
        parameters={"lattice": "relaxed"} if relaxed else {"lattice": "given", "energy": True},
        crystals={"bulk": primitive.checksum},
    )
    return Alloy(primitive, (int(reduced[film]), int(reduced[substrate])), recipe, settings)


@dataclass
class BulkEnergyMaker(CalculationMaker):
    """Energy of a crystal exactly as given, with the force and pressure left in it."""

    name: str = "bulk energy"

    @job(output_schema=BulkDocument)
    def make(self, recipe: dict[str, Any], material: Material) -> BulkDocument:
        """Compute one energy.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'bulk'.
        material : Material
            The cell to compute.
        """
        parsed = Recipe.model_validate(recipe)
        workspace = Workspace(parsed)
        meter = Meter(workspace.load())
        atoms = AseAtomsAdaptor.get_atoms(material.structure, msonable=False)
        atoms.info.clear()
        atoms.calc = new_calculator(self.needed(), workspace, meter)
        try:
            energy = float(atoms.get_potential_energy())
        except NotConvergedError as error:
            return new_document(
                BulkDocument, self, parsed, meter, status="unconverged", reason=str(error)
            )
        note = f"structure as given; largest force {largest_force(atoms):.3f} eV/Å"
        return new_document(
            BulkDocument, self, parsed, meter,
            geometry=Geometry.from_ase(atoms), energy_eV=energy, notes=[note],
        )  # fmt: skip


def alloy_flow(plans: list[Plan], study: Study) -> Flow:
    """Return the jobs of all alloys and of the elements they are made of, each once.

    Raises
    ------
    InputError
        If no interface has an alloy.
    """
    jobs: dict[str, Job] = {}
    for plan in plans:
        alloys = alloys_of(plan, study)
        if not alloys:
            continue
        made = WorkOfAdhesionMaker(level=plan.level.name).jobs(plan)
        for role in ("bulk_film", "bulk_substrate"):
            jobs.setdefault(made[role].uuid, made[role])
        for alloy in alloys:
            jobs.setdefault(alloy.recipe.hash, _job(alloy))
    if not jobs:
        raise InputError(
            "no interface of two elements has a compound of both",
            where=study.where,
            hint="list its crystal under materials: with its cif",
        )
    return Flow(list(jobs.values()), name="alloys")


def _job(alloy: Alloy) -> Job:
    label = f"{alloy.material.name} bulk"
    relaxed = alloy.recipe.parameters["lattice"] == "relaxed"
    kind = BulkMaker if relaxed else BulkEnergyMaker
    maker = kind(name=label, label=label, calculator=maker_for(alloy.settings))
    made: Job = maker.make(recipe=alloy.recipe.model_dump(mode="json"), material=alloy.material)
    made.set_uuid(alloy.recipe.hash)
    return made


def formations(plan: Plan, study: Study, results: Results) -> list[Formation]:
    """Return the formation energies of an interface's alloys, from store and archive."""
    return list(_formations(plan, study, results))


def _formations(plan: Plan, study: Study, results: Results) -> Iterator[Formation]:
    for alloy in alloys_of(plan, study):
        assert plan.film is not None
        assert plan.substrate is not None
        (film,), (substrate,) = plan.film.material.elements, plan.substrate.material.elements
        material = alloy.material
        blank: dict[str, Any] = {
            "reaction": alloy.reaction(film, substrate),
            "source": f"{material.source} ({material.trust})",
        }
        try:
            documents = {
                "alloy": _bulk(results, alloy.recipe.hash, f"{material.name} bulk"),
                "film": _bulk(results, plan.hashes["bulk_film"], f"{film} bulk"),
                "substrate": _bulk(results, plan.hashes["bulk_substrate"], f"{substrate} bulk"),
            }
            require_alike({name: _alike(d) for name, d in documents.items()})
        except AdhesionError as error:
            yield Formation(**blank, reason=error.what)
            continue
        energies = {name: _per_atom(d) for name, d in documents.items()}
        n = sum(alloy.counts)
        energy = formation_energy(
            n * energies["alloy"], energies["film"], energies["substrate"], alloy.counts
        )
        mesh = plan.substrate.termination.mesh_area_A2
        top = round(len(plan.substrate.slab(((1, 0), (0, 1)))) / plan.substrate.thickness)
        yield Formation(
            **blank,
            per_formula_eV=energy,
            per_atom_eV=energy / n,
            per_film_atom_eV=energy / alloy.counts[0],
            per_area_J_m2=per_area(energy, alloy.counts, top, mesh),
            proxy=any(d.proxy for d in documents.values()),
            notes=documents["alloy"].notes,
        )


def _bulk(results: Results, hash: str, name: str) -> BulkDocument:
    found = results.get(hash)
    if found is None:
        raise InputError(f"{name} is not computed")
    document = found.document
    if not isinstance(document, BulkDocument) or document.status != "done":
        raise InputError(f"{name} is {document.status}: {document.reason}")
    if document.energy_eV is None or document.geometry is None:
        raise InputError(f"{name} was taken as given, without an energy")
    return document


def _per_atom(document: BulkDocument) -> float:
    assert document.energy_eV is not None
    assert document.geometry is not None
    return document.energy_eV / len(document.geometry.symbols)


def _alike(document: BulkDocument) -> dict[str, Any]:
    kept = {k: v for k, v in document.recipe.calculator.items() if k not in MESH_DEPENDENT}
    return {"calculator": kept, "proxy": document.proxy}


def formation_lines(found: list[Formation]) -> list[str]:
    """Return the formation energies as lines for people, with what they mean."""
    if not found:
        return []
    lines = [f"{'reaction':28}{'eV/formula':>11}{'eV/atom':>9}{'eV/film atom':>14}{'J/m2':>8}"]
    for one in found:
        if one.per_formula_eV is None:
            lines.append(f"{one.reaction:28}{'-':>11}{'-':>9}{'-':>14}{'-':>8}  {one.reason}")
            continue
        figures = (one.per_atom_eV, one.per_film_atom_eV, one.per_area_J_m2)
        text = f"{one.reaction:28}{one.per_formula_eV:11.3f}"
        for width, value in zip((9, 14, 8), figures, strict=True):
            text += f"{value:{width}.3f}"
        lines.append(text)
    lines += ["", "J/m2: energy per formula unit x formula units that the substrate's top layer"]
    lines.append("makes / its area; negative where the alloy forms from the two crystals.")
    for one in found:
        notes = "; ".join([one.source, *one.notes])
        lines.append(f"{one.reaction.rpartition(' ')[2]}: {notes}.")
    if any(one.proxy for one in found):
        lines.insert(0, "PROXY: other elements stand in: plumbing only, no number is a result.")
    return lines
