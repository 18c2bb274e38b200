"""Two drivers on one store, and the locks of dead ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from tally import SCALE, count, scaled

from adhesion.runner import run_flow
from adhesion.store import Results, hold, open_store
from noop_jobs import DIAMOND, build, ran

needs_processes = pytest.mark.skipif(SCALE == "test", reason="half a minute of processes")
HERE = Path(__file__).resolve().parents[1]
TRY = """
import sys
from pathlib import Path
from adhesion.errors import SetupError
from adhesion.store import hold
import time
for _ in range(int(sys.argv[2])):
    try:
        with hold(Path(sys.argv[1])):
            print("held", time.monotonic(), end=" ")
            time.sleep(0.002)
            print(time.monotonic(), flush=True)
    except SetupError as error:
        assert "in use by process" in str(error) or "another process" in str(error), error
        print("refused", flush=True)
        time.sleep(0.001)
"""


@needs_processes
def test_two_drivers_never_hold_one_store(tmp_path):
    tries = scaled(100, 2000)
    drivers = [
        subprocess.Popen([sys.executable, "-c", TRY, str(tmp_path), str(tries)],
                         stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]  # fmt: skip
    said = [driver.communicate(timeout=120)[0].splitlines() for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0]
    held = sorted(
        tuple(map(float, line.split()[1:])) for lines in said for line in lines if "held" in line
    )
    together = sum(b[0] < a[1] for a, b in pairwise(held))
    count("two drivers at once on one store", 2 * tries, together, "the second leaves, told who")
    assert not together
    assert len(held) > tries / 10


@needs_processes
def test_the_second_driver_of_a_study_computes_nothing(tmp_path):
    line = "import sys, noop_jobs; noop_jobs.drive(sys.argv[1], 1.0)"
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    start = [sys.executable, "-c", line, str(tmp_path)]
    first = subprocess.Popen(start, stdout=subprocess.PIPE, text=True, env=environment)
    assert "started" in first.stdout.readline()
    second = subprocess.run(start, capture_output=True, text=True, env=environment, check=False)
    first.communicate(timeout=120)
    assert second.returncode != 0
    assert f"already in use by process {first.pid}" in second.stderr
    assert sorted(ran(tmp_path / "side")) == sorted(DIAMOND)
    count("second driver while a study runs", note="leaves; each job ran once")


@needs_processes
def test_stale_locks_are_taken_over(tmp_path):
    with hold(tmp_path):
        mine = json.loads((tmp_path / "driver.lock").read_text())
    dead = subprocess.Popen(["true"])
    dead.wait()
    lock = tmp_path / "driver.lock"
    stale = {
        "dead process": {"pid": dead.pid, "start": "1"},
        "pid given to another process": {"start": "1"},
        "before a reboot": {"boot": "another boot"},
        "dead on another host": {"host": "elsewhere", "boot": "its own"},
    }
    for name, changes in stale.items():
        lock.write_text(json.dumps(mine | changes))
        os.utime(lock, (time.time() - 61,) * 2)
        flow, _ = build(tmp_path / "side", {name.replace(" ", "_"): ([], "")})
        outcomes = run_flow(flow, Results(open_store(tmp_path)), folder=tmp_path, workers=1)
        assert [o.status for o in outcomes.values()] == ["done"]
        count("stale locks taken over", note=", ".join(stale))


def test_a_driver_killed_while_it_writes_the_lock(tmp_path):
    for length in range(0, 120, scaled(30, 3)):
        with hold(tmp_path):
            whole = (tmp_path / "driver.lock").read_text()
        (tmp_path / "driver.lock").write_text(whole[:length])
        with hold(tmp_path):
            pass
        count("locks cut off by a kill", note="taken over")


@needs_processes
def test_a_stopped_driver_still_holds(tmp_path):
    """Neither killed nor at work: SIGSTOP."""
    code = "import sys,time;from adhesion.store import hold;from pathlib import Path\n"
    code += "with hold(Path(sys.argv[1])):\n  print(1, flush=True)\n  time.sleep(60)"
    driver = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        driver.stdout.readline()
        os.kill(driver.pid, signal.SIGSTOP)
        second = subprocess.run(
            [sys.executable, "-c", TRY, str(tmp_path), "1"], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert second.stdout == "refused\n"
    finally:
        driver.kill()
        driver.wait()
