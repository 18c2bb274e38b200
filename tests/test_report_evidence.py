"""What stands behind an error bar: ladders of the level or one below, and a second cell."""

from __future__ import annotations

import pytest

from adhesion.convergence import climb, without_interface
from adhesion.flows import StudyMaker
from adhesion.planning import plan_study
from adhesion.report.collect import row_of
from adhesion.report.evidence import cell_error_J_m2, ladder_errors
from adhesion.runner import run_flow
from adhesion.store import Results, open_store
from conftest import study_of

EMT = {"calculator": {"name": "emt", "settings": {}}, "dispersion": False, "relax_interface": False}


@pytest.fixture(scope="module")
def two_levels(tmp_path_factory):
    """Ag on Au with EMT at quick, with a ladder, and at workstation, without one."""
    folder = tmp_path_factory.mktemp("store")
    results = Results(open_store(folder))
    study = study_of("Ag", "Au", "quick")
    cheap = {**EMT, "layers": {"film": 2, "metal": 2}, "max_area_A2": 60, "n_gaps": 5}
    study.levels = {
        "quick": cheap,
        "workstation": {**cheap, "layers": {"film": 3, "metal": 3}, "relax_slabs": []},
    }

    def run(flow):
        run_flow(flow, results, folder=folder, workers=1)

    for level in study.levels:
        plans = [without_interface(p) for p in plan_study(study, level)]
        run(StudyMaker(level=level).calculations(plans))
    climb(plan_study(study, "quick"), results, run, tolerance_J_m2=1e-6, max_rungs=2)
    return study, results, folder, run


def plan_at(study, level, **changes):
    spec = study.interfaces[0].model_copy(update=changes)
    return plan_study(study.model_copy(update={"interfaces": [spec]}), level)[0]


def test_a_ladder_of_the_level_itself_comes_first(two_levels):
    study, results, _, _ = two_levels
    found = ladder_errors(plan_at(study, "quick"), results, study)
    assert found.level == ""
    assert found.errors_J_m2["film_layers"] > 0


def test_a_ladder_of_a_level_below_is_read_at_the_values_of_the_row(two_levels):
    """Quick has rungs of 3 and 4 layers; at 3, those of workstation, only the step to 4 is left."""
    study, results, folder, _ = two_levels
    quick = ladder_errors(plan_at(study, "quick"), results, study)
    found = ladder_errors(plan_at(study, "workstation"), results, study)
    assert found.level == "quick"
    assert 0 < found.errors_J_m2["film_layers"] < quick.errors_J_m2["film_layers"]
    row = row_of(plan_at(study, "workstation"), results, folder, [], study)
    assert "errors from the ladder at quick" in row.flags
    assert row.W_ad_error_J_m2 > 0
    assert not any("ladder at" in f for f in row_of(
        plan_at(study, "quick"), results, folder, [], study).flags)  # fmt: skip


def test_a_second_cell_is_taken_up_once_it_is_computed(two_levels):
    study, results, folder, run = two_levels
    plan = plan_at(study, "quick")
    assert cell_error_J_m2(plan, results, study) is None
    multiples = [p.match.film_multiple for p in plan.pairings]
    other = next(n for n, m in enumerate(multiples, start=1) if m != multiples[0])
    second = plan_at(study, "quick", candidate=other)
    run(StudyMaker(level="quick").calculations([without_interface(second)]))
    rows = [row_of(p, results, folder, [], study) for p in (plan, second)]
    apart = abs(rows[0].W_curve_J_m2 - rows[1].W_curve_J_m2)
    assert apart > 1e-4
    assert rows[0].error_cell_J_m2 == pytest.approx(apart)
