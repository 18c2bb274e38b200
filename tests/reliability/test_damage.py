"""Files cut off, changed or misnamed, disks full or read-only: named, kept, the rest still used."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tally import SCALE, count, scaled

from adhesion.errors import DamagedFileError, SetupError
from adhesion.files import read_json, write_json
from adhesion.store import Results, land, open_store
from adhesion.study import data_path
from noop_jobs import document

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(tmp_path):
    """A store and an archive, one document in each."""
    return Results(open_store(tmp_path), tmp_path / "archive")


def two(results):
    made, other = document("Na", energy_eV=-1.25, notes=["a"]), document("K", energy_eV=2.5)
    results.add(made)
    results.add(other)
    return made, other, Path(results.store.docs_store.path, f"{made.hash}.json")


def in_archive(results):
    made, other = document("Na", energy_eV=-1.25, notes=["a"]), document("K", energy_eV=2.5)
    land(other, results.archive)
    return made, other, land(made, results.archive)


def named_and_left_alone(results, made, other, path) -> bool:
    """Whether a damaged file is told by its name, kept as it is, and the rest is used."""
    before = path.read_bytes()
    try:
        results.get(made.hash)
    except DamagedFileError as error:
        told = str(path) in str(error)
    else:
        return False
    return told and path.read_bytes() == before and results.get(other.hash).document == other


@pytest.mark.parametrize("where", [two, in_archive], ids=["store", "archive"])
def test_cut_off_at_every_percent(results, where):
    made, other, path = where(results)
    whole = path.read_bytes()
    for percent in range(100):
        path.write_bytes(whole[: len(whole) * percent // 100])
        good = named_and_left_alone(results, made, other, path)
        count("files of store and archive cut off at every 1 %", lost=not good, note="named, kept")
        assert good, percent
    path.write_bytes(whole)
    assert results.get(made.hash).document == made


@pytest.mark.parametrize("where", [two, in_archive], ids=["store", "archive"])
def test_a_changed_byte_is_noticed_or_changes_nothing(results, where):
    made, _, path = where(results)
    whole = path.read_bytes()
    chance = random.Random(2)
    places = range(len(whole)) if SCALE != "test" else range(0, len(whole), 7)
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            found = results.get(made.hash)
        except DamagedFileError as error:
            good = str(path) in str(error)
        else:  # a blank, or the name of the checksum itself
            good = found is not None and found.document == made
        count(
            "bytes changed in files of store and archive", lost=not good, note="no number changes"
        )
        assert good, (place, bytes(changed[max(0, place - 20) : place + 20]))


def test_a_changed_digit_of_an_energy_is_refused(results):
    made, other, path = in_archive(results)
    path.write_text(path.read_text().replace("-1.25", "-1.35"))
    with pytest.raises(DamagedFileError, match="checksum"):
        results.get(made.hash)
    assert results.get(other.hash).document == other


def test_published_results_hold_their_checksums():
    for path in sorted(data_path("results").glob("*.json")):
        assert "@sha256" in json.loads(path.read_text()), (
            f"{path.name}: type python scripts/seal.py"
        )
        assert read_json(path)["hash"] == path.stem


def test_a_file_of_another_name_is_refused(results):
    made, _, path = in_archive(results)
    wrong = path.with_name(f"{'0' * 32}.json")
    path.rename(wrong)
    with pytest.raises(DamagedFileError, match=wrong.name):
        results.get("0" * 32)
    assert results.get(made.hash) is None
    count("archive file of another hash than its name", note="refused")


def test_a_damaged_note_of_a_failure_hides_no_result(tmp_path, emt):
    from adhesion.report.collect import row_of
    from conftest import plan_of, study_of

    plan = plan_of("Ag", "Au")
    results = Results(open_store(tmp_path))
    for made in emt("Ag", "Au").documents.values():
        if hasattr(made, "recipe"):
            results.add(made)
    (tmp_path / "failures").mkdir()
    for hash in plan.hashes.values():
        (tmp_path / "failures" / f"{hash}.json").write_text("{")
    row = row_of(plan, results, tmp_path, [], study_of("Ag", "Au"))
    assert row.status == "done"


# Disks


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, at):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if at == "replace":
        monkeypatch.setattr(Path, "replace", full)
    elif at == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(SetupError, match="No space left") as caught:
        write_json(path, {"new": 2})
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    count("disk full while a file is written", note="error names it, the old one stays")


LIMITED = """\
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
from adhesion.cli import main
sys.exit(main(sys.argv[1:]))
"""
STUDY = "name: t\ninterfaces: [{film: Ag, substrate: Au}]\n"


def process(folder, *arguments, code=""):
    start = ["-c", code] if code else ["-m", "adhesion"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=folder, capture_output=True, text=True,
        timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.skipif(SCALE == "test", reason="a minute of processes")
def test_a_run_on_a_disk_that_fills_up(tmp_path):
    """Files above 1.5 kB cannot be written: the small documents are kept and taken up."""
    (tmp_path / "study.yaml").write_text(STUDY)
    line = ("run", "study.yaml", "--level", "smoke", "--workers", "1", "--store", "s")
    done = process(tmp_path, *line, code=LIMITED)
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    assert "cannot be written: File too large" in done.stderr
    whole = {p: p.read_bytes() for p in (tmp_path / "s" / "results").glob("*.json")}
    for path in whole:
        read_json(path)
    again = process(tmp_path, *line)
    assert again.returncode == 0, again
    kept = all(path.read_bytes() == data for path, data in whole.items())
    count("run on a disk that fills up, then with room", 1, not kept, "same line goes on")
    assert kept


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def test_a_read_only_folder(tmp_path):
    folder = tmp_path / "readonly"
    folder.mkdir()
    (tmp_path / "study.yaml").write_text(STUDY)
    line = [sys.executable, "-m", "adhesion", "run", "study.yaml", "--level", "smoke",
            "--store", "readonly/s"]  # fmt: skip
    if os.geteuid() == 0:  # to whom modes mean nothing
        line = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(folder), *line]
    else:
        folder.chmod(0o555)
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 2, done
    assert "readonly/s cannot be written" in done.stderr
    assert list(folder.iterdir()) == []
    count("run in a read-only folder", note="refused before anything is computed")


# Checkpoints


def test_a_half_written_checkpoint_is_kept_and_told(tmp_path, emt):
    from adhesion.jobs import Workspace

    recipe = emt("Ag", "Au")["curve"].recipe
    for percent in range(0, 100, scaled(10, 1)):
        folder = tmp_path / str(percent)
        folder.mkdir()
        workspace = Workspace(recipe, folder)
        workspace.save(energies={"film": {"energy_eV": -1.5}})
        assert workspace.load()["energies"] == {"film": {"energy_eV": -1.5}}
        path = folder / "checkpoint.json"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * percent // 100])
        cut = path.read_bytes()
        good = workspace.load() == {}
        good = good and (folder / "checkpoint.json.damaged").read_bytes() == cut
        good = good and "checkpoint.json cannot be read" in (folder / "progress.txt").read_text()
        count("half-written checkpoints", lost=not good, note="named, kept beside, started again")
        assert good
