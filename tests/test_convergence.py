"""The ladder: which values it takes, what its errors mean, and that it climbs with EMT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adhesion.convergence import (
    Ladder,
    Rung,
    W_lowest_J_m2,
    climb,
    ladder_of,
    parameters,
    top_shift,
    values,
    without_interface,
)
from adhesion.errors import CalculationError
from adhesion.flows import StudyMaker
from adhesion.planning import plan_interface
from adhesion.runner import run_flow
from adhesion.schemas import CurveDocument
from adhesion.store import Results, open_store
from adhesion.study import Study, data_path, load_study


def rung(value, W, step, parameter="film_layers"):
    return Rung(parameter, value, W, step, "0" * 32)


@pytest.fixture
def ladder():
    """A film that oscillates with its thickness, and a cutoff raised once."""
    rungs = (rung(4, 0.53, 0.03), rung(5, 0.51, -0.02), rung(6, 0.515, 0.005),
             rung(408.0, 0.52, 0.02, "cutoff"))  # fmt: skip
    return Ladder("Na(001)/Pb(001)", "quick", 0.50, {"film_layers": 3, "cutoff": 340.0}, rungs)


class TestErrors:
    def test_is_the_largest_change_above_the_level(self, ladder):
        assert ladder.error_J_m2("film_layers") == pytest.approx(0.03)
        assert ladder.error_J_m2("cutoff") == pytest.approx(0.02)

    @pytest.mark.parametrize(("value", "error"), [(4, 0.02), (5, 0.005), (3.5, 0.03)])
    def test_of_a_higher_level_counts_what_lies_above_it(self, ladder, value, error):
        assert ladder.error_J_m2("film_layers", value) == pytest.approx(error)

    @pytest.mark.parametrize("value", [2, 6, 7])
    def test_is_unknown_outside_the_ladder(self, ladder, value):
        assert ladder.error_J_m2("film_layers", value) is None

    def test_converged_is_judged_by_the_last_step(self, ladder):
        assert ladder.converged("film_layers") is True
        assert ladder.converged("cutoff") is False


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """Ag/Au with EMT: the plan, the store it was climbed in, and its ladder."""
    study = Study(name="test", interfaces=[{"film": "Ag", "substrate": "Au"}],
                  levels={"smoke": {"relax_interface": False}})  # fmt: skip
    plan = plan_interface(study.interfaces[0], study.level("smoke"), study)
    folder = tmp_path_factory.mktemp("store")
    results = Results(open_store(folder))
    flows = []

    def run(flow):
        flows.append(flow)
        run_flow(flow, results, folder=folder, workers=1)

    run(StudyMaker(level="smoke").calculations([without_interface(plan)]))
    ladders = climb([plan], results, run, tolerance_J_m2=1e-3, max_rungs=2)
    return plan, results, ladders[0], run, flows


@pytest.mark.parametrize("lacking", [{"points": []}, {"film": None}, {"area_A2": None}])
def test_a_curve_that_lacks_something_has_no_ladder(climbed, tmp_path, lacking):
    plan, climbed_results, *_ = climbed
    curve = climbed_results.get(plan.hashes["curve"]).document
    results = Results(open_store(tmp_path))
    results.add(curve.model_copy(update=lacking))
    assert ladder_of(plan, results) is None


class TestClimb:
    def test_emt_has_neither_kpoints_nor_cutoff(self, climbed):
        plan, _, ladder, *_ = climbed
        assert parameters(plan) == ("film_layers", "substrate_layers", "vacuum")
        assert set(ladder.foot) == {"film_layers", "substrate_layers", "vacuum"}

    def test_a_rung_is_the_curve_of_a_study_with_that_thickness(self, climbed):
        """The point at the gap of the level's own curve lies within the step of its own curve."""
        _, results, ladder, run, _ = climbed
        changes = {"relax_interface": False, "layers": {"film": 4}}
        thick = Study(
            name="test",
            interfaces=[{"film": "Ag", "substrate": "Au"}],
            levels={"smoke": changes},
        )
        other = plan_interface(thick.interfaces[0], thick.level("smoke"), thick)
        run(StudyMaker(level="smoke").calculations([without_interface(other)]))
        whole = W_lowest_J_m2(results.finished(other.hashes["curve"]).document)
        first = ladder.of("film_layers")[0]
        assert first.value == 4
        assert first.W_J_m2 == pytest.approx(whole, abs=2e-3)

    def test_a_thicker_substrate_keeps_the_film_over_its_hollows(self, climbed):
        """fcc layers alternate: without its shift the film would stand on top, W far below 0."""
        plan, _, ladder, *_ = climbed
        assert np.allclose(top_shift(plan, 3), 0)
        assert np.allclose(top_shift(plan, 5) % 1.0, 0, atol=1e-6)
        assert not np.allclose(top_shift(plan, 4), 0)
        assert ladder.error_J_m2("substrate_layers") < 0.02

    def test_vacuum_changes_nothing_for_a_short_ranged_potential(self, climbed):
        ladder = climbed[2]
        assert ladder.error_J_m2("vacuum") == pytest.approx(0, abs=1e-9)
        assert len(ladder.of("vacuum")) == 1  # the first step was within the tolerance

    def test_steps_add_up(self, climbed):
        ladder = climbed[2]
        for parameter in ladder.foot:
            steps = [r.step_J_m2 for r in ladder.of(parameter)]
            W = [ladder.W_J_m2, *(r.W_J_m2 for r in ladder.of(parameter))]
            assert np.allclose(np.diff(W), steps)

    def test_nothing_is_computed_twice(self, climbed):
        plan, results, ladder, _, _ = climbed

        def forbidden(flow):
            raise AssertionError(f"{flow.name} was run again")

        again = climb([plan], results, forbidden, tolerance_J_m2=1e-3, max_rungs=2)
        assert again == [ladder]

    def test_needs_the_curve_of_the_level(self, climbed, tmp_path):
        with pytest.raises(CalculationError, match="no binding curve at smoke"):
            climb([climbed[0]], Results(open_store(tmp_path)), lambda _: None)
        assert ladder_of(climbed[0], Results(open_store(tmp_path))) is None


def test_values_of_a_gpaw_level_rise():
    study = load_study(data_path("configs", "studies", "na_anode.yaml"))
    plan = plan_interface(study.interfaces[2], study.level("quick"), study)
    curve = _archived_curve(plan)
    assert values(plan, curve, "cutoff", 2) == [408.0, 490.0]
    assert values(plan, curve, "vacuum", 2) == [12.0, 16.0]
    assert values(plan, curve, "substrate_layers", 2) == [3, 4]
    meshes = values(plan, curve, "kpoints", 3)
    points = [np.prod(m) for m in meshes]
    assert points == sorted(set(points))
    assert meshes[0] == (3, 3, 1)


def _archived_curve(plan):
    found = Results(open_store(Path("unused")), data_path("results")).finished(plan.hashes["curve"])
    assert isinstance(found.document, CurveDocument)
    return found.document
