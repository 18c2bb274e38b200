"""Jobs on a real Slurm that go wrong in every way it knows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adhesion.cluster.driver import mended
from adhesion.cluster.queue import my_jobs
from adhesion.cluster.resources import Request
from adhesion.cluster.slurm import SlurmPool
from adhesion.runner import failure, run_flow
from adhesion.store import Results, open_store
from adhesion.study import Machine, Resources
from conftest import until
from noop_jobs import QUEUED, build, ran

WORDS = {"partition": "compute", "run_time_max": 600}


class Queue:
    """A folder and the flows that were run in it."""

    def __init__(self, path):
        self.path, self.side = path, path / "side"
        self.results = Results(open_store(path))
        self.machine = Machine(engine="slurm", resource_dict=WORDS)
        self.events = []

    def run(self, graph, requests=None, on_event=None, **options):
        flow, self.hashes = build(self.side, graph, **options)
        asked = {self.hashes[n]: r for n, r in (requests or {}).items()}
        outcomes = run_flow(
            flow, self.results, folder=self.path, workers=1,
            pool=SlurmPool(self.path, self.machine, asked, look_seconds=1.0),
            on_event=on_event or self.events.append,
        )  # fmt: skip
        names = {uuid: name for name, uuid in self.hashes.items()}
        return {names.get(uuid, uuid): outcome for uuid, outcome in outcomes.items()}

    def logs(self, name):
        return list((self.path / "queue" / self.hashes[name]).glob("slurm-*.log"))

    def job(self, name):
        return my_jobs().get(str(self.path.resolve() / "queue" / self.hashes[name]))


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path)


def request(label, **words):
    return Request(label, 1, Resources.model_validate(WORDS | words))


def test_each_ends_in_a_state_with_a_name(queue, say):
    """A walltime, a scancel, an exception, a refusal, jobs that answer with jobs, a good one."""
    graph = {
        "slow": ([], "steps 110"),
        "victim": ([], "steps 300"),
        "bad": ([], "raise"),
        "refused": ([], ""),
        "fine": ([], ""),
        "child": (["slow"], ""),
        "fork": ([], "fork"),
        "more": ([], "detour"),
        "after": (["more"], ""),
    }
    asked = {
        "slow": request("slow", run_time_max=60),
        "victim": request("victim"),
        "refused": request("refused", partition="nowhere"),
    }

    def cancel_the_victim(event):
        if event.label == "victim" and event.kind == "progress":
            say("scancel", str(queue.job("victim").id))

    outcomes = queue.run(graph, asked, cancel_the_victim)
    statuses = {name: outcomes[name].status for name in graph}
    bad = dict.fromkeys(("slow", "victim", "bad", "refused"), "failed")
    good = dict.fromkeys(("fine", "fork", "more", "after"), "done")
    assert statuses == bad | good | {"child": "missing"}
    assert "ran into its walltime of 60 s (TIMEOUT)" in outcomes["slow"].reason
    assert "DUE TO TIME LIMIT" in outcomes["slow"].reason  # the last line of its log
    assert "was cancelled (CANCELLED" in outcomes["victim"].reason
    assert outcomes["bad"].reason == "ValueError: last line of it"
    assert "sbatch refused the job" in outcomes["refused"].reason
    assert "nvalid partition" in outcomes["refused"].reason

    # Jobs that answer with jobs: their outputs are passed on, a child waits for a detour.
    assert outcomes["fork"].output == {"sum_eV": 3.0}
    order = ran(queue.side)
    assert order.index("after") > order.index("more2")
    assert sorted(n for n in order if n[:4] in ("fork", "more")) == [
        *("fork", "fork1", "fork2", "more", "more1", "more2"),
    ]

    # What failed is tried again, the slow one with twice the walltime and from its checkpoint.
    noted = failure(queue.path, queue.hashes["slow"])
    assert noted.exception == "TIMEOUT"
    both = {n: request(n, run_time_max=60) for n in ("slow", "refused")}
    hashes = {queue.hashes[n]: r for n, r in both.items()}
    more = mended(hashes, queue.path, queue.machine, Resources(memory_max=0.3))
    again = {n: more[queue.hashes[n]] for n in both}
    assert again["slow"].resources.run_time_max == 120
    steps = int(
        (queue.path / "calculations" / queue.hashes["slow"] / "checkpoint.json").read_text()
    )
    assert 40 < steps < 110
    before = len(ran(queue.side))
    outcomes = queue.run({n: graph[n] for n in ("slow", "child", "refused", "fine")}, again)
    assert {o.status for o in outcomes.values()} == {"done"}
    assert sorted(ran(queue.side)[before:]) == ["child", "refused", "slow"]
    assert outcomes["slow"].document.notes == ["110"]
    script = (queue.path / "queue" / queue.hashes["slow"] / "run_queue.sh").read_text()
    assert "--time=00:02:00" in script
    assert "--mem=307M" in script
    assert not list(queue.path.glob("queue/*/*.h5"))  # nothing is left to be taken for an answer


@pytest.fixture
def drive(tmp_path):
    started = []

    def start():
        code = f"import noop_jobs; noop_jobs.drive_queue({str(tmp_path)!r}, 5)"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_killed_driver_is_followed_by_another(queue, drive):
    """kill -9 with jobs done, running and queued; each ran exactly once."""
    first = drive()
    _, queue.hashes = build(queue.side, QUEUED)

    def mixed():
        states = [job.state for job in my_jobs().values() if str(queue.path) in job.folder]
        return ran(queue.side) and {"RUNNING", "PENDING"} <= set(states)

    until(mixed)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    numbers = {job.id for job in my_jobs().values() if str(queue.path) in job.folder}
    assert numbers

    second = drive()
    text, _ = second.communicate(timeout=200)
    assert second.returncode == 0, text
    assert sorted(ran(queue.side)) == sorted(QUEUED)
    assert all(len(queue.logs(name)) == 1 for name in QUEUED)
    assert {o.source for o in queue.run(QUEUED, seconds=5.0).values()} == {"computed"}
    assert len(ran(queue.side)) == len(QUEUED)  # looked up, not repeated


def test_a_node_that_goes_down(queue, say):
    """Slurm queues its job again, which goes on from its checkpoint when the node is back."""
    told = []

    def take_the_node(event):
        if event.kind == "progress" and event.message == "step 3 of 12" and not told:
            told.append(event)
            node = say("squeue", "-h", "-o", "%N", "-j", str(queue.job("a").id)).strip()
            say("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
            until(lambda: queue.job("a") is None or queue.job("a").waits)
            # Slurm holds a requeued job back for two minutes.
            if queue.job("a"):
                number = str(queue.job("a").id)
                say("scontrol", "update", f"jobid={number}", "starttime=now", check=False)
            # A node that has reported itself meanwhile is no longer down.
            say("scontrol", "update", f"nodename={node}", "state=resume", check=False)

    outcomes = queue.run({"a": ([], "steps 12")}, on_event=take_the_node)
    assert told
    if outcomes["a"].status != "done":  # without requeue it is a failure with a name
        assert "lost its node" in outcomes["a"].reason
        outcomes = queue.run({"a": ([], "steps 12")})
    assert outcomes["a"].status == "done"
    progress = Path(queue.path, "calculations", queue.hashes["a"], "progress.txt").read_text()
    assert progress.count("step 12 of 12") == 1
    assert progress.count("step 2 of 12") == 1  # not from the beginning


def test_a_job_limit_keeps_the_rest_back(queue):
    queue.machine.max_jobs = 1
    seen = []
    queue.run({n: ([], "") for n in "xy"}, on_event=lambda e: seen.append((e.kind, e.label)))
    kinds = [kind for kind, _ in seen if kind in ("started", "finished")]
    assert kinds == ["started", "finished"] * 2
