"""Controls: what must hold whatever the numbers are.

Of each metal on itself: W = 2 gamma, W = 0 far apart, and W unchanged by a doubled cell,
a moved origin, and film and substrate swapped. The same of whole interfaces, where they
are named or cost nothing. And sodium's surface energy against a measured PBE value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from jobflow import Flow, Job, job

from adhesion.calculators import identity
from adhesion.calculators.makers import maker_for
from adhesion.energetics import (
    fit_binding_curve,
    surface_energy_from_thickness,
    surface_energy_of_slabs,
    work_of_adhesion,
)
from adhesion.errors import AdhesionError, CalculationError, NotConvergedError
from adhesion.flows import WorkOfAdhesionMaker
from adhesion.interfaces import Interface, contact_gap, deepest_first, stack
from adhesion.jobs import (
    CalculationMaker,
    Meter,
    Workspace,
    at_bulk,
    common_slab,
    new_calculator,
    new_document,
    single_energy,
)
from adhesion.materials import Material
from adhesion.planning import Plan, Side, plan_interface
from adhesion.schemas import (
    CalculationDocument,
    ControlDocument,
    CurveDocument,
    Energy,
    Recipe,
    SurfaceDocument,
)
from adhesion.slabs import build_slab
from adhesion.store import Results
from adhesion.study import InterfaceSpec, LayersSpec, Level, Study
from adhesion.surfaces import Surface, own_surface, surface_job, surface_jobs

LAYERS = 4
"""Of a metal on itself; what both sides together amount to is 8."""
ABOVE_CONTACT_A = 0.3
FAR_A = 10.0
MOVED = (0.31, 0.17)
MOVED_UP_A = 1.3
ARRANGEMENTS = ("as it is", "doubled", "swapped", "moved", "far")
SAYS = {
    "doubled": "W in the doubled cell",
    "swapped": "W with film and substrate swapped",
    "moved": "W with the origin moved",
    "far": "W 10 Å beyond contact",
}

SAME_J_m2 = 0.005
"""W of one interface, arranged in two ways that are equivalent."""
APART_J_m2 = 0.01
SELF_PART = 0.03
"""Of 2 gamma: the binding relation meets the lowest point of a curve no better."""


@dataclass(frozen=True)
class KnownGamma:
    """A surface energy that a calculator has to reproduce, with slabs and k-points for it."""

    calculator: str
    functional: str
    surface: str
    gamma_J_m2: float
    tolerance_J_m2: float
    source: str
    thicknesses: tuple[int, ...]
    kpoint_length_A: float


KNOWN_GAMMAS = (
    KnownGamma(
        "gpaw", "PBE", "Na(001)", 0.220, 0.005, "the PBE value of thick slabs", (6, 7, 8, 9), 50.0
    ),
)


@dataclass(frozen=True)
class Line:
    """One control.

    Attributes
    ----------
    what : str
        What was compared.
    value_J_m2, expected_J_m2, tolerance_J_m2 : float or None
        None where it was not computed.
    good : bool
    reason : str
        Why it was not compared; empty otherwise.
    """

    what: str
    value_J_m2: float | None
    expected_J_m2: float | None
    tolerance_J_m2: float | None
    good: bool
    reason: str = ""

    @property
    def text(self) -> str:
        """As 'ok  Na(001) on itself: ...'."""
        if self.value_J_m2 is None:
            return f"NO  {self.what}: {self.reason}"
        return (
            f"{'ok ' if self.good else 'NO '} {self.what}: {self.value_J_m2:.4f} J/m2, "
            f"expected {self.expected_J_m2:.4f} within {self.tolerance_J_m2:.4f}"
        )


@dataclass(frozen=True)
class _Control:
    """One interface that controls are made of, and the calculations they need."""

    plan: Plan
    arrangements: dict[str, Recipe]
    settings: dict[str, dict[str, Any]]
    surface: Surface | None = None

    @property
    def label(self) -> str:
        film, substrate = self.plan.spec.film.label, self.plan.spec.substrate.label
        return f"{film} on itself" if film == substrate else self.plan.spec.label


def control_flow(
    plans: list[Plan], study: Study, *, interfaces: bool | None = None, surfaces: bool = True
) -> Flow:
    """Return the calculations of all controls, each once.

    Parameters
    ----------
    plans : list of Plan
    study : Study
    interfaces : bool, optional
        Whether controls are made of the whole interfaces as well as of each metal on
        itself; with EMT only, if left out, as the doubled cell costs hours with GPAW.
    surfaces : bool
        Whether the surface energies of all sides are computed as well.
    """
    jobs: dict[str, Job] = {}
    for control in _controls(plans, study, interfaces=interfaces):
        for made in _control_jobs(control):
            jobs.setdefault(made.uuid, made)
    for known, surface, of_plan in _known_surfaces(plans):
        made = WorkOfAdhesionMaker(level=of_plan.level.name).jobs(of_plan)
        one = surface_job(of_plan, surface, made)
        one.name = f"{known.surface} surface, {surface.settings['ecut_eV']:g} eV"
        jobs = {made[f"bulk_{surface.side}"].uuid: made[f"bulk_{surface.side}"], **jobs}
        jobs.setdefault(one.uuid, one)
    for surface_plan in plans if surfaces else []:
        jobs = {**_surface_jobs_of(surface_plan), **jobs}
    return Flow(list(jobs.values()), name="controls")


def check_controls(
    plans: list[Plan], study: Study, results: Results, *, interfaces: bool | None = None
) -> list[Line]:
    """Compare what store and archive hold; a calculation that is missing is not good."""
    return [*_lines(plans, study, results, interfaces=interfaces)]


def _lines(
    plans: list[Plan], study: Study, results: Results, *, interfaces: bool | None
) -> Iterator[Line]:
    for control in _controls(plans, study, interfaces=interfaces):
        if control.surface is not None:
            yield _on_itself(control, results)
        yield from _arranged(control, results)
    for known, surface, _ in _known_surfaces(plans):
        yield _known_gamma(known, surface, results)


def _controls(plans: list[Plan], study: Study, *, interfaces: bool | None) -> Iterator[_Control]:
    """Metals on themselves, then interfaces."""
    seen = set()
    for plan in plans:
        for side in (plan.film, plan.substrate):
            if side is None or side.material.kind != "metal" or side.spec.label in seen:
                continue
            seen.add(side.spec.label)
            spec = InterfaceSpec(film=side.spec, substrate=side.spec)
            level = _cheap(study.level(plan.level.name))
            own = _in_registry(plan_interface(spec, level, study))
            assert own.film is not None
            yield replace(_arrangements(own), surface=_matched_surface(own, own.film))
    for plan in plans:
        wanted = plan.settings["name"] == "emt" if interfaces is None else interfaces
        if plan.film is not None and wanted:
            yield _arrangements(plan)


def _cheap(level: Level) -> Level:
    """Return the level for a metal on itself: rigid, thin, with the bulk's k-points."""
    layers = LayersSpec(film=LAYERS, metal=LAYERS, layered=1, compound=1)
    return level.model_copy(
        update={
            "layers": layers,
            "relax_slabs": [],
            "relax_interface": False,
            "n_gaps": 5,
            "n_registries": 1,
            "dispersion": False,
            "kpoint_length_A": level.kpoint_length_bulk_A,
        }
    )


def _in_registry(plan: Plan) -> Plan:
    """Let the film of a metal on itself go on where the crystal of the substrate ends."""
    assert plan.film is not None
    assert plan.match is not None
    side, supercell = plan.film, plan.match.film_transformation
    whole = build_slab(side.material, side.termination, 2 * LAYERS, supercell)
    half = build_slab(side.material, side.termination, LAYERS, supercell)
    # Atoms are sorted by height: the lowest of each half tells where that half stands.
    n = len(half)
    low, high = (whole.positions[i, :2] - half.positions[0, :2] for i in (0, n))
    x, y = np.linalg.solve(np.array(half.cell)[:2, :2].T, high - low)
    recipes = dict(plan.recipes)
    recipes["curve"] = recipes["curve"].model_copy(
        update={"parameters": {**recipes["curve"].parameters, "stacking": "crystal"}}
    )
    return replace(plan, shifts=[(float(x) % 1.0, float(y) % 1.0)], recipes=recipes)


def _matched_surface(plan: Plan, side: Side) -> Surface:
    """Slabs of the same thickness as the two sides and their sum, so that W = 2 gamma."""
    return own_surface(plan, "film", side, thicknesses=(LAYERS, 2 * LAYERS))


def _arrangements(plan: Plan) -> _Control:
    """Recipes of one interface, arranged in equivalent ways and pulled apart."""
    assert plan.film is not None
    slabs = {s: plan.recipes[f"{s}_slab"].parameters for s in ("film", "substrate")}
    shared = {k: v for k, v in slabs["film"].items() if k.startswith(("film_", "substrate_"))}
    settings: dict[str, dict[str, Any]] = {}
    recipes: dict[str, Recipe] = {}
    for name in ARRANGEMENTS:
        settings[name] = {**plan.settings, **_mesh(plan.settings, doubled=name == "doubled")}
        recipes[name] = Recipe(
            kind="control",
            calculator=identity(settings[name]),
            parameters={
                **shared,
                "share": slabs["film"]["share"],
                "arrangement": name,
                "film_thickness": slabs["film"]["thickness"],
                "substrate_thickness": slabs["substrate"]["thickness"],
                "vacuum_A": plan.level.vacuum_A,
            },
            crystals=plan.recipes["film_slab"].crystals,
            parents=plan.recipes["film_slab"].parents,
        )
    return _Control(plan, recipes, settings)


def _mesh(settings: dict[str, Any], *, doubled: bool) -> dict[str, Any]:
    """Return a mesh that a doubled cell can have half of: a multiple of 4 along the first vector.

    Then the k-points of both cells are the very same ones.
    """
    if "kpoints" not in settings:
        return {}
    a, b, c = settings["kpoints"]
    n = 4 * max(1, -(-a // 4))
    return {"kpoints": (n // 2 if doubled else n, b, c)}


# --- the calculations --------------------------------------------------------------------


@dataclass
class ControlMaker(CalculationMaker):
    """Film, substrate and both together, in one arrangement."""

    name: str = "control"

    @job(output_schema=ControlDocument)
    def make(
        self,
        recipe: dict[str, Any],
        film: Material,
        substrate: Material,
        film_bulk: Any,
        substrate_bulk: Any,
        shifts: list[Any],
    ) -> ControlDocument:
        """Compute the three energies.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'control'.
        film, substrate : Material
        film_bulk, substrate_bulk : BulkDocument
        shifts : list of tuple of float
            Registries, in fractions of the common cell; that of closest contact is taken.
        """
        parsed = Recipe.model_validate(recipe)
        workspace = Workspace(parsed)
        past = workspace.load()
        meter = Meter(past)
        energies = {k: Energy.model_validate(v) for k, v in past.get("energies", {}).items()}
        materials = {
            "film": at_bulk(film, film_bulk),
            "substrate": at_bulk(substrate, substrate_bulk),
        }
        interface = arranged(parsed.parameters, materials, shifts)
        parts = {
            "film": interface.film_atoms(),
            "substrate": interface.substrate_atoms(),
            "together": interface.atoms,
        }
        try:
            for name, atoms in parts.items():
                if name not in energies:
                    calculator = new_calculator(self.needed(), workspace, meter)
                    energies[name] = single_energy(atoms, calculator, parsed)
                    kept = {k: v.model_dump() for k, v in energies.items()}
                    workspace.save(energies=kept, **meter.read())
        except NotConvergedError as error:
            return new_document(
                ControlDocument, self, parsed, meter, status="unconverged", reason=str(error)
            )
        return new_document(
            ControlDocument, self, parsed, meter,
            area_A2=interface.area_A2, gap_A=interface.gap_A, **energies,
        )  # fmt: skip


def arranged(
    parameters: dict[str, Any], materials: dict[str, Material], shifts: list[Any]
) -> Interface:
    """Build an interface as cut, 0.3 Å beyond contact, in one of the `ARRANGEMENTS`.

    Parameters
    ----------
    parameters : dict
        Of a control recipe.
    materials : dict
        'film' and 'substrate', both at the lattice of the level.
    shifts : list of tuple of float
        Registries to choose from, in fractions of the common cell.
    """
    how = parameters["arrangement"]
    film, substrate = (
        common_slab(
            {**parameters, "side": s, "thickness": parameters[f"{s}_thickness"]}, materials
        )[0]
        for s in ("film", "substrate")
    )
    x, y = deepest_first(substrate, film, [(float(a), float(b)) for a, b in shifts])[0]
    gap = round(contact_gap(substrate, film, (x, y)), 3) + ABOVE_CONTACT_A
    gap += FAR_A if how == "far" else 0.0
    if how == "doubled":
        film, substrate, x = film.repeat((2, 1, 1)), substrate.repeat((2, 1, 1)), x / 2
    if how == "swapped":
        # The mirror image, so that the same faces meet in the same way.
        film, substrate, x, y = _upside_down(substrate), _upside_down(film), -x, -y
    extents = [float(np.ptp(s.positions[:, 2])) for s in (film, substrate)]
    height = round(sum(extents) + gap + parameters["vacuum_A"], 1)
    made = stack(substrate, film, gap_A=gap, registry=(x, y), height_A=height)
    if how == "moved":
        made.atoms.positions[:, :2] += np.array(MOVED) @ np.array(made.atoms.cell[:2, :2])
        made.atoms.positions[:, 2] += MOVED_UP_A
    return made


def _upside_down(slab: Atoms) -> Atoms:
    mirrored = slab.copy()
    mirrored.positions[:, 2] *= -1
    mirrored.positions[:, 2] -= mirrored.positions[:, 2].min()
    return mirrored


def _control_jobs(control: _Control) -> Iterator[Job]:
    """Yield the calculations of a control, parents first."""
    plan = control.plan
    made = WorkOfAdhesionMaker(level=plan.level.name).jobs(plan)
    yield made["bulk_film"]
    yield made["bulk_substrate"]
    if control.surface is not None:
        yield from (made["film_slab"], made["substrate_slab"], made["curve"])
        yield surface_job(plan, control.surface, made)
    assert plan.film is not None
    assert plan.substrate is not None
    for name, recipe in control.arrangements.items():
        label = f"{control.label}, {name}"
        maker = ControlMaker(name=label, label=label, calculator=maker_for(control.settings[name]))
        one: Job = maker.make(
            recipe=recipe.model_dump(mode="json"),
            film=plan.film.material,
            substrate=plan.substrate.material,
            film_bulk=made["bulk_film"].output,
            substrate_bulk=made["bulk_substrate"].output,
            shifts=plan.shifts,
        )
        one.set_uuid(recipe.hash)
        yield one


def _surface_jobs_of(plan: Plan) -> dict[str, Job]:
    if plan.film is None:
        return {}
    made = WorkOfAdhesionMaker(level=plan.level.name).jobs(plan)
    bulks = {role: made[role] for role in ("bulk_film", "bulk_substrate")}
    surfaces = surface_jobs(plan, bulks)
    needed = bulks if surfaces else {}
    return {one.uuid: one for one in [*needed.values(), *surfaces.values()]}


# --- the comparisons ---------------------------------------------------------------------


def _on_itself(control: _Control, results: Results) -> Line:
    what = f"{control.label}: W of the binding curve against 2 gamma"
    assert control.surface is not None
    try:
        curve = _finished(results, control.plan.hashes["curve"], CurveDocument)
        surface = _finished(results, control.surface.recipe.hash, SurfaceDocument)
        W, twice = _fitted(curve), 2 * _gamma(surface)
    except AdhesionError as error:
        return Line(what, None, None, None, good=False, reason=error.what)
    tolerance = max(APART_J_m2, SELF_PART * abs(twice))
    return Line(what, W, twice, tolerance, good=abs(W - twice) <= tolerance)


def _arranged(control: _Control, results: Results) -> Iterator[Line]:
    for name, says in SAYS.items():
        what = f"{control.label}: {says}"
        try:
            W = _separation(_finished(results, control.arrangements[name].hash, ControlDocument))
            if name == "far":
                yield Line(what, W, 0.0, APART_J_m2, good=abs(W) <= APART_J_m2)
                continue
            base = control.arrangements["as it is"].hash
            expected = _separation(_finished(results, base, ControlDocument))
        except AdhesionError as error:
            yield Line(what, None, None, None, good=False, reason=error.what)
            continue
        yield Line(what, W, expected, SAME_J_m2, good=abs(W - expected) <= SAME_J_m2)


def _known_surfaces(plans: list[Plan]) -> Iterator[tuple[KnownGamma, Surface, Plan]]:
    """Yield the surfaces whose energy is known for this calculator and functional."""
    seen = set()
    for plan in plans:
        for name, side in (("film", plan.film), ("substrate", plan.substrate)):
            for known in KNOWN_GAMMAS:
                asked = known.calculator, known.functional
                own = plan.settings["name"], plan.settings.get("functional")
                if side is None or asked != own or known.surface != side.spec.label:
                    continue
                surface = own_surface(
                    plan, name, side,
                    thicknesses=known.thicknesses, kpoint_length_A=known.kpoint_length_A,
                )  # fmt: skip
                if surface.recipe.hash not in seen:
                    seen.add(surface.recipe.hash)
                    yield known, surface, plan


def _known_gamma(known: KnownGamma, surface: Surface, results: Results) -> Line:
    cutoff = surface.settings.get("ecut_eV")
    at = f" at {cutoff:g} eV" if cutoff else ""
    what = f"gamma of {known.surface}{at} against {known.source}"
    try:
        gamma = _gamma_of_bulk(_finished(results, surface.recipe.hash, SurfaceDocument))
    except AdhesionError as error:
        return Line(what, None, None, None, good=False, reason=error.what)
    good = abs(gamma - known.gamma_J_m2) <= known.tolerance_J_m2
    return Line(what, gamma, known.gamma_J_m2, known.tolerance_J_m2, good=good)


def _finished(results: Results, hash: str, kind: Any) -> Any:
    found = results.get(hash)
    if found is None:
        raise CalculationError("not computed: a calculation it needs failed or is missing")
    document: CalculationDocument = found.document
    if document.status != "done" or not isinstance(document, kind):
        raise CalculationError(f"{document.label} is {document.status}: {document.reason}")
    return document


def _fitted(curve: CurveDocument) -> float:
    if curve.film is None or curve.substrate is None or curve.area_A2 is None:
        raise CalculationError(f"{curve.label} holds no energies")
    apart = curve.film.energy_eV + curve.substrate.energy_eV
    gaps = [p.gap_A for p in curve.points]
    energies = [p.energy.energy_eV for p in curve.points]
    return fit_binding_curve(gaps, energies, curve.area_A2, apart).W_J_m2


def _gamma_of_bulk(surface: SurfaceDocument) -> float:
    if surface.area_A2 is None or surface.bulk_energy_eV is None:
        raise CalculationError(f"{surface.label} holds no bulk energy")
    atoms = [float(n) for n in surface.atoms]
    return surface_energy_of_slabs(
        atoms, surface.energies_eV, surface.area_A2, surface.bulk_energy_eV
    ).gamma_J_m2


def _gamma(surface: SurfaceDocument) -> float:
    """From slabs of n and 2n layers: then 2 gamma is W at the crystal's own distance."""
    if surface.area_A2 is None:
        raise CalculationError(f"{surface.label} holds no area")
    return surface_energy_from_thickness(
        [float(n) for n in surface.atoms], surface.energies_eV, surface.area_A2
    ).gamma_J_m2


def _separation(document: ControlDocument) -> float:
    energies = (document.film, document.substrate, document.together)
    film, substrate, together = (e.energy_eV if e is not None else None for e in energies)
    if film is None or substrate is None or together is None or document.area_A2 is None:
        raise CalculationError(f"{document.label} holds no energies")
    return work_of_adhesion(film, substrate, together, document.area_A2)
