"""Flows: EMT controls against independent surface energies, identity, other makers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from ase.optimize import BFGS
from atomate2.ase.jobs import EmtRelaxMaker, LennardJonesRelaxMaker, LennardJonesStaticMaker
from jobflow import Flow
from monty.json import MontyDecoder, MontyEncoder

from adhesion.calculators.makers import EmtMaker, GpawMaker
from adhesion.energetics import surface_energy_from_thickness
from adhesion.errors import CalculationError, InputError
from adhesion.flows import StudyMaker, WorkOfAdhesionMaker
from adhesion.jobs import BindingCurveMaker, BulkMaker, RelaxedInterfaceMaker, SlabMaker
from adhesion.schemas import AdhesionRow
from adhesion.study import Study, merge
from conftest import TIGHT, Finished, plan_of, run_here, study_of

METALS = ("Al", "Ag", "Au", "Cu", "Pd")


@cache
def gamma_J_m2(metal, *, relaxed):
    """Surface energy of (001) by ASE alone: own lattice, own slabs, fit over thickness."""
    start = bulk(metal).cell[0].max() * 2
    volumes, energies = [], []
    for scale in np.linspace(0.98, 1.02, 7):
        atoms = bulk(metal, a=start * scale)
        atoms.calc = EMT()
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    a = (4 * EquationOfState(volumes, energies, "birchmurnaghan").fit()[0]) ** (1 / 3)
    layers, slabs = (6, 9, 12), []
    for n in layers:
        slab = fcc100(metal, (1, 1, n), a=a, vacuum=8)
        slab.calc = EMT()
        if relaxed:
            BFGS(slab, logfile=None).run(fmax=1e-4)
        slabs.append(slab.get_potential_energy())
    return surface_energy_from_thickness(layers, slabs, a**2 / 2).gamma_J_m2


class TestSelfInterface:
    """A on A in registry, both sides six layers and relaxed alike, is the bulk: W = 2γ."""

    @pytest.mark.parametrize("metal", METALS)
    def test_W_is_twice_gamma(self, emt, metal):
        row = emt(metal, metal).row
        assert row.status == "done"
        assert row.film_strain_percent == row.substrate_strain_percent == (0.0, 0.0)
        assert row.W_ad_J_m2 == pytest.approx(2 * gamma_J_m2(metal, relaxed=True), abs=2e-4)
        # Pulled apart frozen: faces as cut.
        assert row.W_rigid_J_m2 == pytest.approx(2 * gamma_J_m2(metal, relaxed=False), abs=2e-4)

    @pytest.mark.parametrize("metal", METALS)
    def test_relaxed_interface_is_bulk(self, emt, metal):
        """Layers at the interface stand a/2 apart."""
        document = emt(metal, metal)["interface"]
        heights = np.sort(np.array(document.geometry.positions_A)[:, 2])
        a = emt(metal, metal)["bulk"].geometry.cell_A[0][0]
        assert heights[6] - heights[5] == pytest.approx(a / 2, abs=2e-3)

    def test_one_bulk_is_computed_once(self, emt):
        assert [n for n in emt("Al", "Al").documents if n.endswith("bulk")] == ["Al bulk"]
        flow = StudyMaker(level="smoke").make(study_of("Al", "Al"))
        assert len(flow.jobs) == 6


THREE_LAYERS = {"layers": {"film": 3, "metal": 3}, "strain": {"share": "film"}}
"""Beside TIGHT: three layers each, the film takes the strain (Ag -0.24 %, Pd +0.77 %), 1x1
cells, three registries, gaps of 0.15 Å from contact, fmax 0.001 eV/Å, all but the lowest
substrate layer free. W is then 1.261 (Ag/Au) and 1.683 (Pd/Pt) J/m2."""


class TestTwoMetals:
    """Published EMT numbers, (001) relaxed; γ there is of the faces as cut."""

    @pytest.mark.parametrize(
        ("film", "substrate", "W", "gammas"),
        [("Ag", "Au", 1.249, (0.618, 0.640)), ("Pd", "Pt", 1.708, (0.783, 0.934))],
    )
    def test_W(self, emt, film, substrate, W, gammas):
        row = emt(film, substrate, **THREE_LAYERS).row
        assert row.W_ad_J_m2 == pytest.approx(W, rel=0.05)
        for metal, gamma in zip((film, substrate), gammas, strict=True):
            assert gamma_J_m2(metal, relaxed=False) == pytest.approx(gamma, abs=6e-4)
        assert "strain above limit" not in row.flags
        assert row.n_atoms == 6

    @pytest.mark.parametrize(("film", "substrate"), [("Ag", "Au"), ("Pd", "Pt"), ("Al", "Al")])
    def test_order_of_the_three_W(self, emt, film, substrate):
        row = emt(film, substrate).row
        assert row.W_curve_J_m2 <= row.W_ad_J_m2 + 1e-3
        assert row.W_ad_J_m2 <= row.W_rigid_J_m2 + 1e-3

    @pytest.mark.parametrize(("film", "substrate"), [("Ag", "Au"), ("Pd", "Pt")])
    def test_swapped_sides(self, emt, film, substrate):
        one, other = emt(film, substrate).row, emt(substrate, film).row
        assert one.area_A2 == pytest.approx(other.area_A2, rel=1e-9)
        assert one.W_curve_J_m2 == pytest.approx(other.W_curve_J_m2, abs=1e-4)
        # The lowest layer of the substrate is held, whichever side that is.
        assert one.W_ad_J_m2 == pytest.approx(other.W_ad_J_m2, abs=5e-4)
        assert one.film_strain_percent == pytest.approx(other.substrate_strain_percent)

    def test_twice_the_cell(self, emt, tmp_path, monkeypatch):
        """The same interface in a 2x1 cell, through all calculations."""
        from dataclasses import replace

        from adhesion import planning

        original = planning.find_pairings

        def doubled(*arguments):
            pairing = original(*arguments)[0]
            match, grow = pairing.match, np.array([[2, 0], [0, 1]])
            changes = {
                f"{s}_transformation": (grow @ getattr(match, f"{s}_transformation")).tolist()
                for s in ("film", "substrate")
            }
            match = replace(
                match, **changes, film_multiple=2, substrate_multiple=2, area_A2=2 * match.area_A2
            )
            return [replace(pairing, match=match)]

        monkeypatch.setattr(planning, "find_pairings", doubled)
        flow = WorkOfAdhesionMaker(level="smoke").make("Ag", "Au", study_of("Ag", "Au"))
        row, single = Finished(flow, tmp_path).row, emt("Ag", "Au").row
        assert row.n_atoms == 2 * single.n_atoms
        assert row.area_A2 == pytest.approx(2 * single.area_A2, rel=1e-6)
        for name in ("W_curve_J_m2", "W_ad_J_m2", "W_rigid_J_m2"):
            assert getattr(row, name) == pytest.approx(getattr(single, name), abs=2e-4)


class TestFlow:
    def make(self, **changes):
        return WorkOfAdhesionMaker(level="smoke").make("Ag", "Au", study_of("Ag", "Au", **changes))

    def test_needs_no_study(self, tmp_path):
        flow = WorkOfAdhesionMaker(level="smoke").make("Ag", "Au")
        row = run_here(flow, tmp_path)[flow.jobs[-1].uuid]
        assert isinstance(row, AdhesionRow)
        assert row.status == "done"
        assert row.interface == "Ag(001)/Au(001)"
        assert row.calculator == "emt"
        assert 1.0 < row.W_ad_J_m2 < 1.4
        assert len(list(tmp_path.iterdir())) == len(flow.jobs)

    def test_uuids_are_the_hashes_of_the_recipes(self, emt):
        flow = self.make()
        plan = plan_of("Ag", "Au")
        assert flow.job_uuids[:-1] == tuple(plan.hashes.values())
        assert flow.job_uuids[-1] == plan.hashes["interface"] + "-row"
        for document in list(emt("Ag", "Au").documents.values())[:-1]:
            assert document.hash == document.recipe.hash
        assert emt("Ag", "Au").row.calculations == list(plan.hashes.values())

    def test_built_twice_it_is_the_same(self):
        assert self.make().job_uuids == self.make().job_uuids
        assert self.make().job_uuids != self.make(n_gaps=6).job_uuids

    def test_survives_json(self, emt, tmp_path):
        flow = self.make()
        again = json.loads(json.dumps(flow, cls=MontyEncoder), cls=MontyDecoder)
        assert isinstance(again, Flow)
        assert again.job_uuids == flow.job_uuids
        assert Flow.from_dict(flow.as_dict()).job_uuids == flow.job_uuids
        row = Finished(again, tmp_path).row
        assert row.W_ad_J_m2 == pytest.approx(emt("Ag", "Au").row.W_ad_J_m2, abs=1e-9)

    def test_study_shares_what_is_common(self):
        pairs = [{"film": "Ag", "substrate": s} for s in ("Au", "Pd", "Ag")]
        study = Study(name="three", interfaces=pairs, levels={"smoke": TIGHT})
        flow = StudyMaker(level="smoke").make(study)
        bulks = [j.name for j in flow.jobs if j.name.endswith("bulk")]
        assert sorted(bulks) == ["Ag bulk", "Au bulk", "Pd bulk"]
        assert len(flow.output) == 3
        assert len(flow.jobs) == 3 + 3 * 4 + 3

    def test_nothing_to_compute(self):
        with pytest.raises(InputError, match="nothing to compute"):
            StudyMaker(level="smoke").from_plans(study_of("Ag", "Au"), [])

    def test_ready_facts_of_the_row(self, emt):
        row = emt("Ag", "Au").row
        assert row.n_atoms == 12
        assert row.film_layers == row.substrate_layers == 6
        assert row.n_candidates >= 3
        assert row.fmax_eV_A <= 0.001
        assert row.cpu_seconds > 0


@dataclass
class StiffEmtMaker(EmtMaker):
    """EMT under another name: another identity, the same numbers."""

    name: str = "stiff"


class TestSwappedMakers:
    def test_the_levels_own_calculator_changes_nothing(self):
        maker = WorkOfAdhesionMaker(
            level="smoke", curve_maker=BindingCurveMaker(calculator=EmtMaker())
        )
        flow = maker.make("Ag", "Au", study_of("Ag", "Au"))
        assert flow.job_uuids == TestFlow().make().job_uuids

    def test_another_calculator_has_hashes_of_its_own(self):
        """Or its energies would be stored as those of the level."""
        plain = TestFlow().make().job_uuids
        maker = WorkOfAdhesionMaker(level="smoke", slab_maker=SlabMaker(calculator=StiffEmtMaker()))
        flow = maker.make("Ag", "Au", study_of("Ag", "Au"))
        same = [a == b for a, b in zip(flow.job_uuids, plain, strict=True)]
        assert same == [True, True, False, False, False, False, False]

    def test_row_says_when_calculators_are_mixed(self, tmp_path):
        maker = WorkOfAdhesionMaker(
            level="smoke", curve_maker=BindingCurveMaker(calculator=StiffEmtMaker())
        )
        row = Finished(maker.make("Ag", "Au", study_of("Ag", "Au")), tmp_path).row
        assert row.W_curve_J_m2 == pytest.approx(1.209, abs=0.002)
        assert row.W_ad_J_m2 is None
        assert row.status == "failed"

    def test_one_calculator_for_all(self, emt, tmp_path):
        made = {"calculator": StiffEmtMaker()}
        maker = WorkOfAdhesionMaker(
            level="smoke",
            bulk_maker=BulkMaker(**made),
            slab_maker=SlabMaker(**made),
            curve_maker=BindingCurveMaker(**made),
            interface_maker=RelaxedInterfaceMaker(**made),
        )
        done = Finished(maker.make("Ag", "Au", study_of("Ag", "Au")), tmp_path)
        assert done.row.W_ad_J_m2 == pytest.approx(emt("Ag", "Au").row.W_ad_J_m2, abs=1e-9)
        assert done["curve"].recipe.calculator["name"].endswith("StiffEmtMaker")
        assert done["curve"].hash != emt("Ag", "Au")["curve"].hash

    def test_steps_of_a_given_maker_stay(self):
        maker = WorkOfAdhesionMaker(level="smoke", slab_maker=SlabMaker(max_steps=7))
        jobs = maker.jobs(plan_of("Ag", "Au"))
        assert jobs["film_slab"].function.__self__.max_steps == 7
        study = study_of("Ag", "Au", max_steps=11)
        flow = WorkOfAdhesionMaker(level="smoke").make("Ag", "Au", study)
        steps = [getattr(j.function.__self__, "max_steps", None) for j in flow.jobs[2:-1]]
        assert steps == [11, 11, None, 11]

    def test_gpaw_maker_in_place_of_the_levels(self):
        own = GpawMaker(calculator_kwargs={"ecut_eV": 250.0, "functional": "PBE"})
        maker = WorkOfAdhesionMaker(level="quick", curve_maker=BindingCurveMaker(calculator=own))
        job = maker.make("Na", "Pb").jobs[-2]
        assert job.name.endswith("curve")
        assert job.function.__self__.calculator == own
        recipe = job.function_kwargs["recipe"]
        assert recipe["calculator"]["settings"]["calculator_kwargs"]["ecut_eV"] == 250.0


CUT = {
    "layers": {"film": 4, "metal": 4},
    "lattice": {"metal": "given"},
    "relax_interface": False,
    "n_registries": 2,
}


class TestMakersOfAtomate2:
    def both(self, folder, static, relax, **changes):
        """The flow in one process and that of atomate2's makers."""
        changes = merge(CUT, {"relax_slabs": ["metal"] if relax else []} | changes)
        study = study_of("Ag", "Au", **changes)
        makers = (
            WorkOfAdhesionMaker(level="smoke"),
            WorkOfAdhesionMaker(level="smoke", static_maker=static, relax_maker=relax),
        )
        return [
            Finished(m.make("Ag", "Au", study), folder / str(i))
            for i, m in enumerate(makers)
            if (folder / str(i)).mkdir() is None
        ]

    def test_slabs_as_cut(self, tmp_path):
        ours, theirs = self.both(tmp_path, EmtMaker(), None)
        assert theirs.row.W_curve_J_m2 == pytest.approx(ours.row.W_curve_J_m2, abs=1e-6)
        assert theirs.row.gap_A == ours.row.gap_A
        assert theirs.row.status == "done"
        assert theirs.row.calculator == "adhesion.calculators.makers.EmtMaker"
        assert theirs.row.area_A2 == pytest.approx(ours.row.area_A2)
        assert theirs.row.W_ad_J_m2 is None
        assert theirs["curve"].notes == ["unrelaxed slabs"]
        best = theirs.row.W_curve_J_m2
        curve = theirs["curve"]
        lowest = min(p.energy.energy_eV for p in curve.points)
        apart = curve.film.energy_eV + curve.substrate.energy_eV
        assert (apart - lowest) / curve.area_A2 * 16.021766 == pytest.approx(best, rel=1e-6)
        assert len(curve.points) == 2 * 5

    def test_slabs_relaxed(self, tmp_path):
        relax = EmtRelaxMaker(relax_cell=False, relax_kwargs={"fmax": 0.001})
        ours, theirs = self.both(tmp_path, EmtMaker(), relax)
        assert theirs.row.W_curve_J_m2 == pytest.approx(ours.row.W_curve_J_m2, abs=5e-4)
        assert theirs["curve"].notes == []

    def test_lennard_jones(self, tmp_path):
        settings = {"epsilon": 0.3, "sigma": 2.6, "rc": 6.0, "smooth": True}
        path = "ase.calculators.lj.LennardJones"
        ours, theirs = self.both(
            tmp_path,
            LennardJonesStaticMaker(calculator_kwargs=settings),
            LennardJonesRelaxMaker(
                relax_cell=False, relax_kwargs={"fmax": 0.001}, calculator_kwargs=settings
            ),
            calculator={"name": path, "settings": settings},
        )
        assert ours.row.W_curve_J_m2 > 0.1
        assert theirs.row.W_curve_J_m2 == pytest.approx(ours.row.W_curve_J_m2, abs=1e-3)

    def test_uuid_of_the_curve_is_its_hash(self):
        maker = WorkOfAdhesionMaker(level="smoke", static_maker=EmtMaker())
        flows = [maker.make("Ag", "Au", study_of("Ag", "Au", **CUT)) for _ in range(2)]
        curves = [next(j for j in f.jobs if j.name.endswith("curve")) for f in flows]
        assert curves[0].uuid == curves[1].uuid
        assert curves[0].uuid != plan_of("Ag", "Au").hashes["curve"]
        other = WorkOfAdhesionMaker(level="smoke", static_maker=LennardJonesStaticMaker())
        jobs = other.make("Ag", "Au", study_of("Ag", "Au", **CUT)).jobs
        assert next(j for j in jobs if j.name.endswith("curve")).uuid != curves[0].uuid

    def test_vasp(self):
        from atomate2.vasp.jobs.core import RelaxMaker, StaticMaker

        maker = WorkOfAdhesionMaker(
            level="quick", static_maker=StaticMaker(), relax_maker=RelaxMaker()
        )
        flow = maker.make("Na", "Pb")
        kinds = [type(getattr(j.function, "__self__", None)).__name__ for j in flow.jobs]
        assert kinds.count("RelaxMaker") == 2
        assert kinds.count("StaticMaker") == 2 + 3  # both sides and three gaps
        assert len(flow.jobs) == 10
        sizes = [len(j.function_args[0]) for j in flow.jobs[:2]]
        assert sum(sizes) == 22
        again = json.loads(json.dumps(flow, cls=MontyEncoder), cls=MontyDecoder)
        assert again.job_uuids == flow.job_uuids
        study = Study(name="x", interfaces=[{"film": "Na", "substrate": s} for s in ("Pb", "C")])
        assert len(StudyMaker(level="quick", interface_maker=maker).make(study).output) == 2

    def test_a_maker_that_relaxes_the_cell_is_refused(self):
        maker = WorkOfAdhesionMaker(
            level="smoke", static_maker=EmtMaker(), relax_maker=EmtRelaxMaker()
        )
        with pytest.raises(InputError, match="relax_cell=False"):
            maker.make("Ag", "Au", study_of("Ag", "Au"))

    def test_a_cell_that_changed_is_refused(self):
        from pymatgen.io.ase import AseAtomsAdaptor

        from adhesion.external import stacked

        slab = fcc100("Al", (1, 1, 2), a=4.0, vacuum=5, periodic=True)
        structure = AseAtomsAdaptor.get_structure(slab)
        cell = (slab.cell[:2, :2] * 1.01).tolist()
        with pytest.raises(CalculationError, match=r"another cell\n.*ISIF=2"):
            stacked.original(structure, structure, cell, [(0, 0)], [0.0], 8.0, None)

    def test_relax_maker_alone_is_refused(self):
        maker = WorkOfAdhesionMaker(level="smoke", relax_maker=EmtRelaxMaker(relax_cell=False))
        with pytest.raises(InputError, match="give both"):
            maker.make("Ag", "Au")
