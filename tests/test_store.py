from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobflow import JobStore
from maggma.stores import MemoryStore
from monty.json import MontyDecoder

from adhesion.errors import CalculationError, DamagedFileError, InputError, SetupError
from adhesion.files import write_json
from adhesion.store import FolderStore, Results, configured_store, hold, land, open_store
from noop_jobs import document


def fill(store, number):
    for i in range(number):
        text = json.dumps({"uuid": f"u{i}", "index": 1, "output": {"n": i}, "name": "x"})
        (store / f"u{i}.json").write_text(text)


@pytest.fixture
def results(tmp_path):
    return Results(open_store(tmp_path / "store"), tmp_path / "archive")


def path_of(results, made):
    return results.store.docs_store.file(made.hash)


def test_a_document_comes_back_as_it_was(results):
    made = document("Na", energy_eV=-1.25, notes=["å"])
    results.add(made)
    found = results.get(made.hash)
    assert found.document == made
    assert found.source == "computed"
    assert results.get("0" * 32) is None
    stored = json.loads(path_of(results, made).read_text())
    assert stored["uuid"] == made.hash
    assert stored["index"] == 1
    assert results.store.get_output(made.hash)["energy_eV"] == -1.25


@settings(max_examples=25, deadline=None)
@given(energy=st.floats(allow_nan=False, allow_infinity=False), note=st.text())
def test_every_number_and_text_survives_bit_by_bit(tmp_path_factory, energy, note):
    folder = tmp_path_factory.mktemp("s")
    made = document("Na", energy_eV=energy, notes=[note])
    Results(open_store(folder)).add(made)
    land(made, folder / "archive")
    assert Results(open_store(folder)).get(made.hash).document == made
    assert Results(open_store(folder / "none"), folder / "archive").get(made.hash).document == made


def test_sources(results):
    made = document("Na", energy_eV=1.0)
    land(made, results.archive)
    assert results.get(made.hash).source == "archive"
    results.add(made)
    assert results.finished(made.hash).source == "both"


def test_only_done_counts_as_finished_and_done_wins(results):
    bad = document("Na", status="unconverged", energy_eV=1.0)
    results.add(bad)
    assert results.get(bad.hash).document.status == "unconverged"
    assert results.finished(bad.hash) is None
    land(document("Na", energy_eV=2.0), results.archive)
    assert results.finished(bad.hash).document.energy_eV == 2.0
    assert results.finished(bad.hash).source == "archive"


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_cut_off_file_is_named_kept_and_replaced(results, part):
    made, other = document("Na", energy_eV=1.0), document("K", energy_eV=2.0)
    results.add(made)
    results.add(other)
    path = path_of(results, made)
    cut = path.read_text()[: int(len(path.read_text()) * part)]
    path.write_text(cut)
    with pytest.raises(DamagedFileError, match=path.name):
        results.get(made.hash)
    assert results.store.docs_store.damaged() == [path]
    assert results.get(other.hash).document == other
    assert path.read_text() == cut
    results.add(made)
    assert results.get(made.hash).document == made
    assert path.with_name(path.name + ".damaged").read_text() == cut
    assert results.store.docs_store.damaged() == []


def test_a_second_damaged_file_does_not_replace_the_first(results):
    made = document("Na")
    for text in ("one", "two"):
        results.add(made)
        path_of(results, made).write_text(text)
    results.add(made)
    kept = sorted(p.read_text() for p in path_of(results, made).parent.glob("*.damaged*"))
    assert kept == ["one", "two"]


def unsealed(path):
    """Change a recipe in a file of a version that wrote no checksums."""
    data = json.loads(path.read_text().replace('"Na"', '"K"'))
    del data["@sha256"]
    path.write_text(json.dumps(data))


def test_a_changed_recipe_is_noticed(results):
    made = document("Na", energy_eV=1.0)
    path = land(made, results.archive)
    unsealed(path)
    with pytest.raises(DamagedFileError, match="recipe inside"):
        results.get(made.hash)
    results.add(made)
    assert results.get(made.hash).source == "computed"
    stored = path_of(results, made)
    unsealed(stored)
    assert results.store.docs_store.damaged() == [stored]


def test_an_archive_file_of_another_name_is_damaged(results):
    path = land(document("Na"), results.archive)
    other = "f" * 32
    path.rename(path.with_name(f"{other}.json"))
    with pytest.raises(DamagedFileError, match=other):
        results.get(other)


def test_what_is_not_finite_or_misnamed_is_refused(results, tmp_path):
    with pytest.raises(CalculationError, match="not finite"):
        results.add(document("Na", energy_eV=float("nan")))
    with pytest.raises(CalculationError, match="not finite"):
        land(document("Na", energy_eV=float("inf")), tmp_path)
    with pytest.raises(CalculationError, match="recipe"):
        results.add(document("Na").model_copy(update={"hash": "0" * 32}))
    assert not (tmp_path / "store").exists()


def test_opening_and_asking_reads_no_other_file(tmp_path):
    (tmp_path / "results").mkdir()
    fill(tmp_path / "results", 1000)
    (tmp_path / "results" / "u7.json").write_text("{")
    start = time.perf_counter()
    store = open_store(tmp_path)
    assert store.query_one({"uuid": "u999"})["output"] == {"n": 999}
    assert store.query_one({"uuid": "u5", "index": 2}) is None
    assert store.count() == 1000
    assert time.perf_counter() - start < 0.5
    assert store.docs_store._all is None


def test_queries_as_of_any_store(tmp_path):
    fill(tmp_path, 20)
    store = JobStore(FolderStore(tmp_path))
    assert store.query_one({"output.n": {"$gt": 18}})["uuid"] == "u19"
    assert [d["uuid"] for d in store.query({"uuid": {"$in": ["u3", "u4", "no"]}})] == ["u3", "u4"]
    assert store.query_one({"uuid": "u3"}, ["output.n"])["output"] == {"n": 3}
    assert store.query_one({"uuid": "../u3"}) is None
    assert len(list(store.groupby("name"))) == 1
    store.update({"uuid": "new", "index": 1, "output": {"n": 100}})
    assert store.query_one({"output.n": 100})["uuid"] == "new"
    store.remove_docs({"output.n": {"$lt": 19}})
    assert store.count() == store.count({"index": 1}) == 2


def test_damaged_files_are_left_out_of_other_queries(tmp_path, caplog):
    fill(tmp_path, 3)
    (tmp_path / "u1.json").write_text("[]")
    assert {d["uuid"] for d in FolderStore(tmp_path).query()} == {"u0", "u2"}
    assert "u1.json" in caplog.text


def test_names_that_leave_the_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="name of a file"):
        FolderStore(tmp_path).update({"uuid": "../x", "index": 1, "output": 1})


def test_the_store_travels_as_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = JobStore(FolderStore("results"))
    again = MontyDecoder().process_decoded(json.loads(store.to_json()))
    assert again.docs_store == store.docs_store
    assert again.docs_store.path == str(tmp_path / "results")


def test_any_jobstore_serves(tmp_path):
    store = JobStore(MemoryStore(), {"blobs": MemoryStore()}, save={"blobs": "notes"})
    store.connect()
    results = Results(store)
    made = document("Na", energy_eV=1.5, notes=["long"])
    results.add(made)
    assert results.finished(made.hash).document == made


HOLD = """
import sys, time, pathlib
from adhesion.store import hold
with hold(pathlib.Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_second_driver_is_told_who_holds_the_folder(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"in\n"
        with pytest.raises(SetupError) as caught, hold(tmp_path):
            pass
        assert f"process {first.pid} on {socket.gethostname()} since 20" in str(caught.value)
    finally:
        first.kill()
        first.wait()
    with hold(tmp_path):  # the lock of a killed process does not count
        assert json.loads((tmp_path / "driver.lock").read_text())["pid"] == os.getpid()
    with hold(tmp_path):
        pass


def test_locks_left_behind(tmp_path):
    with hold(tmp_path):
        mine = json.loads((tmp_path / "driver.lock").read_text())
    lock = tmp_path / "driver.lock"
    for stale in ({"boot": "before the reboot"}, {"start": "1"}, {"pid": 2**22 + 1}):
        lock.write_text(json.dumps(mine | stale))
        with hold(tmp_path):
            pass
    lock.write_text(json.dumps(mine)[:20])
    with hold(tmp_path):
        pass
    lock.write_text(json.dumps(mine | {"host": "elsewhere"}))
    with pytest.raises(SetupError, match=r"elsewhere(.|\n)*again in \d+ s"), hold(tmp_path):
        pass
    long_ago = time.time() - 61
    os.utime(lock, (long_ago, long_ago))  # a driver that died on another host
    with hold(tmp_path):
        pass
    lock.write_text(json.dumps(mine))  # alive, and the lock free: a file system without locks
    with pytest.raises(SetupError, match=str(os.getpid())), hold(tmp_path):
        pass


def test_the_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr("adhesion.store.BEAT_SECONDS", 0.01)
    lock = tmp_path / "driver.lock"
    with hold(tmp_path):
        os.utime(lock, (0, 0))
        end = time.monotonic() + 5
        while lock.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert time.time() - lock.stat().st_mtime < 60


def test_an_error_inside_is_not_taken_for_a_lock(tmp_path):
    with pytest.raises(BlockingIOError), hold(tmp_path):
        raise BlockingIOError
    with hold(tmp_path):
        pass


def test_a_jobstore_of_a_jobflow_settings_file_takes_the_folders_place(tmp_path):
    file = tmp_path / "jobflow.yaml"
    file.write_text(
        "JOB_STORE:\n  docs_store:\n    type: JSONStore\n    read_only: false\n"
        f"    paths: {tmp_path / 'store.json'}\n"
    )
    made = document("Na", energy_eV=1.0)
    Results(configured_store(file)).add(made)
    found = Results(configured_store(file)).finished(made.hash)
    assert found is not None
    assert found.document == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("JOB_STORE:\n  docs_store:\n    type: MemoryStore\n", "forgets all results"),
        ("JOB_STORE:\n  docs_store:\n    type: MongoStre\n", "unknown store type 'MongoStre'"),
        ("JOB_STORE: 3\n", "names no store"),
        ("JOB_STORE:\n  docs_store: {type: JSONStore, paths: s.json}\n", "only read"),
    ],
)
def test_a_settings_file_without_a_lasting_store_is_refused(tmp_path, monkeypatch, text, said):
    file = tmp_path / "jobflow.yaml"
    file.write_text(text)
    (tmp_path / "s.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        configured_store(file)


def test_a_store_that_is_only_read_will_do_for_a_report(tmp_path):
    file = tmp_path / "jobflow.yaml"
    (tmp_path / "s.json").write_text("[]")
    file.write_text(
        f"JOB_STORE:\n  docs_store: {{type: JSONStore, paths: {tmp_path / 's.json'}}}\n"
    )
    assert Results(configured_store(file, to_write=False)).finished("0" * 32) is None


def test_what_is_not_finished_is_landed_with_its_parts(tmp_path):
    """Checkpoints and Hessians of GPAW's, also of a second start; no logs, no densities."""
    script = Path(__file__).resolve().parents[1] / "scripts" / "land.py"
    begun = tmp_path / "store" / "calculations" / "abc"
    for folder in (begun, begun / "slid"):
        folder.mkdir(parents=True)
        write_json(folder / "checkpoint.json", {"hash": "abc", "versions": {"gpaw": "26.7"}})
        for name in ("bfgs.json", "gpaw.txt", "step.npz"):
            (folder / name).write_text("0")
    (begun / "other").mkdir()
    archive = tmp_path / "archive"
    command = [sys.executable, str(script), str(tmp_path / "store"), str(archive)]
    subprocess.run(command, check=True, capture_output=True)
    landed = {str(f.relative_to(archive)) for f in archive.rglob("*") if f.is_file()}
    kept = ("checkpoint.json", "bfgs.json")
    assert landed == {f"partial/abc/{part}{name}" for part in ("", "slid/") for name in kept}
    assert not (archive / "partial" / "abc" / "other").exists()
