"""The four calculations: numbers, checkpoints after a kill, and what does not converge."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from ase.build import bcc100, bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from ase.io import jsonio
from atomate2.ase.jobs import AseMaker
from pymatgen.core import Lattice, Structure

from adhesion import jobs
from adhesion.calculators import gpaw as ladder
from adhesion.calculators.makers import EmtMaker, maker_for
from adhesion.errors import CalculationError, NotConvergedError
from adhesion.files import read_json, write_json
from adhesion.flows import WorkOfAdhesionMaker
from adhesion.jobs import (
    SLIDE,
    BindingCurveMaker,
    BulkMaker,
    Meter,
    RelaxedInterfaceMaker,
    SlabMaker,
    far_substrate,
    slid,
)
from adhesion.materials import load_material
from adhesion.planning import plan_study
from adhesion.rows import RowInput, make_row
from adhesion.schemas import CurveDocument, Geometry, Recipe, SlabDocument
from conftest import CountingEMT, CountingMaker, KilledError, plan_of, study_of

SAME = 1e-8


def call(maker, *arguments, **keywords):
    """Run a job's function here and now, as a worker does in its folder."""
    return type(maker).make.original(maker, *arguments, **keywords)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CountingEMT.start()


@pytest.fixture
def checkpoint(tmp_path):
    return tmp_path / "checkpoint.json"


def inputs(plan, finished, role):
    """What the job of a role is given, from a flow that has run."""
    recipe = plan.recipes[role].model_dump(mode="json")
    materials = {"film": plan.film.material, "substrate": plan.substrate.material}
    if role.startswith("bulk"):
        return {"recipe": recipe, "material": materials[role.removeprefix("bulk_")]}
    if role.endswith("slab"):
        bulks = {f"{s}_bulk": finished[f"{m.name} bulk"] for s, m in materials.items()}
        return {"recipe": recipe, **materials, **bulks}
    if role == "interface":
        return {"recipe": recipe, "curve": finished["curve"]}
    slabs = {f"{side}_slab": finished[f"{side} slab"] for side in materials}
    return {"recipe": recipe, "shifts": plan.shifts, **slabs}


MAKERS = {
    "bulk_film": BulkMaker,
    "film_slab": SlabMaker,
    "curve": BindingCurveMaker,
    "interface": RelaxedInterfaceMaker,
}
KILLS = {"bulk_film": [1, 3, 5], "film_slab": [1, 2, 4], "curve": [1, 2, 3, 5, 9, 14],
         "interface": [1, 3, -2, -1]}  # fmt: skip


def core(document):
    """A document without what differs from run to run."""
    return document.model_dump(exclude={"cpu_seconds", "wall_seconds"})


def assert_same(found, wanted, tolerance=SAME):
    first, second = json.dumps(core(found)), json.dumps(core(wanted))
    if first != second:  # the digits that JSON and rounded positions leave
        flat = [np.array(list(numbers(core(d)))) for d in (found, wanted)]
        assert flat[0].shape == flat[1].shape
        assert np.allclose(*flat, atol=tolerance)


def numbers(data):
    if isinstance(data, dict):
        data = [data[k] for k in sorted(data)]
    if isinstance(data, list | tuple):
        for item in data:
            yield from numbers(item)
    elif isinstance(data, int | float):
        yield float(data)


@pytest.fixture(scope="module")
def plan():
    return plan_of("Ag", "Au")


@pytest.fixture(scope="module")
def finished(emt):
    return emt("Ag", "Au")


class TestKilled:
    @pytest.mark.parametrize(
        ("role", "at"), [(role, at) for role, kills in KILLS.items() for at in kills]
    )
    def test_goes_on_where_it_was(self, plan, finished, checkpoint, role, at):
        """At most one energy twice, and the document is that of an undisturbed run."""
        maker = MAKERS[role](calculator=CountingMaker(), label="test")
        given = inputs(plan, finished, role)
        undisturbed = call(maker, **given)
        total = CountingEMT.calls
        checkpoint.unlink()

        at = at if at > 0 else total + 1 + at
        CountingEMT.start(dies_at=at)
        with pytest.raises(KilledError):
            call(maker, **given)
        CountingEMT.start()
        resumed = call(maker, **given)
        relaxes = role == "film_slab" or (role == "interface" and at < total - 1)
        if not relaxes:  # the energy that was cut off, and those after it
            assert CountingEMT.calls == total - (at - 1)
        else:  # and that of the last geometry
            assert CountingEMT.calls <= total - (at - 1) + 1
        # With its Hessian kept a relaxation takes the same path; positions are kept to 1e-10 Å.
        assert_same(resumed, undisturbed, 1e-6 if relaxes else SAME)

    def test_while_the_hessian_is_written(self, plan, finished, checkpoint, monkeypatch):
        maker, given = SlabMaker(calculator=EmtMaker()), inputs(plan, finished, "film_slab")
        undisturbed = call(maker, **given)
        checkpoint.unlink()
        write, written = jsonio.write_json, []

        def torn(file, data):
            written.append(data)
            if len(written) < 4:
                return write(file, data)
            file.write('[{"__ndarray__": [[9, 9')
            file.flush()
            raise KilledError

        monkeypatch.setattr(jsonio, "write_json", torn)
        with pytest.raises(KilledError):
            call(maker, **given)
        monkeypatch.undo()
        monkeypatch.chdir(checkpoint.parent)
        resumed = call(maker, **given)
        assert resumed.ionic_steps == undisturbed.ionic_steps
        assert_same(resumed, undisturbed, 1e-9)

    def test_cpu_time_of_the_killed_run_counts(self, plan, finished, checkpoint):
        maker = BindingCurveMaker(calculator=CountingMaker())
        given = inputs(plan, finished, "curve")
        CountingEMT.start(dies_at=4)
        with pytest.raises(KilledError):
            call(maker, **given)
        state = json.loads(checkpoint.read_text())
        assert len(state["energies"]) == 3
        write_json(checkpoint, state | {"cpu_seconds": 1000.0})
        CountingEMT.start()
        assert call(maker, **given).cpu_seconds > 1000

    def test_a_changed_digit_of_a_checkpoint_is_noticed(self, plan, finished, checkpoint):
        maker = BindingCurveMaker(calculator=CountingMaker())
        given = inputs(plan, finished, "curve")
        CountingEMT.start(dies_at=4)
        with pytest.raises(KilledError):
            call(maker, **given)
        text = checkpoint.read_text()
        energy = str(json.loads(text)["energies"]["film"]["energy_eV"])
        checkpoint.write_text(text.replace(energy, str(float(energy) - 1.0)))
        CountingEMT.start()
        assert call(maker, **given).film.energy_eV == float(energy)
        assert checkpoint.with_name("checkpoint.json.damaged").exists()
        told = checkpoint.with_name("progress.txt").read_text()
        assert "checkpoint.json was changed after it was written" in told

    def test_energies_of_two_versions_are_not_mixed(self, plan, finished, checkpoint, monkeypatch):
        maker = BindingCurveMaker(calculator=CountingMaker())
        given = inputs(plan, finished, "curve")
        CountingEMT.start(dies_at=4)
        with pytest.raises(KilledError):
            call(maker, **given)
        now = jobs.versions("emt")
        monkeypatch.setattr(jobs, "versions", lambda name: now | {"ase": "99.0"})
        CountingEMT.start()
        made = call(maker, **given)
        assert CountingEMT.calls == 2 + len(made.points)
        told = checkpoint.with_name("progress.txt").read_text()
        assert f"checkpoint.json is of ase {now['ase']}, not 99.0" in told

    @pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"hash": "other", "energies": {}}'])
    @pytest.mark.parametrize("role", ["film_slab", "curve"])
    def test_a_checkpoint_that_is_not_ours_is_left_alone(
        self, plan, finished, checkpoint, role, damage
    ):
        maker = MAKERS[role](calculator=CountingMaker(), label="test")
        given = inputs(plan, finished, role)
        whole = call(maker, **given)
        total = CountingEMT.calls
        checkpoint.write_text(damage)
        CountingEMT.start()
        assert_same(call(maker, **given), whole)
        assert CountingEMT.calls == total

    def test_checkpoint_of_another_recipe(self, plan, finished, checkpoint):
        maker = BindingCurveMaker(calculator=CountingMaker())
        given = inputs(plan, finished, "curve")
        call(maker, **given)
        total = CountingEMT.calls
        state = json.loads(checkpoint.read_text())
        state["energies"]["film"]["energy_eV"] += 1.0
        checkpoint.write_text(json.dumps(state | {"hash": "0" * 32}))
        CountingEMT.start()
        assert call(maker, **given).film.energy_eV == pytest.approx(
            finished["curve"].film.energy_eV, abs=1e-9
        )
        assert CountingEMT.calls == total


class TestPartialGeometry:
    def state(self, plan, finished, atoms):
        geometry = Geometry.from_ase(atoms).model_dump(mode="json")
        recipe = plan.recipes["film_slab"]
        return json.dumps({"hash": recipe.hash, "geometry": geometry, "steps": 40,
                           "fmax_start_eV_A": 0.5})  # fmt: skip

    def test_is_taken_up(self, plan, finished, checkpoint):
        atoms = finished["film slab"].geometry.to_ase()
        atoms.positions[:, 2] += 1.7  # stood elsewhere in its cell
        checkpoint.write_text(self.state(plan, finished, atoms))
        maker = SlabMaker(calculator=CountingMaker())
        document = call(maker, **inputs(plan, finished, "film_slab"))
        assert CountingEMT.calls == 1
        assert document.ionic_steps == 40
        assert document.fmax_start_eV_A == 0.5
        assert document.energy_eV == pytest.approx(finished["film slab"].energy_eV, abs=1e-6)
        moved = np.array(document.geometry.positions_A) - atoms.positions
        assert np.allclose(moved, [0, 0, -1.7], atol=1e-6)

    def test_of_a_slightly_other_cell_is_strained_to_ours(self, plan, finished, checkpoint):
        atoms = finished["film slab"].geometry.to_ase()
        atoms.set_cell(atoms.cell.array * [[1.01], [1.01], [1.0]], scale_atoms=True)
        checkpoint.write_text(self.state(plan, finished, atoms))
        document = call(SlabMaker(calculator=EmtMaker()), **inputs(plan, finished, "film_slab"))
        assert np.allclose(document.geometry.cell_A, finished["film slab"].geometry.cell_A)
        assert document.energy_eV == pytest.approx(finished["film slab"].energy_eV, abs=1e-5)

    def test_of_other_atoms_is_not(self, plan, finished, checkpoint, tmp_path):
        atoms = finished["film slab"].geometry.to_ase()
        atoms.symbols[0] = "Au"
        checkpoint.write_text(self.state(plan, finished, atoms))
        document = call(SlabMaker(calculator=EmtMaker()), **inputs(plan, finished, "film_slab"))
        assert document.energy_eV == pytest.approx(finished["film slab"].energy_eV, abs=1e-6)
        assert "other atoms" in (tmp_path / "progress.txt").read_text()

    def test_held_atoms_of_an_interface_stay(self, plan, finished):
        """So that displacements after a resume count from the same place."""
        maker = RelaxedInterfaceMaker(calculator=CountingMaker())
        CountingEMT.start(dies_at=4)
        with pytest.raises(KilledError):
            call(maker, **inputs(plan, finished, "interface"))
        CountingEMT.start()
        document = call(maker, **inputs(plan, finished, "interface"))
        start = np.array(finished["curve"].geometry.positions_A)
        end = np.array(document.geometry.positions_A)
        assert document.geometry.fixed
        held = document.geometry.fixed
        assert np.allclose(start[held], end[held], atol=1e-9)
        assert document.max_displacement_A == pytest.approx(
            finished["interface"].max_displacement_A, abs=2e-3
        )


class TestBulk:
    def crystal(self, scale):
        material = load_material("Al")
        structure = material.structure.copy()
        structure.scale_lattice(structure.volume * scale**3)
        return material.with_structure(structure)

    def recipe(self, **parameters):
        return Recipe(
            kind="bulk",
            calculator={"name": "emt", "functional": "EMT", "proxy": None},
            parameters={"lattice": "relaxed", **parameters},
            crystals={},
        ).model_dump(mode="json")

    @staticmethod
    def lattice_A():
        """Al of EMT by ASE's own means."""
        volumes, energies = [], []
        for a in np.linspace(3.92, 4.08, 7):
            atoms = bulk("Al", a=a)
            atoms.calc = EMT()
            volumes.append(atoms.get_volume())
            energies.append(atoms.get_potential_energy())
        volume, _, modulus = EquationOfState(volumes, energies, "birchmurnaghan").fit()
        return (4 * volume) ** (1 / 3), modulus * 160.21766

    @pytest.mark.parametrize("scale", [1.0, 0.93, 1.09])
    def test_recentres_until_the_minimum_is_inside(self, scale):
        document = call(
            BulkMaker(calculator=EmtMaker()), recipe=self.recipe(), material=self.crystal(scale)
        )
        a, modulus = self.lattice_A()
        assert document.geometry.cell_A[0][0] == pytest.approx(a, abs=3e-3)
        assert document.bulk_modulus_GPa == pytest.approx(modulus, rel=0.05)
        assert len(document.volumes_A3) == len(document.energies_eV) >= 5
        lowest = int(np.argmin(document.energies_eV))
        assert 0 < lowest < len(document.energies_eV) - 1

    def test_given_lattice_computes_nothing(self):
        recipe = self.recipe(lattice="given")
        document = call(BulkMaker(), recipe=recipe, material=self.crystal(1.05))
        assert document.energy_eV is None
        assert document.geometry.cell_A[0][0] == pytest.approx(4.05 * 1.05, abs=0.01)
        assert document.notes[0].startswith("lattice from")

    def test_cell_and_atoms_of_other_crystals(self):
        sites = [[0, 0, 0.02], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        structure = Structure(Lattice.tetragonal(4.0, 4.4), ["Al"] * 4, sites)
        material = load_material("Al").with_structure(structure)
        document = call(BulkMaker(calculator=EmtMaker()), recipe=self.recipe(), material=material)
        assert document.status == "done"
        a, _ = self.lattice_A()
        assert np.linalg.det(document.geometry.cell_A) == pytest.approx(a**3, rel=1e-2)

    def test_no_calculator(self):
        with pytest.raises(CalculationError, match="was given no calculator"):
            call(BulkMaker(label="Al bulk"), recipe=self.recipe(), material=self.crystal(1.0))

    def test_unconverged_scf_is_a_document(self):
        document = call(
            BulkMaker(calculator=BreakingMaker()), recipe=self.recipe(), material=self.crystal(1)
        )
        assert document.status == "unconverged"
        assert "swings" in document.reason
        assert document.geometry is None


class BreakingEMT(EMT):
    def calculate(self, *arguments, **keywords):
        raise NotConvergedError("the SCF swings")


class NotANumberEMT(EMT):
    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        self.results["energy"] = float("nan")


@dataclass
class BreakingMaker(AseMaker):
    kind: type = BreakingEMT

    def _get_calculator(self):
        return self.kind()


class TestUnconverged:
    def test_too_few_steps(self, plan, finished):
        maker = SlabMaker(calculator=EmtMaker(), max_steps=1)
        document = call(maker, **inputs(plan, finished, "film_slab"))
        assert document.status == "unconverged"
        assert document.ionic_steps == 1
        assert document.fmax_end_eV_A > 0.001
        force = f"largest force {document.fmax_end_eV_A:.3f} eV/Å after 1 steps"
        assert document.reason == force
        atoms = document.geometry.to_ase()
        atoms.calc = EMT()
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() == pytest.approx(
            document.fmax_end_eV_A, abs=1e-6
        )

    def test_steps_are_those_taken(self, plan, finished):
        whole = finished["film slab"]
        maker = SlabMaker(calculator=EmtMaker(), max_steps=whole.ionic_steps)
        document = call(maker, **inputs(plan, finished, "film_slab"))
        assert document.status == "done"
        assert document.ionic_steps == whole.ionic_steps

    @pytest.mark.parametrize("role", ["film_slab", "curve", "interface"])
    def test_scf(self, plan, finished, role):
        maker = MAKERS[role](calculator=BreakingMaker(), label="x")
        document = call(maker, **inputs(plan, finished, role))
        assert document.status == "unconverged"
        assert "swings" in document.reason

    def test_energy_that_is_no_number(self, plan, finished):
        maker = BindingCurveMaker(calculator=BreakingMaker(kind=NotANumberEMT))
        with pytest.raises(CalculationError, match="no number"):
            call(maker, **inputs(plan, finished, "curve"))


class TestCurve:
    def test_lowest_energy_is_bracketed(self, finished):
        curve = finished["curve"]
        best = min(curve.points, key=lambda p: p.energy.energy_eV)
        gaps = sorted(p.gap_A for p in curve.points if p.registry == best.registry)
        assert len(gaps) >= 5
        assert gaps[0] < best.gap_A < gaps[-1]
        assert len({p.registry for p in curve.points}) == 3

    def test_hollow_is_the_best_registry_of_fcc(self, finished):
        curve = finished["curve"]
        best = min(curve.points, key=lambda p: p.energy.energy_eV)
        atoms = curve.geometry.to_ase()
        film = atoms[curve.film_indices]
        rest = atoms[[i for i in range(len(atoms)) if i not in curve.film_indices]]
        lowest = film.positions[film.positions[:, 2].argmin(), :2]
        highest = rest.positions[rest.positions[:, 2].argmax(), :2]
        shift = np.linalg.solve(atoms.cell[:2, :2].T, lowest - highest)
        assert np.allclose(shift % 1, 0.5, atol=1e-6), best

    def test_area_and_parts(self, finished):
        curve = finished["curve"]
        (a, b), (c, d) = np.array(curve.geometry.cell_A)[:2, :2]
        assert curve.area_A2 == pytest.approx(abs(a * d - b * c))
        assert curve.geometry.symbols.count("Ag") == len(curve.film_indices) == 6

    def test_far_substrate_is_held(self):
        atoms = bcc100("Na", (1, 1, 6), a=4.0, vacuum=5)  # layers 2 Å apart
        atoms.positions[:, 2] += 3
        film = [4, 5]
        assert far_substrate(atoms, film, 3.0) == [0, 1]
        assert far_substrate(atoms, film, 100.0) == [0]
        assert far_substrate(atoms, film, 0.1) == [0, 1, 2]


class TestGpawThatDoesNotConverge:
    """With one iteration allowed, GPAW's own failure reaches document and row."""

    def test_no_number_comes_of_it(self, monkeypatch, tmp_path):
        for scheme in ladder.SCHEMES:
            monkeypatch.setitem(ladder.SCHEMES, scheme, {"maxiter": 1})
        settings = {"name": "gpaw", "functional": "PBE", "ecut_eV": 200.0, "setups": {"Na": "1"}}
        slab = bcc100("Na", (1, 1, 2), a=4.2, vacuum=4)
        slab.pbc = (True, True, False)
        recipe = Recipe(
            kind="curve", calculator=settings, crystals={},
            parameters={"n_gaps": 2, "gap_step_A": 0.3, "n_registries": 1, "vacuum_A": 8,
                        "dispersion": False},
        )  # fmt: skip
        side = SlabDocument(
            hash="0", label="Na", recipe=recipe, status="done", geometry=Geometry.from_ase(slab)
        )
        curve = call(
            BindingCurveMaker(calculator=maker_for(settings), label="Na/Na curve"),
            recipe=recipe.model_dump(mode="json"), film_slab=side, substrate_slab=side,
            shifts=[(0.5, 0.5)],
        )  # fmt: skip
        assert isinstance(curve, CurveDocument)
        assert curve.status == "unconverged"
        assert "softer: not converged in 1" in curve.reason
        assert curve.points == []
        assert curve.scf_iterations == 3
        assert (tmp_path / "gpaw.txt").exists()

        study = study_of("Na", "Na", "quick")
        plan = plan_study(study, "quick")[0]
        row = make_row(
            RowInput(study.interfaces[0], plan.level, plan.facts(), {"curve": (curve, "computed")}),
            [],
        )
        assert row.status == "unconverged"
        assert "not converged in 1" in row.reason
        assert row.W_curve_J_m2 is row.W_ad_J_m2 is row.W_rigid_J_m2 is None


def test_a_flow_knows_who_computes(plan):
    jobs = WorkOfAdhesionMaker(level="smoke").jobs(plan)
    assert [j.function.__self__.calculator for j in jobs.values()] == [EmtMaker()] * 6


def test_a_film_is_relaxed_from_slid_layers_too_and_the_lower_is_kept(emt):
    changes = {"film_starts": 2, "layers": {"film": 3}, "relax_interface": False}
    finished = emt("Ag", "Au", **changes)
    film, substrate = finished["film slab"], finished["substrate slab"]
    assert film.recipe.parameters["starts"] == 2
    assert "starts" not in substrate.recipe.parameters
    energies = film.start_energies_eV
    assert set(energies) == {"crystal", "slid"}
    assert substrate.start_energies_eV == {}
    # fcc(001) of silver is stable against sliding: both starts end in one slab.
    assert energies["slid"] == pytest.approx(energies["crystal"], abs=1e-4)
    assert film.energy_eV == energies["crystal"]


def test_time_spent_on_slid_layers_before_a_kill_counts(emt, tmp_path):
    changes = {"film_starts": 2, "layers": {"film": 3}, "relax_interface": False}
    (plan,) = plan_study(study_of("Ag", "Au", **changes), "smoke")
    given = inputs(plan, emt("Ag", "Au", **changes), "film_slab")
    maker = SlabMaker(calculator=EmtMaker(), label="film")
    call(maker, **given)
    of_slid = tmp_path / "slid" / "checkpoint.json"
    write_json(of_slid, read_json(of_slid) | {"cpu_seconds": 1000.0})
    assert call(maker, **given).cpu_seconds > 1000


def test_slid_layers_are_sheared_along_the_shortest_neighbour_vector():
    slab = bcc100("Na", (2, 2, 3), a=4.2, vacuum=5, periodic=True)
    moved = slid(slab).positions - slab.positions
    by_layer = [moved[4 * n : 4 * n + 4] for n in range(3)]
    for n, shift in enumerate(by_layer):
        assert np.allclose(shift, shift[0])
        assert np.linalg.norm(shift[0]) == pytest.approx(n * SLIDE * 4.2)
        assert shift[0][2] == 0


class Counted:
    """A calculator of which only the counts matter."""

    iterations = 0
    cpu_seconds = 0.0


def test_the_meter_counts_all_calculators_and_keeps_only_the_last():
    meter = Meter({"scf_iterations": 5, "cpu_seconds": 100.0})
    first = Counted()
    meter.watch(first)
    first.iterations, first.cpu_seconds = 7, 30.0
    assert meter.read()["scf_iterations"] == 12
    gone = weakref.ref(first)
    del first
    second = Counted()
    meter.watch(second)
    assert gone() is None  # a GPAW holds gigabytes
    second.iterations = 3
    assert meter.read()["scf_iterations"] == 15
    assert 130.0 <= meter.read()["cpu_seconds"] < 140.0


def test_the_meter_of_a_calculator_without_iterations_counts_none():
    meter = Meter({})
    meter.watch(EMT())
    assert meter.read()["scf_iterations"] is None


def test_savings_are_counted_against_the_first_scf():
    calculator = Counted()
    savings = jobs.Savings(calculator, None, None)
    for iterations in (20, 29, 41, 61):  # 20, 9, 12 and 20 each
        calculator.iterations = iterations
        savings.count()
    assert savings.total == 11 + 8
    calculator = Counted()
    resumed = jobs.Savings(calculator, savings.total, savings.first)
    calculator.iterations = 6
    resumed.count()
    assert resumed.total == 19 + 14
    without = jobs.Savings(EMT(), None, None)
    without.count()
    assert without.total is None


def test_a_part_tells_the_watcher_of_the_whole_and_keeps_its_own_state(tmp_path):
    recipe = Recipe(kind="slab", calculator={"name": "emt"}, parameters={}, crystals={})
    whole = jobs.Workspace(recipe, tmp_path)
    part = whole.part("slid")
    whole.progress("one")
    part.progress("two")
    assert (tmp_path / "progress.txt").read_text() == "one\ntwo\n"
    part.save(steps=3)
    assert (part.load()["steps"], whole.load()) == (3, {})


def test_a_gpaw_relaxation_goes_on_from_the_density_of_its_last_step(tmp_path):
    """As after a kill: what is known is not computed again, and the next step is the same."""
    settings = {"name": "gpaw", "functional": "PBE", "ecut_eV": 200.0, "setups": {"Na": "1"}}
    recipe = Recipe(kind="slab", calculator=settings, parameters={}, crystals={})
    workspace, meter = jobs.Workspace(recipe, tmp_path), Meter({})
    start = bcc100("Na", (1, 1, 4), a=4.2, vacuum=4)
    start.positions[2:, 2] += 0.5
    start.pbc = (True, True, False)

    def calculator():
        return jobs.new_calculator(maker_for(settings), workspace, meter)

    def iterations(steps):
        (tmp_path / "progress.txt").unlink(missing_ok=True)
        found = jobs.relax(start.copy(), calculator, 1e-4, steps, workspace, meter)
        told = (tmp_path / "progress.txt").read_text()
        done = [int(line.split()[1].rstrip(":")) for line in told.split("\n") if "step" in line]
        return found["status"], told.count("iter:"), done

    assert iterations(2)[0] == "unconverged"
    stopped = workspace.load()
    assert stopped["steps"] == 2
    from_atoms = stopped["scf_iterations_first"]
    kept = {p: p.read_bytes() for p in tmp_path.iterdir() if p.name != "progress.txt"}
    status, scf, steps = iterations(1)
    assert (status, steps) == ("unconverged", [2, 3])
    assert 0 < scf < from_atoms  # of step 3 alone: step 2 is known
    went_on = workspace.load()
    assert went_on["scf_iterations_first"] == from_atoms
    for path, content in kept.items():
        path.write_bytes(content)
    (tmp_path / "step.npz").write_bytes(kept[tmp_path / "step.npz"][:500])
    assert iterations(1)[1] > scf  # a torn file is no start
    again = workspace.load()
    assert again["energy_eV"] == pytest.approx(went_on["energy_eV"], abs=1e-5)
    (tmp_path / "checkpoint.json").unlink()
    assert iterations(3)[0] == "unconverged"
    undisturbed = workspace.load()
    assert undisturbed["energy_eV"] == pytest.approx(went_on["energy_eV"], abs=1e-5)


def test_a_gpaw_interface_starts_from_the_densities_of_its_sides(tmp_path, monkeypatch):
    """Fewer iterations than from atoms, and the same energy."""
    monkeypatch.chdir(tmp_path)
    settings = {"name": "gpaw", "functional": "PBE", "ecut_eV": 200.0, "setups": {"Na": "1"}}
    both = bcc100("Na", (1, 1, 4), a=4.2, vacuum=4)
    both.positions[2:, 2] += 0.5
    both.pbc = (True, True, False)
    recipe = Recipe(
        kind="interface", calculator=settings, crystals={},
        parameters={"fmax_eV_A": 9.0, "free_layers_A": 9.0, "dispersion": False},
    )  # fmt: skip
    curve = CurveDocument(
        hash="0", label="Na", recipe=recipe, status="done", geometry=Geometry.from_ase(both),
        film_indices=[2, 3], area_A2=4.2**2,
    )  # fmt: skip
    maker = RelaxedInterfaceMaker(calculator=maker_for(settings), label="Na/Na interface")
    found = call(maker, recipe=recipe.model_dump(mode="json"), curve=curve)
    assert found.status == "done"
    progress = (tmp_path / "progress.txt").read_text()
    blocks = progress.split("density of the ")
    assert [b.split()[0] for b in blocks[1:]] == ["film", "substrate"]
    whole = blocks[2].split("iter:   1|")[2].split("step 0")[0].count("iter:") + 1
    cold = both.copy()
    cold.calc = maker_for(settings)._get_calculator()
    assert found.interface.energy_eV == pytest.approx(cold.get_potential_energy(), abs=1e-4)
    assert whole < cold.calc.iterations
