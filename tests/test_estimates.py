"""CPU time estimated before a run, beside what archived runs took."""

from __future__ import annotations

import pytest

from adhesion.estimates import cpu_seconds, kpoints
from adhesion.planning import plan_study
from adhesion.store import Results, open_store
from adhesion.study import data_path, load_study
from conftest import study_of


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return Results(open_store(tmp_path_factory.mktemp("store")), data_path("results"))


@pytest.mark.parametrize("pair", ["Na/Pb", "Na/C"])
@pytest.mark.parametrize("role", ["bulk_film", "curve"])
def test_within_a_factor_of_two_of_what_the_archived_run_took(archive, pair, role):
    study = load_study(data_path("configs", "studies", "na_anode.yaml"))
    (plan,) = plan_study(study, "quick", [pair])
    took = archive.finished(plan.hashes[role]).document.cpu_seconds
    assert took > 5
    assert 0.5 < cpu_seconds(plan, role) / took < 2


def test_twice_the_gaps_take_nearly_twice_the_time():
    def seconds(n_gaps):
        study = study_of("Na", "Pb", "quick")
        study.levels = {"quick": {"n_gaps": n_gaps}}
        return cpu_seconds(plan_study(study, "quick")[0], "curve")

    assert 1.7 < seconds(12) / seconds(6) < 2


def test_no_estimate_of_emt_and_none_needed_of_what_is_only_cut():
    (smoke,) = plan_study(study_of("Ag", "Au"), "smoke")
    assert cpu_seconds(smoke, "curve") is None
    (quick,) = plan_study(study_of("Na", "Pb", "quick"), "quick")
    assert cpu_seconds(quick, "film_slab") == 0.0


def test_kpoints_are_those_of_the_symmetric_cell():
    """Na/Pb has a fourfold axis: a shifted 2 x 2 mesh is one point, 4 x 4 are four."""
    study = study_of("Na", "Pb", "quick")
    (plan,) = plan_study(study, "quick")
    assert plan.kpoints == (2, 2, 1)
    assert kpoints(plan, "curve") == 1
    study.levels = {"quick": {"kpoint_length_A": 29}}
    (plan,) = plan_study(study, "quick")
    assert plan.kpoints == (4, 4, 1)
    assert kpoints(plan, "curve") == 4
