"""Tiny jobs with real recipes; each leaves a line in a side file when it really runs."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from jobflow import Flow, Response, job

from adhesion.errors import NotConvergedError
from adhesion.files import write_text
from adhesion.schemas import BulkDocument, Recipe


def recipe(name, parents=None):
    return Recipe(
        kind="bulk",
        calculator={"name": "noop"},
        parameters={"name": name},
        crystals={},
        parents=parents or {},
    )


def document(name, parents=None, status="done", **fields):
    made = recipe(name, parents)
    return BulkDocument(hash=made.hash, label=name, recipe=made, status=status, **fields)


@job
def compute(name, side, parents, values, do="", seconds=0.0):
    """Add one to the sum of the parents' energies; or misbehave."""
    here = Path.cwd()
    with (here / "progress.txt").open("a") as file:
        file.write(f"step 1 of {name}\n")
    with Path(side).open("a") as file:
        file.write(f"{name} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {here.name}\n")
    print("talk of", name)
    time.sleep(seconds)
    if do == "raise":
        raise ValueError("first line\nlast line of it")
    if do == "ours":
        raise NotConvergedError("after 3 steps", where=name, hint="give it more")
    if do == "exit":
        sys.exit("left")
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do.startswith("steps "):
        count_to(int(do.split()[1]))
    if do == "replace":
        return Response(replace=compute(name, side, {}, []))
    if do == "stored":
        return Response(stored_data={"a": 1})
    if do in ("detour", "addition"):
        return Response(document(name, parents, energy_eV=1.0), **{do: chain(name, side)})
    if do == "fork":
        return Response(replace=chain(name, side))
    notes = [(here / "checkpoint.json").read_text()] if (here / "checkpoint.json").exists() else []
    energy = float("nan") if do == "nan" else 1.0 + sum(v.energy_eV for v in values)
    status = "unconverged" if do == "unconverged" else "done"
    reason = "too few steps" if do == "unconverged" else ""
    made = document(name, parents, status, energy_eV=energy, notes=notes, reason=reason)
    if do == "stop":
        return Response(output=made, stop_children=True)
    if do == "halt":
        return Response(output=made, stop_jobflow=True)
    if do == "other":
        return document("someone else's")
    return made


def count_to(steps):
    """Take a second for each step, and go on from where a killed one was."""
    path = Path("checkpoint.json")
    done = int(path.read_text()) if path.exists() else 0
    while done < steps:
        time.sleep(1)
        done += 1
        write_text(path, str(done))
        with Path("progress.txt").open("a") as file:
            file.write(f"step {done} of {steps}\n")


def chain(name, side):
    """Two jobs, one after the other, as a job may answer with; their sum is the output."""
    first, second = named(f"{name}1", side), named(f"{name}2", side, f"{name}1")
    second.function_args = (*second.function_args[:3], [first.output], *second.function_args[4:])
    last = total([first.output, second.output])
    return Flow([first, second, last], output=last.output)


def named(name, side, parent=None):
    hashes = {parent: recipe(parent).hash} if parent else {}
    made = compute(name, side, hashes, [])
    made.name = name
    made.set_uuid(recipe(name, hashes).hash)
    return made


@job
def total(values):
    return {"sum_eV": sum(v.energy_eV for v in values if v is not None)}


def build(side, graph, seconds=0.0, summary=False):
    """Make a flow from {name: (parents, what to do)}; return it and the hashes by name."""
    jobs = {}
    for name, (parents, do) in graph.items():
        hashes = {p: jobs[p].uuid for p in parents}
        values = [jobs[p].output for p in parents]
        made = compute(name, str(side), hashes, values, do, seconds)
        made.name = name
        made.set_uuid(recipe(name, hashes).hash)
        jobs[name] = made
    extra = []
    if summary:
        last = total([j.output for j in jobs.values()])
        last.set_uuid("5" * 32)
        extra = [last]
    return Flow([*jobs.values(), *extra]), {name: j.uuid for name, j in jobs.items()}


def ran(side):
    """Names of the jobs that ran, in order."""
    side = Path(side)
    return [line.split()[0] for line in side.read_text().splitlines()] if side.exists() else []


DIAMOND = {"a": ([], ""), "b": (["a"], ""), "c": (["a"], ""), "d": (["b", "c"], "")}


QUEUED = {f"q{i}": ([], "") for i in range(5)} | {"last": (["q0", "q4"], "")}


def drive_queue(root, seconds):
    """Be a driver of the queue, to be killed."""
    from adhesion.cluster.slurm import SlurmPool
    from adhesion.runner import run_flow
    from adhesion.store import Results, open_store
    from adhesion.study import Machine

    root = Path(root)
    flow, _ = build(root / "side", QUEUED, float(seconds))
    machine = Machine(engine="slurm", resource_dict={"partition": "compute", "run_time_max": 600})
    run_flow(
        flow,
        Results(open_store(root)),
        folder=root,
        workers=1,
        pool=SlurmPool(root, machine, {}, look_seconds=1.0),
        on_event=lambda e: print(e.kind, e.label, e.message, flush=True),
    )


def drive(root, seconds):
    """Be a driver, to be killed or interrupted."""
    from adhesion.runner import run_flow
    from adhesion.store import Results, open_store

    root = Path(root)
    flow, _ = build(root / "side", DIAMOND, float(seconds), summary=True)
    run_flow(
        flow,
        Results(open_store(root)),
        folder=root,
        workers=2,
        on_event=lambda e: print(e.kind, e.label, e.message, flush=True),
    )
