"""What the driver costs per calculation: jobs that do nothing, on workers of this machine.

python benchmarks/driver.py [NUMBER ...]    calculations; 100, 1000 and 10000 if left out
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 2
SHARED = 4
"""A quarter of the calculations has the parent of others: their bulk, say."""


def study_of(number):
    """Flow of so many calculations; every fourth one is a parent of the three after it."""
    from jobflow import Flow

    from adhesion.jobs import BulkMaker  # noqa: F401  as a real driver, which has it loaded

    jobs, parent = [], None
    for i in range(number):
        alone = i % SHARED == 0
        made = calculation(f"c{i}", None if alone else parent)
        if alone:
            parent = made
        jobs.append(made)
    return Flow(jobs)


def calculation(name, parent):
    from adhesion.schemas import Recipe

    recipe = Recipe(
        kind="bulk", calculator={"name": "noop"}, parameters={"name": name}, crystals={},
        parents={"parent": parent.uuid} if parent else {},
    )  # fmt: skip
    made = nothing(recipe.model_dump(mode="json"), parent.output if parent else None)
    made.name = name
    made.set_uuid(recipe.hash)
    return made


def nothing(recipe, parent):
    from jobflow import job

    return job(_nothing)(recipe, parent)


def _nothing(recipe, parent):  # noqa: ARG001
    from adhesion.schemas import BulkDocument, Recipe

    parsed = Recipe.model_validate(recipe)
    return BulkDocument(hash=parsed.hash, label="nothing", recipe=parsed, status="done")


def measure(number):
    """Run one study in this process and print what it took."""
    from adhesion.runner import run_flow
    from adhesion.store import Results, open_store

    with tempfile.TemporaryDirectory(prefix="driver-") as name:
        folder = Path(name)
        results = Results(open_store(folder))
        run_flow(study_of(SHARED), results, folder=folder / "warm", workers=WORKERS)
        before, memory = time.process_time(), peak_kB()
        start = time.monotonic()
        flow = study_of(number)
        outcomes = run_flow(flow, results, folder=folder, workers=WORKERS)
        wall, cpu = time.monotonic() - start, time.process_time() - before
        assert all(o.status == "done" for o in outcomes.values())
        print(number, wall, cpu, peak_kB() - memory)


def peak_kB():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return measure(given.numbers[0])
    print("| calculations | wall, s | driver CPU, ms each | driver memory, kB each |")
    print("|---|---|---|---|")
    for number in given.numbers:  # a process each: the peak of memory is of a process
        words = [sys.executable, __file__, str(number), "--one"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        n, wall, cpu, memory = map(float, done.stdout.split())
        print(f"| {n:.0f} | {wall:.0f} | {1000 * cpu / n:.1f} | {memory / n:.1f} |", flush=True)
    return None


if __name__ == "__main__":
    main()
