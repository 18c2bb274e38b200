from __future__ import annotations

import numpy as np
import pytest

from adhesion.checks import planned
from adhesion.controls import Line, arranged, check_controls, control_flow
from adhesion.energetics import surface_energy_of_slabs
from adhesion.flows import WorkOfAdhesionMaker
from adhesion.materials import load_material
from adhesion.report.collect import row_of
from adhesion.runner import run_flow
from adhesion.store import Results, open_store
from adhesion.surfaces import surfaces_of
from conftest import plan_of, study_of

RIGID = {"layers": {"film": 3, "metal": 3}, "relax_interface": False, "n_gaps": 3}


def gamma(document):
    return surface_energy_of_slabs(
        document.atoms, document.energies_eV, document.area_A2, document.bulk_energy_eV
    ).gamma_J_m2


@pytest.fixture(scope="module")
def silver_on_gold(tmp_path_factory):
    """Controls of Ag/Au with EMT: lines, row and store."""
    folder = tmp_path_factory.mktemp("controls")
    study = study_of("Ag", "Au", **RIGID)
    plans = planned(study, "smoke")
    results = Results(open_store(folder))
    flow = control_flow(plans, study)
    known = {job.uuid for job in flow.jobs}
    jobs = WorkOfAdhesionMaker(level="smoke").jobs(plans[0])
    flow.add_jobs([job for job in jobs.values() if job.uuid not in known])
    run_flow(flow, results, folder=folder, workers=1)
    return study, plans, results, folder


class TestSurfaces:
    def test_gammas_are_those_of_emt(self, silver_on_gold):
        _, (plan,), results, _ = silver_on_gold
        found = {n: results.finished(s.recipe.hash).document for n, s in surfaces_of(plan).items()}
        # Relaxed; as cut they are 0.618 and 0.640.
        assert gamma(found["film"]) == pytest.approx(0.614, abs=0.002)
        assert gamma(found["substrate"]) == pytest.approx(0.5985, abs=0.002)
        assert found["film"].atoms == [6, 7, 8]
        bulk = results.finished(plan.hashes["bulk_film"]).document
        per_atom = bulk.energy_eV / len(bulk.geometry.symbols)
        assert found["film"].bulk_energy_eV == pytest.approx(per_atom, abs=1e-3)
        assert found["film"].relaxed
        assert found["film"].strain_percent is None

    def test_the_strained_mesh_has_the_strain_of_the_slabs(self, silver_on_gold):
        _, (plan,), results, _ = silver_on_gold
        slab = results.finished(plan.hashes["film_slab"]).document
        strained = results.finished(surfaces_of(plan)["film_strained"].recipe.hash).document
        assert strained.strain_percent == pytest.approx(slab.strain_percent, abs=1e-3)
        own = results.finished(surfaces_of(plan)["film"].recipe.hash).document
        stretch = np.prod([1 + s / 100 for s in strained.strain_percent])
        assert strained.area_A2 == pytest.approx(own.area_A2 * stretch, rel=1e-4)

    def test_the_row_takes_them_up(self, silver_on_gold):
        study, (plan,), results, folder = silver_on_gold
        row = row_of(plan, results, folder, [], study)
        assert row.gamma_film_J_m2 == pytest.approx(0.614, abs=0.002)
        assert row.strain_energy_film_J_m2 >= 0
        assert row.gamma_int_J_m2 == pytest.approx(
            row.gamma_film_strained_J_m2 + row.gamma_substrate_strained_J_m2 - row.W_curve_J_m2
        )
        assert "gamma_film_J_m2" not in row.not_computed

    def test_a_surface_at_its_own_lattice_does_not_depend_on_the_other_side(self):
        one, other = (surfaces_of(plan_of("Ag", s))["film"] for s in ("Au", "Pd"))
        assert one.recipe.hash == other.recipe.hash

    def test_the_bulk_has_the_k_points_of_the_slab_and_as_many_across(self):
        parameters = surfaces_of(plan_of("Na", "Pb", "quick"))["film"].recipe.parameters
        # 34 Å over 4.2 Å in the plane, and over the 2.1 Å between layers.
        assert parameters["bulk_kpoints"] == [8, 8, 16]

    def test_sheets_of_a_layered_crystal_are_taken_too(self):
        assert set(surfaces_of(plan_of("Ag", "C"))) == {
            "film", "film_strained", "substrate", "substrate_strained",
        }  # fmt: skip


class TestControls:
    def test_all_hold(self, silver_on_gold):
        study, plans, results, _ = silver_on_gold
        lines = check_controls(plans, study, results)
        assert [line.text for line in lines if not line.good] == []
        assert len(lines) == 2 * 5 + 4
        on_itself = next(line for line in lines if "2 gamma" in line.what)
        assert on_itself.expected_J_m2 == pytest.approx(1.235, abs=0.01)

    def test_a_second_run_computes_nothing(self, silver_on_gold):
        study, plans, results, folder = silver_on_gold
        events = []
        run_flow(
            control_flow(plans, study), results, folder=folder, workers=1, on_event=events.append
        )
        assert {e.kind for e in events} == {"reused"}

    def test_what_is_not_computed_is_not_good(self, silver_on_gold, tmp_path):
        study, plans, _, _ = silver_on_gold
        lines = check_controls(plans, study, Results(open_store(tmp_path)))
        assert not any(line.good for line in lines)
        assert all("not computed" in line.text for line in lines)

    def test_a_line_says_figures_and_tolerance(self):
        text = Line("gamma", 0.25, 0.22, 0.005, good=False).text
        assert text == "NO  gamma: 0.2500 J/m2, expected 0.2200 within 0.0050"

    @pytest.mark.parametrize("how", ["as it is", "doubled", "swapped", "moved", "far"])
    def test_arrangements(self, how):
        plan = plan_of("Ag", "Au")
        parameters = plan.recipes["film_slab"].parameters | {
            "arrangement": how, "film_thickness": 3, "substrate_thickness": 2,
        }  # fmt: skip
        materials = {"film": load_material("Ag"), "substrate": load_material("Au")}
        made = arranged(parameters, materials, plan.shifts)
        below, above = made.substrate_atoms(), made.film_atoms()
        assert set(above.get_chemical_symbols()) == {"Au" if how == "swapped" else "Ag"}
        n = 2 if how == "doubled" else 1
        assert len(above) + len(below) == n * (3 + 2) * len(plan.match.film_transformation) / 2
        gap = above.positions[:, 2].min() - below.positions[:, 2].max()
        assert gap == pytest.approx(made.gap_A)
        assert (gap > 10) == (how == "far")
        assert made.atoms.positions[:, 2].min() > 0
        assert made.atoms.positions[:, 2].max() < made.atoms.cell[2, 2]
