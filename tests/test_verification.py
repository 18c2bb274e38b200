from __future__ import annotations

import pytest

from adhesion.errors import InputError
from adhesion.files import read_json, write_json
from adhesion.flows import StudyMaker
from adhesion.planning import plan_study
from adhesion.runner import run_flow
from adhesion.store import Results, land, open_store
from adhesion.study import Study
from adhesion.verification import verify_archive


@pytest.fixture(scope="module")
def study():
    return Study(name="noble", interfaces=[{"film": "Ag", "substrate": "Au"}])


@pytest.fixture(scope="module")
def archive(study, tmp_path_factory):
    """An archive of one finished EMT interface."""
    folder = tmp_path_factory.mktemp("archive")
    store = tmp_path_factory.mktemp("store")
    results = Results(open_store(store))
    plans = plan_study(study, "smoke")
    run_flow(StudyMaker().calculations(plans), results, folder=store, workers=1)
    for hash in plans[0].hashes.values():
        land(results.finished(hash).document, folder)
    return folder


def verify(study, archive, folder, kind):
    return verify_archive(
        study, "smoke", None, kind, archive=archive, folder=folder, workers=1, tolerance_J_m2=0.001
    )


@pytest.mark.parametrize(("kind", "number"), [("curve", 1), ("bulk", 2)])
def test_an_archived_calculation_is_found_again(study, archive, tmp_path, kind, number):
    lines = verify(study, archive, tmp_path, kind)
    assert len(lines) == number
    assert all(line.good for line in lines)
    assert all("+0.000" in line.text or "-0.000" in line.text for line in lines)


def test_a_changed_number_is_noticed(study, archive, tmp_path):
    (plan,) = plan_study(study, "smoke")
    changed = tmp_path / "archive"
    changed.mkdir()
    for file in archive.glob("*.json"):
        data = read_json(file)
        if file.stem == plan.hashes["curve"]:
            # 2 mJ/m2 more than what was computed
            data["film"]["energy_eV"] += 0.002 * plan.summary["area_A2"] / 16.0218
        write_json(changed / file.name, data)
    (line,) = verify(study, changed, tmp_path / "again", "curve")
    assert not line.good
    assert "-2.00" in line.text


def test_an_empty_archive_is_refused(study, tmp_path):
    with pytest.raises(InputError, match="holds no finished curve"):
        verify(study, tmp_path, tmp_path / "again", "curve")


def test_the_strain_is_that_of_the_lattices_computed(study, archive):
    """EMT's lattices are not those of the crystal files, so neither is the strain."""
    (plan,) = plan_study(study, "smoke")
    files = {role: archive / f"{hash}.json" for role, hash in plan.hashes.items()}
    documents = {role: read_json(file) for role, file in files.items()}
    lengths = [documents[f"bulk_{s}"]["geometry"]["cell_A"][0][0] for s in ("film", "substrate")]
    curve = documents["curve"]
    stretch = [1 + curve[f"{s}_strain_percent"][0] / 100 for s in ("film", "substrate")]
    assert lengths[0] * stretch[0] == pytest.approx(lengths[1] * stretch[1], rel=1e-4)
    assert curve["film_strain_percent"] != list(plan.summary["film_strain_percent"])
