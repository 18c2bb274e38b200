"""From plans to jobflow flows: one interface, or a whole study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jobflow import Flow, Job, Maker, job

from adhesion.calculators.makers import maker_for
from adhesion.errors import InputError
from adhesion.jobs import (
    BindingCurveMaker,
    BulkMaker,
    RelaxedInterfaceMaker,
    SlabMaker,
    as_document,
)
from adhesion.planning import Plan, plan_interface, plan_study
from adhesion.rows import RowInput, make_row
from adhesion.schemas import AdhesionRow
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
    """

    name: str = "work of adhesion"
    level: str = "quick"
    bulk_maker: BulkMaker = field(default_factory=BulkMaker)
    slab_maker: SlabMaker = field(default_factory=SlabMaker)
    curve_maker: BindingCurveMaker = field(default_factory=BindingCurveMaker)
    interface_maker: RelaxedInterfaceMaker = field(default_factory=RelaxedInterfaceMaker)

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
        plan = plan_interface(spec, study.level(self.level), study)
        jobs = self.jobs(plan)
        jobs["row"] = row_job(plan, study, jobs)
        return Flow(
            list(jobs.values()), output=jobs["row"].output, name=f"{spec.label} {self.level}"
        )

    def jobs(self, plan: Plan) -> dict[str, Job]:
        """Return the calculations of a plan by role, parents before children."""
        made: dict[str, Job] = {}
        if plan.ready_made is None:
            self._bulks(plan, made)
        self._slabs(plan, made)
        gap = plan.ready_made[2] if plan.ready_made else None
        made["curve"] = self._job(
            self.curve_maker, plan, "curve", plan.settings,
            film_slab=made["film_slab"].output, substrate_slab=made["substrate_slab"].output,
            shifts=plan.shifts, gap_A=gap,
        )  # fmt: skip
        if "interface" in plan.recipes:
            made["interface"] = self._job(
                self.interface_maker, plan, "interface", plan.settings, curve=made["curve"].output
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
                else self._job(
                    self.bulk_maker, plan, role, plan.bulk_settings[side], material=chosen.material
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
            made[role] = self._job(self.slab_maker, plan, role, plan.settings, **inputs)

    def _job(
        self, maker: Any, plan: Plan, role: str, settings: dict[str, Any], **inputs: Any
    ) -> Job:
        """One calculation, known by the hash of its recipe."""
        label = f"{plan.spec.label} {role.replace('_', ' ')}"
        if role.startswith("bulk_"):
            label = f"{inputs['material'].name} bulk"
        changes: dict[str, Any] = {"label": label, "name": label}
        if maker.calculator is None:
            changes["calculator"] = maker_for(settings)
        if hasattr(maker, "max_steps"):
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
        rows = [row_job(p, study, self._shared(p, unique)) for p in plans]
        return Flow(
            [*unique.values(), *rows],
            output=[row.output for row in rows],
            name=f"{study.name} {self.level}",
        )

    def calculations(self, plans: list[Plan]) -> Flow:
        """Return the flow without the jobs that make rows, for a driver that makes them itself."""
        unique: dict[str, Job] = {}
        for plan in plans:
            self._shared(plan, unique)
        return Flow(list(unique.values()), name="calculations")

    def _shared(self, plan: Plan, unique: dict[str, Job]) -> dict[str, Job]:
        """Jobs of a plan by role, each hash once over all plans."""
        made = self.interface_maker.jobs(plan)
        return {role: unique.setdefault(j.uuid, j) for role, j in made.items()}


def row_job(plan: Plan, study: Study, jobs: dict[str, Job]) -> Job:
    """Return the job that turns the documents of an interface into its row."""
    last = {role: made.output for role, made in jobs.items()}
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
