from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import pytest
from jobflow import Flow, OnMissing

import noop_jobs
from adhesion import runner
from adhesion.errors import CalculationError, InputError, NotConvergedError, SetupError
from adhesion.runner import Answer, failure, run_flow
from adhesion.store import Results, land, open_store
from noop_jobs import DIAMOND, build, compute, document, ran


class Folder:
    """A run folder with its side file and the events of the last run."""

    def __init__(self, path):
        self.path = path
        self.side = path / "side"
        self.results = Results(open_store(path), path / "archive")
        self.events = []

    def run(self, graph, *, summary=False, seconds=0.0, workers=1, **options):
        flow, self.hashes = build(self.side, graph, seconds, summary)
        self.events = []
        options.setdefault("on_event", self.events.append)
        outcomes = run_flow(flow, self.results, folder=self.path, workers=workers, **options)
        named = {name: outcomes[uuid] for name, uuid in self.hashes.items()}
        return named | {u: o for u, o in outcomes.items() if u not in self.hashes.values()}

    def told(self, kind):
        return [e for e in self.events if e.kind == kind]

    def scratch(self, name):
        return self.path / "calculations" / self.hashes[name]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


class Inline(runner._Workers):
    """Another executor behind the same seam: the test's own process, at once."""

    free = True

    def submit(self, fn, *args):
        future = Future()
        future.set_result(fn(*args))
        return future


@pytest.fixture
def inline(monkeypatch):
    monkeypatch.setattr(runner, "_Workers", Inline)


def statuses(outcomes):
    return {name: o.status for name, o in outcomes.items()}


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_order_values_and_reuse(folder):
    outcomes = folder.run(DIAMOND, summary=True, workers=2, seconds=0.3)
    assert ran(folder.side)[0] == "a"
    assert sorted(ran(folder.side)[1:3]) == ["b", "c"]
    assert ran(folder.side)[3:] == ["d"]
    energies = {n: outcomes[n].document.energy_eV for n in DIAMOND}
    assert energies == {"a": 1, "b": 2, "c": 2, "d": 5}  # values passed from job to job
    assert outcomes["5" * 32].output == {"sum_eV": 10}
    lines = [line.split() for line in folder.side.read_text().splitlines()]
    assert len({line[1] for line in lines}) == 2  # b and c side by side
    assert {line[2] for line in lines} == {"1"}
    assert [line[3] for line in lines[:1]] == [folder.hashes["a"]]
    assert [e.message for e in folder.told("progress") if e.label == "b"] == ["step 1 of b"]
    assert "talk of a" in (folder.scratch("a") / "output.log").read_text()

    again = folder.run(DIAMOND, summary=True)
    assert len(ran(folder.side)) == 4
    assert {o.source for n, o in again.items() if n in DIAMOND} == {"computed"}
    assert len(folder.told("reused")) == 4
    assert again["5" * 32].output == {"sum_eV": 10}
    assert again["d"].document == outcomes["d"].document


def test_a_fresh_run_computes_each_once(folder, inline):
    for times in (1, 2):
        outcomes = folder.run(DIAMOND, fresh=True)
        assert statuses(outcomes) == dict.fromkeys(DIAMOND, "done")
        assert sorted(ran(folder.side)) == sorted([*DIAMOND] * times)


def test_the_archive_is_taken_up_and_passed_on(folder, inline):
    land(document("a", energy_eV=10.0), folder.path / "archive")
    outcomes = folder.run({"a": ([], ""), "b": (["a"], "")})
    assert outcomes["a"].source == "archive"
    assert outcomes["b"].document.energy_eV == 11.0
    assert ran(folder.side) == ["b"]
    assert folder.results.get(folder.hashes["a"]).source == "archive"  # not copied


def test_what_goes_wrong_stays_with_its_job(folder, inline):
    graph = {
        "bad": ([], "raise"),
        "child": (["bad"], ""),
        "grandchild": (["child"], ""),
        "ours": ([], "ours"),
        "exit": ([], "exit"),
        "loose": ([], "unconverged"),
        "after": (["loose"], ""),
        "stored": ([], "stored"),
        "nan": ([], "nan"),
        "other": ([], "other"),
        "fine": ([], ""),
    }
    outcomes = folder.run(graph)
    failed = dict.fromkeys(("bad", "ours", "exit", "stored", "nan", "other"), "failed")
    missing = dict.fromkeys(("child", "grandchild", "after"), "missing")
    assert statuses(outcomes) == failed | missing | {"loose": "unconverged", "fine": "done"}
    assert outcomes["bad"].reason == "ValueError: last line of it"
    assert outcomes["child"].reason == "needs bad, which is failed: ValueError: last line of it"
    assert outcomes["grandchild"].reason == outcomes["child"].reason
    assert outcomes["after"].reason == "needs loose, which is unconverged: too few steps"
    assert "'stored_data'" in outcomes["stored"].reason
    assert "not finite" in outcomes["nan"].reason
    assert type(outcomes["ours"].error) is NotConvergedError
    assert outcomes["ours"].error.hint == "give it more"
    assert 'raise ValueError("first' in (folder.scratch("bad") / "error.log").read_text()
    noted = failure(folder.path, folder.hashes["bad"])
    assert (noted.exception, noted.label) == ("ValueError", "bad")
    assert failure(folder.path, folder.hashes["fine"]) is None
    assert folder.results.get(folder.hashes["loose"]).document.status == "unconverged"
    assert len(folder.told("failed")) == 6
    assert len(folder.told("skipped")) == 3

    before = len(ran(folder.side))
    folder.run({n: graph[n] for n in ("bad", "loose", "fine")})
    assert ran(folder.side)[before:] == ["bad", "loose"]  # tried again


def test_a_mended_failure_is_forgotten(folder, inline):
    folder.run({"a": ([], "raise")})
    assert failure(folder.path, folder.hashes["a"]) is not None
    assert folder.run({"a": ([], "")})["a"].status == "done"
    assert failure(folder.path, folder.hashes["a"]) is None
    assert not (folder.scratch("a") / "error.log").exists()


def test_jobs_may_stop_children_or_all(folder, inline):
    outcomes = folder.run({"s": ([], "stop"), "t": (["s"], ""), "u": (["t"], "")})
    assert statuses(outcomes) == {"s": "done", "t": "missing", "u": "missing"}
    outcomes = folder.run({"h": ([], "halt"), "i": (["h"], "")})
    assert statuses(outcomes) == {"h": "done", "i": "missing"}


def test_a_job_may_replace_itself(folder, inline):
    outcomes = folder.run({"a": ([], "replace"), "b": (["a"], "")})
    assert statuses(outcomes) == {"a": "done", "b": "done"}
    assert ran(folder.side) == ["a", "a", "b"]
    assert outcomes["b"].document.energy_eV == 2.0
    assert (folder.path / "calculations" / f"{folder.hashes['a']}-2").is_dir()
    folder.run({"a": ([], "replace"), "b": (["a"], "")})
    assert len(ran(folder.side)) == 3  # its document is known: nothing is repeated


def test_a_job_may_become_a_flow(folder, inline):
    flow, hashes = build(folder.side, {"a": ([], "fork")}, summary=True)
    last = flow[-1]
    last.function_args = ([],)  # what it needs is no document
    outcomes = run_flow(flow, folder.results, folder=folder.path, workers=2)
    assert outcomes[hashes["a"]].output == {"sum_eV": 3.0}  # 1 + (1 + 1)
    assert ran(folder.side) == ["a", "a1", "a2"]
    assert {o.status for o in outcomes.values()} == {"done"}


def test_children_wait_for_a_detour_and_not_for_an_addition(folder, inline):
    outcomes = folder.run({"a": ([], "detour"), "b": (["a"], "")})
    assert ran(folder.side) == ["a", "a1", "a2", "b"]
    assert {o.status for o in outcomes.values()} == {"done"}
    folder.run({"c": ([], "addition"), "d": (["c"], "")})
    assert sorted(ran(folder.side)[4:]) == ["c", "c1", "c2", "d"]


def test_a_job_may_allow_missing_parents(folder, inline):
    flow, _ = build(folder.side, {"a": ([], ""), "b": ([], "raise")}, summary=True)
    flow[-1].config.on_missing_references = OnMissing.NONE
    outcomes = run_flow(flow, folder.results, folder=folder.path, workers=1)
    assert outcomes["5" * 32].output == {"sum_eV": 1.0}


def test_what_a_job_held_is_let_go_with_it(tmp_path, monkeypatch):
    """Memory is free for the next one, which a worker may wait for: cycles do not hold it."""
    gone = []

    class Heavy:
        def __init__(self):
            self.itself = self

        def __del__(self):
            gone.append(self)

    def job(task):
        Heavy()
        return runner.Answer(task)

    monkeypatch.setattr(runner, "_run_job", job)
    gc.disable()
    try:
        assert runner.work(b"done", tmp_path, None, fresh=False).output == b"done"
        assert len(gone) == 1
    finally:
        gc.enable()


def test_published_checkpoints_are_gone_on_from(folder, inline):
    _, hashes = build(folder.side, {"a": ([], "")})
    partial = folder.path / "partial"
    published = partial / hashes["a"]
    published.mkdir(parents=True)
    (published / "checkpoint.json").write_text("published")
    (published / "bfgs.json").write_text("its Hessian")
    (published / "slid").mkdir()
    (published / "slid" / "checkpoint.json").write_text("of a part")
    outcome = folder.run({"a": ([], "")}, partial=partial)["a"]
    assert outcome.document.notes == ["published"]
    assert (folder.scratch("a") / "bfgs.json").read_text() == "its Hessian"
    assert (folder.scratch("a") / "slid" / "checkpoint.json").read_text() == "of a part"
    (folder.scratch("a") / "checkpoint.json").write_text("own")
    folder.results.store.remove_docs({"uuid": hashes["a"]})
    assert folder.run({"a": ([], "")}, partial=partial)["a"].document.notes == ["own"]
    outcome = folder.run({"a": ([], "")}, partial=partial, fresh=True)["a"]
    assert outcome.document.notes == []


def test_a_damaged_result_is_computed_again_and_kept_aside(folder, inline):
    folder.run({"a": ([], "")})
    path = folder.results.store.docs_store.file(folder.hashes["a"])
    path.write_text(path.read_text()[:50])
    assert folder.run({"a": ([], "")})["a"].status == "done"
    assert path.name in folder.told("damaged")[0].message
    assert ran(folder.side) == ["a", "a"]
    assert len(path.with_name(path.name + ".damaged").read_text()) == 50


def test_a_thousand_finished_ones_are_taken_up_quickly(folder, inline):
    graph = {f"n{i}": ([], "") for i in range(1000)}
    flow, hashes = build(folder.side, graph)
    for name in hashes:
        land(document(name, energy_eV=1.0), folder.path / "archive")
    start = time.perf_counter()
    outcomes = run_flow(flow, folder.results, folder=folder.path, workers=2)
    assert time.perf_counter() - start < 8
    assert {o.source for o in outcomes.values()} == {"archive"}
    assert ran(folder.side) == []


@pytest.fixture
def drive(folder):
    """Start a driver of its own process on the folder; end it with the test."""
    started = []

    def start(seconds):
        here = str(Path(noop_jobs.__file__).parent)
        # Where the tests run in the background an interrupt is ignored, and so by their children.
        code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        code += f"import sys; sys.path.insert(0, {here!r}); import noop_jobs;"
        code += f"noop_jobs.drive({str(folder.path)!r}, {seconds})"
        driver = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.kill()
        driver.wait()


def test_a_killed_driver_leaves_no_orphan_and_loses_nothing(folder, drive):
    driver = drive(0.8)
    assert until(lambda: len(ran(folder.side)) >= 2)  # a is stored, b or c runs
    driver.kill()
    driver.wait()
    pids = {int(line.split()[1]) for line in folder.side.read_text().splitlines()}
    assert until(lambda: not any(map(alive, pids)), 10)
    begun = len(ran(folder.side))
    outcomes = folder.run(DIAMOND, summary=True, workers=2)
    assert statuses(outcomes) == dict.fromkeys([*DIAMOND, "5" * 32], "done")
    assert outcomes["d"].document.energy_eV == 5
    assert ran(folder.side).count("a") == 1
    assert sorted(ran(folder.side)[begun:]) == ["b", "c", "d"]


def test_a_second_driver_leaves(folder, drive):
    driver = drive(0.8)
    assert until(lambda: len(ran(folder.side)) >= 1)
    with pytest.raises(SetupError, match=str(driver.pid)):
        folder.run(DIAMOND)
    assert ran(folder.side).count("a") == 1


def test_a_killed_worker_fails_its_job_only(folder):
    graph = {"x": ([], "die"), "y": ([], ""), "z": ([], "ours"), "after": (["x"], "")}
    outcomes = folder.run(graph)
    wanted = {"x": "failed", "y": "done", "z": "failed", "after": "missing"}
    assert statuses(outcomes) == wanted
    assert ran(folder.side).count("x") == 1
    assert "killed by SIGKILL" in outcomes["x"].reason
    assert failure(folder.path, folder.hashes["x"]).exception == "BrokenProcessPool"
    assert type(outcomes["z"].error) is NotConvergedError  # as it was, across processes


def test_how_a_worker_died_is_known_when_its_place_is_taken_again():
    """The next job may have started in the slot before anybody asked for the answer."""
    with runner._Workers(1, 1) as workers:
        dead = workers.submit(signal.raise_signal, signal.SIGKILL)
        with suppress(BrokenProcessPool):
            dead.result(60)
        after = workers.submit(os.getpid)
        assert "killed by SIGKILL" in workers.answer(dead).error.what
        assert after.result(60) > 0


def test_an_interrupt_stops_the_workers_and_keeps_the_rest(folder, drive):
    driver = drive(2.0)
    assert until(lambda: len(ran(folder.side)) >= 2)
    driver.send_signal(signal.SIGINT)
    out, _ = driver.communicate(timeout=20)
    assert driver.returncode != 0
    assert "interrupted  1 of 5 are done and kept, 4 are left" in out
    pids = {int(line.split()[1]) for line in folder.side.read_text().splitlines()}
    assert not any(map(alive, pids))
    assert list((folder.path / "results").glob("*.json"))


def test_a_script_without_a_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(Path(noop_jobs.__file__).parent)!r})
        from pathlib import Path
        from jobflow import Flow, job
        from adhesion.runner import run_flow
        from adhesion.store import Results, open_store
        print("once")
        @job
        def mine(): return 42
        made = mine()
        root = Path({str(tmp_path)!r})
        out = run_flow(Flow([made]), Results(open_store(root)), folder=root, workers=1)
        print(out[made.uuid].output, out[made.uuid].reason)
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["once", "42"], done.stderr


def test_errors_are_carried_as_they_are():
    ours = Answer.of(CalculationError("what", where="here", hint="do"))
    assert (ours.exception, ours.error.hint) == ("CalculationError", "do")
    assert str(Answer.of(KeyError()).error) == "KeyError"


def test_no_workers_are_refused(folder):
    with pytest.raises(InputError, match="at least one"):
        folder.run(DIAMOND, workers=0)


def test_a_reference_out_of_the_flow_is_refused(folder):
    stranger = compute("x", str(folder.side), {}, [])
    flow = Flow([compute("y", str(folder.side), {}, [stranger.output])])
    with pytest.raises(InputError, match=stranger.uuid):
        run_flow(flow, folder.results, folder=folder.path, workers=1)
    assert ran(folder.side) == []
