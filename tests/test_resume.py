"""`adhesion run` killed with -9 at several moments, then run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from adhesion.cli import main
from adhesion.flows import StudyMaker
from adhesion.study import load_study
from conftest import TIGHT, run_here

MOMENTS = ("starting", "computing", 1, 4, 8)
"""While the program starts, in the first calculation, with so many documents in the store."""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    interfaces = [{"film": "Ag", "substrate": "Au"}, {"film": "Ag", "substrate": "Pd"}]
    level = TIGHT | {"layers": {"film": 10, "metal": 10}}
    path.write_text(
        yaml.safe_dump({"name": "killed", "interfaces": interfaces, "levels": {"smoke": level}})
    )
    return path


def arguments(command, study, store, *more):
    return [command, str(study), "--level", "smoke", "--store", str(store), *more]


def start(study, store):
    return subprocess.Popen(
        [sys.executable, "-m", "adhesion", *arguments("run", study, store, "--workers", "1")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def documents(store):
    """Documents of the store: when the file was written, when the job was completed."""
    found = {}
    for path in store.rglob("*.json"):
        if len(path.stem) == 32 and not {"calculations", "failures"} & set(path.parts):
            data = json.loads(path.read_text())  # whole, whenever the run was killed
            found[path.stem] = (path.stat().st_mtime_ns, data["completed_at"])
    return found


def reached(moment, store):
    if moment == "starting":
        return True
    if moment == "computing":
        return any((store / "calculations").glob("*/progress.txt"))
    return len(documents(store)) >= moment


def kill_at(moment, study, store):
    process = start(study, store)
    if moment == "starting":
        time.sleep(0.5)
    end = time.monotonic() + 60
    while not reached(moment, store):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end, f"{moment} was not reached"
        time.sleep(0.01)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_again_and_again(study, tmp_path, capfd):
    store = tmp_path / "store"
    seen = {}
    for moment in MOMENTS:
        kill_at(moment, study, store)
        now = documents(store)
        assert {name: now.get(name) for name in seen} == seen  # what is finished ran no more
        seen = now
    assert len(seen) >= 8

    process = start(study, store)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    complete = documents(store)
    assert {name: complete[name] for name in seen} == seen

    flow = StudyMaker(level="smoke").make(load_study(study))
    assert set(complete) == {u for u in flow.job_uuids if not u.endswith("-row")}
    assert len(complete) > len(seen)
    capfd.readouterr()
    assert main(arguments("run", study, store)) == 0  # nothing is left to compute
    assert documents(store) == complete
    capfd.readouterr()
    assert main(arguments("report", study, store, "--format", "json")) == 0
    rows = json.loads(capfd.readouterr().out)

    outputs = run_here(flow, tmp_path)  # undisturbed, by another engine
    wanted = [o.model_dump(mode="json") for u, o in outputs.items() if u.endswith("-row")]
    rows = rows["rows"] if isinstance(rows, dict) else rows
    assert [same(row) for row in rows] == [same(row) for row in wanted]
    for row, other in zip(rows, wanted, strict=True):
        for name in ("W_curve_J_m2", "W_ad_J_m2", "W_rigid_J_m2", "area_A2"):
            assert row[name] == pytest.approx(other[name], abs=2e-4)


def same(row):
    """What has to be equal to the last digit: all but energies and times of relaxations."""
    names = ("interface", "status", "calculator", "level", "n_atoms", "film_layers", "termination",
             "film_strain_percent", "n_gaps", "n_candidates", "calculations", "flags")  # fmt: skip
    return {name: row[name] for name in names}
