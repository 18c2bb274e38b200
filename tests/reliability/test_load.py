"""Many calculations and large stores; only in `make reliability`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tally import SCALE, count

from adhesion.runner import run_flow
from adhesion.store import Results, open_store
from adhesion.study import data_path
from noop_jobs import build, document, ran

pytestmark = pytest.mark.skipif(SCALE == "test", reason="minutes")

JOBS = 2000
DOCUMENTS = 50_000
STUDY = "name: t\ninterfaces: [{film: Ag, substrate: Au}]\n"


def memory_MB() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def test_two_thousand_calculations_by_two_workers(tmp_path):
    graph = {f"n{i}": ([f"n{i - 1}"] if i % 10 else [], "") for i in range(JOBS)}
    flow, _ = build(tmp_path / "side", graph)
    found: list[float] = []

    def watch(event):
        if event.kind == "finished":
            found.append(memory_MB())

    start = time.monotonic()
    outcomes = run_flow(
        flow, Results(open_store(tmp_path)), folder=tmp_path, workers=2, on_event=watch
    )
    seconds = time.monotonic() - start
    names = ran(tmp_path / "side")
    lost = JOBS - sum(o.status == "done" for o in outcomes.values())
    again = len(names) - len(set(names))
    grown = found[-1] - found[JOBS // 10]
    note = f"{seconds:.0f} s, driver's memory {found[JOBS // 10]:.0f} to {found[-1]:.0f} MB"
    count("no-op calculations by 2 persistent workers", JOBS, lost + again, note)
    assert (lost, again) == (0, 0)
    assert len(list((tmp_path / "results").glob("*.json"))) == JOBS
    assert grown < 30


def test_a_store_of_fifty_thousand_documents(tmp_path):
    # CPU time, imports left out: the machine may be busy with other things.
    (tmp_path / "study.yaml").write_text(STUDY)
    results = Results(open_store(tmp_path / "s"))
    results.add(document("one", energy_eV=1.0))
    folder = tmp_path / "s" / "results"
    text = next(folder.glob("*.json")).read_text()
    for i in range(DOCUMENTS):
        (folder / f"{i:032x}.json").write_text(text)
    start = time.process_time()
    opened = Results(open_store(tmp_path / "s"), data_path("results"))
    assert opened.get(document("one").hash).document.energy_eV == 1.0
    assert opened.store.count() == DOCUMENTS + 1
    opening = time.process_time() - start
    code = (
        "import sys, time; from adhesion import cli\n"
        "cli.main([*sys.argv[1:-1], 'nothing', '--output', 'x'])  # imports all\n"
        "start = time.process_time(); cli.main(sys.argv[1:])\n"
        "print(time.process_time() - start, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", "study.yaml", "--format", "json", "--store", "s"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    json.loads(done.stdout)
    reporting = float(done.stderr.splitlines()[-1])
    note = f"opens in {opening:.2f} s, report answers in {reporting:.2f} s of CPU"
    count(f"store of {DOCUMENTS} documents", note=note)
    assert opening <= 2
    assert reporting <= 3
