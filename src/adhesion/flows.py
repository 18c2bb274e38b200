"""From plans to jobflow flows: one interface, or a whole study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jobflow import Flow, Job, Maker, job

from adhesion.calculators import alone
from adhesion.calculators.makers import maker_for
from adhesion.errors import InputError
from adhesion.external import external_jobs, external_plan, maker_identity
from adhesion.jobs import (
    MAX_STEPS,
    BindingCurveMaker,
    BulkMaker,
    RelaxedInterfaceMaker,
    SlabMaker,
    as_document,
)
from adhesion.planning import Plan, plan_interface, plan_study
from adhesion.rows import RowInput, make_row
from adhesion.schemas import AdhesionRow, Recipe
from adhesion.study import InterfaceSpec, SideSpec, Study
from adhesion.wetting import surface_tension


@dataclass
class WorkOfAdhesionMaker(Maker):
    """Flow of one interface: bulks, slabs, binding curve, relaxed interface, row.

    The nested makers carry the protocol; each takes its calculator from the
    level unless it was given one of its own.

    Parameters
    ----------
    name : str
        Name of the flow.
    level : str
        Level of theory, 'smoke' to 'production' or one of the study's own.
    bulk_maker, slab_maker, curve_maker, interface_maker : Maker
        The four calculations.
    static_maker, relax_maker : Maker, optional
        Makers of atomate2 (VASP, ASE, force fields) that compute in place of the
        four: see `adhesion.external`. Without relax_maker the slabs stay as cut.
    """

    name: str = "work of adhesion"
    level: str = "quick"
    bulk_maker: BulkMaker = field(default_factory=BulkMaker)
    slab_maker: SlabMaker = field(default_factory=SlabMaker)
    curve_maker: BindingCurveMaker = field(default_factory=BindingCurveMaker)
    interface_maker: RelaxedInterfaceMaker = field(default_factory=RelaxedInterfaceMaker)
    static_maker: Maker | None = None
    relax_maker: Maker | None = None

    def make(
        self,
        film: str | SideSpec,
        substrate: str | SideSpec,
        study: Study | None = None,
    ) -> Flow:
        """Return the flow of one interface.

        Parameters
        ----------
        film, substrate : str or SideSpec
            Material names, or materials with Miller indices and termination.
        study : Study, optional
            Where own materials, levels and comparisons are looked up.

        Returns
        -------
        Flow
            Its output is an `AdhesionRow`; the uuid of each job is the hash of
            its recipe, so that an interrupted flow built again is the same flow.
        """
        spec = InterfaceSpec.model_validate({"film": film, "substrate": substrate})
        study = study or Study(name="interface", interfaces=[spec])
        for known in study.interfaces:
            if known.label == spec.label:
                spec = known
        plan = self.planned(plan_interface(spec, study.level(self.level), study))
        jobs = self.jobs(plan)
        jobs["row"] = row_job(plan, study, jobs)
        # Of a crystal on itself both bulks are one calculation.
        unique = {made.uuid: made for made in jobs.values()}
        return Flow(
            list(unique.values()), output=jobs["row"].output, name=f"{spec.label} {self.level}"
        )

    def planned(self, plan: Plan) -> Plan:
        """Return the plan as these makers compute it.

        A maker that brought a calculator of its own gives other results than the
        level's, so its calculations, and all that start from them, get recipes and
        hashes of their own.
        """
        if self.static_maker is not None:
            return external_plan(plan, self.static_maker, self.relax_maker)
        if self.relax_maker is not None:
            raise InputError("relax_maker works with static_maker only: give both")
        own = self._own_calculators(plan)
        if not own:
            return plan
        recipes: dict[str, Recipe] = {}
        for role, recipe in plan.recipes.items():
            changes: dict[str, Any] = {"parents": {r: recipes[r].hash for r in recipe.parents}}
            if role in own and recipe.calculator:
                changes["calculator"] = own[role]
            recipes[role] = recipe.model_copy(update=changes)
        return replace(plan, recipes=recipes)

    def _own_calculators(self, plan: Plan) -> dict[str, dict[str, Any]]:
        """Role to identity of the calculator, where it is not the level's."""
        found = {}
        for role in plan.recipes:
            calculator = self._maker(role).calculator
            settings = plan.bulk_settings.get(role.removeprefix("bulk_"), plan.settings)
            if calculator is not None and calculator != maker_for(settings):
                found[role] = maker_identity(calculator)
        return found

    def _maker(self, role: str) -> Any:
        if role.startswith("bulk_"):
            return self.bulk_maker
        if role.endswith("_slab"):
            return self.slab_maker
        return {"curve": self.curve_maker, "interface": self.interface_maker}[role]

    def jobs(self, plan: Plan) -> dict[str, Job]:
        """Return the calculations of a plan by role, parents before children."""
        if self.static_maker is not None:
            return external_jobs(plan, self.static_maker, self.relax_maker)
        made: dict[str, Job] = {}
        if plan.ready_made is None:
            self._bulks(plan, made)
        self._slabs(plan, made)
        gap = plan.ready_made[2] if plan.ready_made else None
        made["curve"] = self.calculation(
            plan, "curve", plan.settings,
            film_slab=made["film_slab"].output, substrate_slab=made["substrate_slab"].output,
            shifts=plan.shifts, gap_A=gap,
        )  # fmt: skip
        if "interface" in plan.recipes:
            made["interface"] = self.calculation(
                plan, "interface", plan.settings, curve=made["curve"].output
            )
        return made

    def _bulks(self, plan: Plan, made: dict[str, Job]) -> None:
        assert plan.film is not None
        assert plan.substrate is not None
        for side, chosen in (("film", plan.film), ("substrate", plan.substrate)):
            role = f"bulk_{side}"
            same = [j for j in made.values() if j.uuid == plan.hashes[role]]
            made[role] = (
                same[0]
                if same
                else self.calculation(
                    plan, role, plan.bulk_settings[side], material=chosen.material
                )
            )

    def _slabs(self, plan: Plan, made: dict[str, Job]) -> None:
        inputs: dict[str, Any] = {}
        if plan.film is not None and plan.substrate is not None:
            inputs = {
                "film": plan.film.material,
                "substrate": plan.substrate.material,
                "film_bulk": made["bulk_film"].output,
                "substrate_bulk": made["bulk_substrate"].output,
            }
        for role in ("film_slab", "substrate_slab"):
            made[role] = self.calculation(plan, role, alone(plan.settings), **inputs)

    def calculation(self, plan: Plan, role: str, settings: dict[str, Any], **inputs: Any) -> Job:
        """Return one calculation of a plan, known by the hash of its recipe."""
        maker = self._maker(role)
        label = f"{plan.spec.label} {role.replace('_', ' ')}"
        if role.startswith("bulk_"):
            label = f"{inputs['material'].name} bulk"
        changes: dict[str, Any] = {"label": label, "name": label}
        if maker.calculator is None:
            changes["calculator"] = maker_for(settings)
        if getattr(maker, "max_steps", None) == MAX_STEPS:  # left as it was
            changes["max_steps"] = plan.level.max_steps
        recipe = plan.recipes[role]
        made = replace(maker, **changes).make(recipe=recipe.model_dump(mode="json"), **inputs)
        made.set_uuid(recipe.hash)
        return made


@dataclass
class StudyMaker(Maker):
    """Flow of a whole study; a calculation that two interfaces share runs once.

    Parameters
    ----------
    name : str
        Name of the flow.
    level : str
        Level of theory.
    interface_maker : WorkOfAdhesionMaker
        How each interface is computed.
    """

    name: str = "study"
    level: str = "quick"
    interface_maker: WorkOfAdhesionMaker = field(default_factory=WorkOfAdhesionMaker)

    def make(self, study: Study, only: list[str] | None = None) -> Flow:
        """Return the flow of a study.

        Parameters
        ----------
        study : Study
            As read by `adhesion.study.load_study`.
        only : list of str, optional
            Interfaces as 'Na/Pb'; all if left out.

        Returns
        -------
        Flow
            Its output is the list of `AdhesionRow`, in the study's order.
        """
        return self.from_plans(study, plan_study(study, self.level, only))

    def from_plans(self, study: Study, plans: list[Plan]) -> Flow:
        """Return the flow of plans already made."""
        if not plans:
            raise InputError("nothing to compute", where=study.where)
        unique: dict[str, Job] = {}
        plans = [self.interface_maker.planned(plan) for plan in plans]
        rows = [row_job(plan, study, self._shared(plan, unique)) for plan in plans]
        return Flow(
            [*unique.values(), *rows],
            output=[row.output for row in rows],
            name=f"{study.name} {self.level}",
        )

    def calculations(self, plans: list[Plan]) -> Flow:
        """Return the flow without the jobs that make rows, for a driver that makes them itself."""
        unique: dict[str, Job] = {}
        for plan in plans:
            self._shared(self.interface_maker.planned(plan), unique)
        return Flow(list(unique.values()), name="calculations")

    def _shared(self, plan: Plan, unique: dict[str, Job]) -> dict[str, Job]:
        """Jobs of a plan by role, each hash once over all plans."""
        made = self.interface_maker.jobs(plan)
        return {role: unique.setdefault(j.uuid, j) for role, j in made.items()}


def row_job(plan: Plan, study: Study, jobs: dict[str, Job]) -> Job:
    """Return the job that turns the documents of an interface into its row."""
    last = {role: jobs[role].output for role in plan.recipes}
    made = summarise(
        spec=plan.spec.model_dump(mode="json"),
        level=plan.level.model_dump(mode="json"),
        plan=plan.facts(),
        tensions=[t.model_dump(mode="json") for t in study.surface_tensions],
        documents=last,
    )
    made.name = f"{plan.spec.label} row"
    made.set_uuid(f"{list(plan.hashes.values())[-1]}-row")
    return made


@job(output_schema=AdhesionRow)
def summarise(
    spec: dict[str, Any],
    level: dict[str, Any],
    plan: dict[str, Any],
    tensions: list[dict[str, Any]],
    documents: dict[str, Any],
) -> AdhesionRow:
    """Turn the documents of one interface into its row."""
    from adhesion.study import Level, SurfaceTensionSpec

    item = RowInput(
        spec=InterfaceSpec.model_validate(spec),
        level=Level.model_validate(level),
        plan=plan,
        documents={role: (as_document(d), "computed") for role, d in documents.items()},
        failures={},
    )
    return make_row(item, [surface_tension(SurfaceTensionSpec.model_validate(t)) for t in tensions])
