"""Studies on a queue: submit, status, cancel, retry."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adhesion.cli.common import (
    STORE,
    Allow,
    AsJson,
    LevelName,
    Only,
    StoreFolder,
    StudyFile,
    app,
    data,
    open_results,
    read_study,
    say,
)
from adhesion.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE, InputError, SetupError

if TYPE_CHECKING:
    from adhesion.cluster.status import StudyState
    from adhesion.planning import Plan
    from adhesion.store import Results
    from adhesion.study import Machine, Study

MachineOfQueue = Annotated[
    Path, typer.Option(help="Machine file (YAML), as adhesion init slurm.yaml --machine slurm.")
]
OfLevel = Annotated[
    str | None, typer.Option(help="Level of theory; the one last submitted, if left out.")
]
Walltime = Annotated[str | None, typer.Option(help="For what failed: 4:00:00, 36h, 1-12:00:00.")]
Memory = Annotated[float | None, typer.Option(min=0.1, help="For what failed: GB of each job.")]
WATCH_SECONDS = 5.0
STOP_SECONDS = 60.0


@app.command()
def submit(
    study: StudyFile,
    machine: MachineOfQueue,
    level: LevelName = "quick",
    only: Only = None,
    store: StoreFolder = STORE,
    engine: Annotated[
        str | None, typer.Option(help="slurm, script or jobflow-remote; else the machine file's.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow until the end.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Batch script to write (engine script).")
    ] = None,
    allow_calculator: Allow = None,
    drive: Annotated[bool, typer.Option("--drive", hidden=True)] = False,
    walltime: Annotated[str | None, typer.Option(hidden=True)] = None,
    memory: Annotated[float | None, typer.Option(hidden=True)] = None,
) -> None:
    """Hand a study to a queue; what is finished is never repeated."""
    from adhesion.study import load_machine

    loaded, here = read_study(study), load_machine(machine)
    chosen = _engine(engine, here)

    from adhesion.checks import must_be_computable, must_be_writable, planned

    plans = planned(loaded, level, only)
    allowed = {*here.allow_calculators, *(allow_calculator or ())}
    must_be_computable(loaded, plans, allowed)
    if chosen == "script":
        return _write_script(here, study, level, only, store, machine, allow_calculator, output)
    if chosen == "jobflow-remote":
        return _hand_over(here, loaded, plans, level)
    must_be_writable(store)

    from adhesion.cluster.resources import requests
    from adhesion.cluster.script import must_be_launchable

    must_be_launchable(here, [r.ranks for r in requests(plans, here).values()])
    again = _command(study, machine, level, only, store, allow_calculator)
    if drive:
        return _drive(here, plans, store, level, only, study, again, walltime, memory)
    return _start(plans, store, again, study, level, watch=watch)


def _engine(engine: str | None, machine: Machine) -> str:
    from adhesion.errors import nearest

    known = ("slurm", "script", "jobflow-remote")
    chosen = engine or machine.engine
    if chosen not in known:
        where = "--engine" if engine else f"{machine.where}, engine"
        local = " (it computes on this machine: adhesion run)" if chosen == "local" else ""
        what = f"{chosen!r} is no queue{local}"
        raise InputError(what, where=where, hint=nearest(chosen, known))
    return chosen


def _command(
    study: Path,
    machine: Path | None,
    level: str,
    only: list[str] | None,
    store: Path,
    allow: list[str] | None,
    name: str = "submit",
) -> list[str]:
    """Return the same command with absolute paths, for a process that outlives this one."""
    words = [name, str(study.absolute()), "--level", level, "--store", str(store.absolute())]
    if machine is not None:
        words += ["--machine", str(machine.absolute())]
    for option, values in (("--only", only), ("--allow-calculator", allow)):
        for value in values or ():
            words += [option, value]
    return words


def _start(
    plans: list[Plan], store: Path, command: list[str], study: Path, level: str, *, watch: bool
) -> None:
    """Start the driver, unless it is at work or nothing is left to do."""
    from adhesion.cluster.driver import LOG, Record, is_starting, record, start
    from adhesion.cluster.queue import must_have_slurm, my_jobs
    from adhesion.cluster.script import must_be_plain
    from adhesion.cluster.slurm import must_have_executorlib
    from adhesion.store import in_use_by

    must_have_slurm()
    must_have_executorlib()
    must_be_plain(store.resolve())
    results = open_results(store)
    follower, last, process = in_use_by(store), record(store), None
    if last is not None and not follower and is_starting(store):
        follower = f"process {last.pid} on {last.host}, which is starting"
    if follower and (last is None or _subject(last.command) != _subject(command)):
        raise SetupError(
            f"already in use by {follower}",
            where=str(store),
            hint="wait for it, or choose another folder with --store",
        )
    if follower:
        say(f"already followed by {follower}")
    elif all((found := results.get(h)) and found.document.status == "done" for h in _hashes(plans)):
        say(f"everything is done; type: adhesion report {shlex.quote(str(study))}")
        return None
    else:
        my_jobs()  # a queue that does not answer is told here, not in a log
        process = start(store, Record(command, str(study.absolute()), level))
        say(f"process {process.pid} follows the study; what it says is in {store / LOG}")
    if watch:
        return _follow(plans, results, store, process)
    shown = ["adhesion", "status", str(study), "--level", level, "--store", str(store)]
    say(f"type: {shlex.join(shown)}")
    return None


def _subject(command: list[str]) -> list[str]:
    """What of a command says which study is followed."""
    kept = [w for w in command if w != "--drive"]
    for option in ("--walltime", "--memory", "--machine"):
        if option in kept:
            at = kept.index(option)
            del kept[at : at + 2]
    return kept


def _hashes(plans: list[Plan]) -> list[str]:
    return list(dict.fromkeys(h for plan in plans for h in plan.hashes.values()))


def _follow(
    plans: list[Plan], results: Results, store: Path, process: subprocess.Popen[bytes] | None
) -> None:
    """Tell each change until nobody follows the study any more."""
    from adhesion.cluster.status import study_state
    from adhesion.store import in_use_by

    told: dict[str, str] = {}
    while True:
        at_work = bool(in_use_by(store)) or (process is not None and process.poll() is None)
        state = study_state(plans, results, store)
        for one in state.calculations:
            if told.get(one.hash) != one.state:
                told[one.hash] = one.state
                say(f"{one.state:11} {one.label}{': ' if one.detail else ''}{one.detail}")
        if not at_work:
            break
        time.sleep(WATCH_SECONDS)
    say(f"driver: {state.driver}")
    counts = state.counts()
    if not set(counts) <= {"done"}:
        raise typer.Exit(EXIT_FAILED if "failed" in counts else EXIT_INCOMPLETE)


def _drive(
    machine: Machine,
    plans: list[Plan],
    store: Path,
    level: str,
    only: list[str] | None,
    study: Path,
    command: list[str],
    walltime: str | None,
    memory: float | None,
) -> None:
    """Be the driver; ends without waiting for a command of Slurm that hangs."""
    from adhesion.cluster.driver import Record, drive
    from adhesion.cluster.script import seconds
    from adhesion.errors import AdhesionError
    from adhesion.study import Resources

    changes = Resources(run_time_max=seconds(walltime) if walltime else None, memory_max=memory)
    told = Record(command, str(study.absolute()), level, list(only or ()))
    status = EXIT_DONE
    try:
        outcomes = drive(
            plans, open_results(store), store.absolute(), machine, told,
            changes=changes, partial=data("results", "partial"),
        )  # fmt: skip
        if any(o.status != "done" for o in outcomes.values()):
            status = EXIT_FAILED
    except AdhesionError as error:
        say(f"adhesion: {error}")
        status = error.exit_status
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _write_script(
    machine: Machine,
    study: Path,
    level: str,
    only: list[str] | None,
    store: Path,
    machine_file: Path,
    allow: list[str] | None,
    output: Path | None,
) -> None:
    """Write one batch script that runs the study."""
    from adhesion.cluster.script import plain_script
    from adhesion.files import write_text

    path = output or Path(f"{study.stem}-{level}.sh")
    command = _command(study, machine_file, level, only, store, allow, name="run")
    write_text(path, plain_script(machine, command, f"adhesion-{study.stem}"))
    say(f"wrote {path}; next: sbatch {shlex.quote(str(path))}, again until all is done")


def _hand_over(machine: Machine, study: Study, plans: list[Plan], level: str) -> None:
    """Hand the flow to jobflow-remote, whose own commands follow it."""
    from adhesion.cluster.remote import hand_over

    ids = hand_over(study, plans, level, machine)
    say(f"jobflow-remote has {len(ids)} jobs in project {machine.remote.project!r}")
    jf = f"jf -p {machine.remote.project}"
    say(f"type: {jf} runner start; {jf} job list")


@app.command()
def status(
    study: StudyFile,
    level: OfLevel = None,
    only: Only = None,
    store: StoreFolder = STORE,
    as_json: AsJson = False,
) -> None:
    """Show what each calculation of a study is doing: from files and the queue."""
    loaded = read_study(study)

    from adhesion.checks import planned
    from adhesion.cluster.status import study_state

    chosen = level or _last_level(store, study)
    state = study_state(planned(loaded, chosen, only), open_results(store), store)
    if as_json:
        typer.echo(json.dumps({"level": chosen, **state.as_dict()}, indent=1))
    else:
        _print_state(state, chosen, store)
    counts = state.counts()
    if set(counts) <= {"done"}:
        raise typer.Exit(EXIT_DONE)
    raise typer.Exit(EXIT_FAILED if "failed" in counts else EXIT_INCOMPLETE)


def _last_level(store: Path, study: Path) -> str:
    from adhesion.cluster.driver import record

    last = record(store)
    return last.level if last and last.study == str(study.absolute()) else "quick"


def _print_state(state: StudyState, level: str, store: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"done": "green", "running": "cyan", "failed": "red", "unconverged": "yellow"}
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in ("calculation", "state", "job", ""):
        table.add_column(name, overflow="fold", no_wrap=name in ("state", "job"))
    for one in state.calculations:
        told = "\n".join(filter(None, [one.detail, f"log: {one.log}" if one.log else ""]))
        job = str(one.job) if one.job else ""
        style = colours.get(one.state, "")
        table.add_row(Text(one.label), Text(one.state, style), Text(job), Text(told))
    console = Console()
    console.print(table)
    counts = ", ".join(f"{n} {name}" for name, n in state.counts().items())
    console.print(Text(f"\n{level}: {counts}"))
    console.print(Text(f"driver: {state.driver}"))
    if state.queue:
        console.print(Text(f"queue: {state.queue}"))
    console.print(Text(f"results in {store.absolute()}"))


@app.command()
def cancel(
    study: StudyFile,
    level: OfLevel = None,
    only: Only = None,
    store: StoreFolder = STORE,
) -> None:
    """Take a study out of the queue and end its driver; what is finished is kept."""
    loaded = read_study(study)

    from adhesion.checks import planned
    from adhesion.cluster.driver import cancel_jobs, is_starting, stop_driver
    from adhesion.cluster.resources import label_of
    from adhesion.store import in_use_by

    plans = planned(loaded, level or _last_level(store, study), only)
    if not only and (in_use_by(store) or is_starting(store)):
        left = stop_driver(store, STOP_SECONDS)
        say(f"{left} has not ended yet" if left else "the driver has ended")
    labels = {h: label_of(plan, role) for plan in plans for role, h in plan.hashes.items()}
    numbers = cancel_jobs(store, labels)
    say(" ".join([f"cancelled {len(numbers)} queue jobs", *map(str, numbers)]))


@app.command()
def retry(
    study: StudyFile,
    machine: MachineOfQueue,
    level: OfLevel = None,
    only: Only = None,
    store: StoreFolder = STORE,
    walltime: Walltime = None,
    memory: Memory = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow until the end.")] = False,
    allow_calculator: Allow = None,
) -> None:
    """Try again what failed, from its checkpoint, and go on with what needs it."""
    from adhesion.cluster.script import seconds
    from adhesion.study import load_machine

    if walltime is not None:
        seconds(walltime)
    loaded, here = read_study(study), load_machine(machine)

    from adhesion.checks import must_be_computable, planned
    from adhesion.cluster.status import study_state

    chosen = level or _last_level(store, study)
    plans = planned(loaded, chosen, only)
    must_be_computable(loaded, plans, {*here.allow_calculators, *(allow_calculator or ())})
    state = study_state(plans, open_results(store), store)
    if state.driver.startswith("at work"):
        raise SetupError(
            state.driver, where=str(store), hint="wait for it, or type: adhesion cancel"
        )
    tried = [c.label for c in state.calculations if c.state in ("failed", "unconverged")]
    if not tried:
        counts = ", ".join(f"{n} {name}" for name, n in state.counts().items())
        say(f"nothing has failed ({counts})")
        return
    say("tried again: " + ", ".join(tried))
    command = _command(study, machine, chosen, only, store, allow_calculator)
    more: list[Any] = ["--walltime", walltime] if walltime else []
    more += ["--memory", str(memory)] if memory else []
    _start(plans, store, [*command, *more], study, chosen, watch=watch)
