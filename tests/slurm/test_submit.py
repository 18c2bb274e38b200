"""The commands submit, status, cancel, retry and check on a real Slurm."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import yaml
from jobflow import Flow

from adhesion.cluster.queue import my_jobs
from adhesion.cluster.resources import requests
from adhesion.cluster.slurm import SlurmPool
from adhesion.flows import StudyMaker
from adhesion.planning import plan_study
from adhesion.runner import run_flow
from adhesion.store import Results, open_store
from adhesion.study import Study, load_machine
from conftest import ROOT, until

STUDY = ROOT / "configs" / "studies" / "na_anode.yaml"


def state(cli, study, *words):
    done = cli("status", study, "--json", *words, status=None)
    return json.loads(done.stdout)


def queued(store):
    return {p.parent.name for p in Path(store).glob("queue/*/slurm-*.log")}


def test_the_four_interfaces(cli, machine, tmp_path):
    """Begun with run, gone on with submit, looked at with run again: nothing is repeated."""
    store = tmp_path / "store"
    common = ("--level", "smoke", "--store", store)
    cli("run", STUDY, *common, "--only", "Na/Pb")
    first = {p.name: p.stat().st_mtime_ns for p in store.glob("results/*.json")}
    assert len(first) == 6

    done = cli("submit", STUDY, *common, "--machine", machine, "--watch")
    assert "type: adhesion report" in done.stderr or "to the end" in done.stderr
    after = state(cli, STUDY, "--store", store)
    assert after["level"] == "smoke"  # the one last submitted
    assert set(after["counts"]) == {"done"}
    files = {p.name: p.stat().st_mtime_ns for p in store.glob("results/*.json")}
    assert {name: files[name] for name in first} == first
    new = {name.removesuffix(".json") for name in files} - {n.removesuffix(".json") for n in first}
    assert queued(store) == new  # one queue job for each that was missing, none for the others
    assert all(len(list((store / "queue" / n).glob("slurm-*.log"))) == 1 for n in new)

    cli("run", STUDY, *common)
    assert files == {p.name: p.stat().st_mtime_ns for p in store.glob("results/*.json")}
    rows = json.loads(cli("report", STUDY, *common, "--format", "json").stdout)
    rows = rows["rows"] if isinstance(rows, dict) else rows
    assert [row["status"] for row in rows] == ["done"] * 4
    assert "everything is done" in cli("submit", STUDY, *common, "--machine", machine).stderr


@pytest.fixture
def long_study(tmp_path):
    path = tmp_path / "long.yaml"
    level = {"layers": {"film": 12, "metal": 12}, "fmax_eV_A": 1e-4, "free_layers_A": 50.0}
    level |= {"n_registries": 3, "max_steps": 2000}
    interfaces = [{"film": "Ag", "substrate": "Au"}]
    path.write_text(
        yaml.safe_dump({"name": "long", "interfaces": interfaces, "levels": {"smoke": level}})
    )
    return path


@pytest.fixture
def stop_one(say):
    """Suspend a running job of a store: whatever else is slow here, it is not over before."""

    def stopped(store):
        mine = [j for j in my_jobs().values() if j.folder.startswith(str(store))]
        for job in mine:
            if job.state == "RUNNING":
                say("scontrol", "suspend", str(job.id), check=False)
        return next((job for job in mine if job.state == "SUSPENDED"), None)

    return lambda store: until(lambda: stopped(store))


def test_killed_cancelled_and_tried_again(cli, machine, long_study, stop_one, tmp_path):
    store = tmp_path / "store"
    common = ("--level", "smoke", "--store", store)

    def look():
        return state(cli, long_study, "--store", store)

    cli("submit", long_study, *common, "--machine", machine)
    stopped = stop_one(store)
    again = cli("submit", long_study, *common, "--machine", machine)
    assert "already followed by" in again.stderr
    other = cli("submit", STUDY, *common, "--machine", machine, status=2)
    assert "already in use by" in other.stderr
    before = look()
    assert before["driver"].startswith("at work")
    running = {c["hash"]: c["job"] for c in before["calculations"] if c["state"] == "running"}
    assert running[Path(stopped.folder).name] == stopped.id

    os.kill(json.loads((store / "driver.json").read_text())["pid"], signal.SIGKILL)
    assert "has died" in look()["driver"]
    here = cli("run", long_study, *common, status=2)
    assert "is still at it" in here.stderr  # nothing is computed twice
    cli("submit", long_study, *common, "--machine", machine)
    done = cli("cancel", long_study, "--store", store)
    assert str(stopped.id) in done.stderr.split()
    cancelled = look()
    busy = [
        (c["label"], c["detail"])
        for c in cancelled["calculations"]
        if c["state"] in ("running", "queued")
    ]
    assert busy == []
    assert not cancelled["driver"].startswith("at work")

    cli("retry", long_study, "--machine", machine, "--store", store, "--walltime", "5m")
    cli("submit", long_study, *common, "--machine", machine, "--watch")
    end = look()
    assert set(end["counts"]) == {"done"}, end
    logs = {h: len(list((store / "queue" / h).glob("slurm-*.log"))) for h in queued(store)}
    tried = {c["hash"] for c in cancelled["calculations"] if c["state"] == "failed"}
    assert Path(stopped.folder).name in tried
    assert {h for h, n in logs.items() if n > 1} <= tried  # once each, but for what was cancelled
    for hash in tried:
        assert "--time=00:05:00" in (store / "queue" / hash / "run_queue.sh").read_text()


def test_check_runs_on_the_worker(cli, machine, tmp_path):
    store = tmp_path / "store"
    study = ("--level", "quick", "--store", store)
    done = cli("check", STUDY, "--machine", machine, *study)
    assert "GPAW under 'mpiexec -n 2': 2 ranks" in done.stdout
    assert "is shared with the driver" in done.stdout
    assert "Na(001)/Pb(001)" in done.stdout
    bad = machine.with_name("bad.yaml")
    bad.write_text(machine.read_text().replace("mpiexec", "no-such-launcher"))
    done = cli("check", "--machine", bad, "--store", store, status=2)
    assert "NO  GPAW under 'no-such-launcher -n 2'" in done.stdout
    assert "launcher" in done.stdout


def test_gpaw_on_two_ranks(machine, tmp_path):
    """A real GPAW calculation by mpiexec, asked by one process of jobflow."""
    level = {
        "calculator": {"settings": {"ecut_eV": 200.0, "setups": {"Na": "1"}}},
        "kpoint_length_bulk_A": 12.0,
    }
    interface = {"film": "Na", "substrate": "Pb"}
    study = Study.model_validate(
        {"name": "mpi", "interfaces": [interface], "levels": {"quick": level}}
    )
    plans = plan_study(study, "quick")
    jobs = StudyMaker(level="quick").calculations(plans).jobs
    bulk = next(job for job in jobs if job.name == "Na bulk")
    bulk.hosts = []
    there = load_machine(machine)
    outcomes = run_flow(
        Flow([bulk]), Results(open_store(tmp_path)), folder=tmp_path, workers=1,
        pool=SlurmPool(tmp_path, there, requests(plans, there), look_seconds=1.0),
    )  # fmt: skip
    outcome = outcomes[bulk.uuid]
    assert outcome.status == "done", outcome.reason
    assert 30 < outcome.document.geometry.to_ase().get_volume() < 90
    assert outcome.document.scf_iterations > 10
    scratch = tmp_path / "calculations" / bulk.uuid
    log = (scratch / "gpaw.txt").read_text()
    assert "2" in next(
        line for line in log.splitlines() if "world" in line.lower() or "cores" in line
    )
    assert "iter:" in (scratch / "progress.txt").read_text()
    script = (tmp_path / "queue" / bulk.uuid / "run_queue.sh").read_text()
    assert "#SBATCH --ntasks=2" in script
    assert "ADHESION_GPAW_LAUNCHER='mpiexec -n 2'" in script
