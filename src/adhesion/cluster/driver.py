"""The process that follows a study on a queue: started, left alone, found again.

It submits what is ready, stores what comes back, and ends with the study. If it
dies, what stands in the queue goes on; the same ``adhesion submit`` starts another.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adhesion.cluster.queue import QueueSilentError, cancel, my_jobs
from adhesion.cluster.resources import Request, requests
from adhesion.cluster.slurm import (
    QUEUE,
    REQUEST,
    STOP,
    SlurmPool,
    answer_of,
    forget,
    must_have_executorlib,
)
from adhesion.errors import AdhesionError, DamagedFileError, SetupError
from adhesion.files import read_json, write_json, write_text
from adhesion.flows import StudyMaker
from adhesion.runner import Event, Outcome, failure, note_failure, run_flow
from adhesion.store import as_document, hold, in_use_by
from adhesion.study import Machine, Resources

if TYPE_CHECKING:
    from adhesion.planning import Plan
    from adhesion.store import Results

RECORD = "driver.json"
LOG = "driver.log"


@dataclass(frozen=True)
class Record:
    """What the last driver of a store was told, and how it ended.

    Attributes
    ----------
    command : list of str
        Arguments of ``adhesion`` that start it again.
    study, level : str
        What it follows.
    ended : str
        When; empty while it is at work, or if it was killed.
    message : str
        How it ended.
    """

    command: list[str]
    study: str
    level: str
    only: list[str] = field(default_factory=list)
    pid: int = 0
    host: str = ""
    started: str = ""
    ended: str = ""
    message: str = ""


def record(folder: Path) -> Record | None:
    """Return what is noted of the last driver of a store, or None."""
    try:
        return Record(**read_json(folder / RECORD))
    except (DamagedFileError, TypeError):
        return None


def start(folder: Path, told: Record) -> subprocess.Popen[bytes]:
    """Start a driver that outlives this process and its terminal.

    Parameters
    ----------
    folder : Path
        Of the store; what the driver says goes to ``driver.log`` there.
    told : Record
        What to follow, and the command that does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / QUEUE / STOP).unlink(missing_ok=True)
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "adhesion", *told.command, "--drive"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    here = replace(told, pid=process.pid, host=socket.gethostname(), started=_now())
    write_json(folder / RECORD, asdict(here))
    return process


def is_starting(folder: Path) -> bool:
    """Whether a driver was started on this host that has not taken the store yet."""
    last = record(folder)
    if last is None or last.ended or last.host != socket.gethostname():
        return False
    try:
        words = Path(f"/proc/{last.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"--drive" in words


def drive(
    plans: list[Plan],
    results: Results,
    folder: Path,
    machine: Machine,
    told: Record,
    *,
    changes: Resources | None = None,
    partial: Path | None = None,
) -> dict[str, Outcome]:
    """Follow a study on the queue to its end.

    Parameters
    ----------
    plans, results, folder, machine
        As for `adhesion.runner.run_flow` and `SlurmPool`.
    told : Record
        Kept in the folder, so that ``adhesion status`` needs no driver.
    changes : Resources, optional
        What a calculation asks for that failed before.
    partial : Path, optional
        Folder of published checkpoints.

    Raises
    ------
    SetupError
        If the store is in use, or the queue does not answer for too long.
    """
    here = replace(told, pid=os.getpid(), host=socket.gethostname(), started=_now())
    wanted = mended(requests(plans, machine), folder, machine, changes or Resources())
    pool = SlurmPool(folder, machine, wanted)

    def note(message: str = "") -> None:
        ended = _now() if message else ""
        write_json(folder / RECORD, asdict(replace(here, ended=ended, message=message)))

    first = True

    def tell(event: Event) -> None:
        nonlocal first
        if first:  # the store is held now
            note()
            first = False
        if event.kind != "progress":
            words = f"{event.kind:9} {event.label}{': ' if event.message else ''}{event.message}"
            print(_now(), words, flush=True)

    try:
        outcomes = run_flow(
            StudyMaker(level=told.level).calculations(plans),
            results,
            folder=folder,
            workers=1,
            pool=pool,
            partial=partial,
            on_event=tell,
        )
    except BaseException as error:
        if not first or not in_use_by(folder):
            what = error.what if isinstance(error, AdhesionError) else type(error).__name__
            note(what or "ended")
        raise
    done = sum(o.status == "done" for o in outcomes.values())
    note(f"to the end: {done} of {len(outcomes)} calculations are done")
    return outcomes


def mended(
    wanted: dict[str, Request], folder: Path, machine: Machine, changes: Resources
) -> dict[str, Request]:
    """Return the requests, with more for what failed before.

    What is given takes the place of what the machine file says; what ran into its walltime
    asks for twice of it, up to the machine's longest.
    """
    found = {}
    for hash, request in wanted.items():
        resources = request.resources
        try:
            failed = failure(folder, hash)
        except DamagedFileError:
            failed = None
        if failed is not None and failed.exception.startswith("TIMEOUT"):
            longest = machine.resource_dict.run_time_max
            before = asked_before(folder, hash).get("run_time_max") or resources.run_time_max
            if before is not None:
                twice = min(2 * before, longest or 2 * before)
                resources = resources.model_copy(update={"run_time_max": max(twice, before)})
        if failed is not None:
            resources = resources.model_copy(update=changes.model_dump(exclude_none=True))
        ranks = resources.cores or 1 if request.ranks > 1 else 1
        found[hash] = replace(request, ranks=ranks, resources=resources)
    return found


def asked_before(folder: Path, hash: str) -> dict[str, Any]:
    """Return the resources that a calculation asked for when it was last submitted."""
    try:
        found = read_json(folder / QUEUE / hash / REQUEST)["resources"]
    except (DamagedFileError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def take_over(plans: list[Plan], results: Results, folder: Path) -> list[str]:
    """Make a store ready to be computed on this machine, if its driver on the queue has died.

    Parameters
    ----------
    plans : list of Plan
        What will be computed.
    results : Results
        Where documents are put that have come back from the queue.
    folder : Path
        Of the store.

    Returns
    -------
    list of str
        Labels of these documents.

    Raises
    ------
    SetupError
        If calculations stand in the queue, which would be computed twice; if the queue does
        not answer; or if another driver is at work.
    """
    hashes = dict.fromkeys(h for plan in plans for h in plan.hashes.values())
    left = [q for h in hashes if any((q := queue_folder(folder, h)).glob("*.h5"))]
    if not left:
        return []
    must_have_executorlib()
    hint = (
        f"adhesion submit goes on with them, adhesion cancel ends them; or remove {left[0].parent}"
    )
    taken = []
    with hold(folder):
        try:
            jobs = my_jobs()
        except QueueSilentError as error:
            what = f"its last driver left {len(left)} calculations in a queue: {error.what}"
            raise SetupError(what, where=str(folder), hint=hint) from None
        for place in left:
            answer = answer_of(place)
            document = as_document(answer.output) if answer is not None else None
            if document is not None and document.hash == place.name:
                results.add(document)
                forget(place)
                taken.append(document.label)
            elif str(place) in jobs:
                what = f"queue job {jobs[str(place)].id} is still at it, of its last driver"
                raise SetupError(what, where=str(folder), hint=hint)
    return taken


def queue_folder(folder: Path, hash: str) -> Path:
    """Folder by which squeue names the job of a calculation."""
    return folder.resolve() / QUEUE / hash


def stop_driver(folder: Path, wait_s: float) -> str:
    """Tell the driver of a store to end, wherever it runs; return who has not ended in time.

    What it has in the queue stays there.
    """
    end = time.monotonic() + wait_s
    path = folder / QUEUE / STOP
    write_text(path, "adhesion cancel\n")
    try:
        while time.monotonic() < end:
            if not in_use_by(folder) and not is_starting(folder):
                return ""
            time.sleep(0.2)
        return in_use_by(folder)
    finally:
        path.unlink(missing_ok=True)


def cancel_jobs(folder: Path, labels: dict[str, str]) -> list[int]:
    """Cancel the queue jobs of calculations, note it, and return their numbers.

    Parameters
    ----------
    folder : Path
        Of the store.
    labels : dict
        Hash of each calculation to its name for people.

    Raises
    ------
    QueueSilentError
        If the queue does not answer.
    """
    jobs = my_jobs()
    mine = {h: jobs[p] for h in labels if (p := str(queue_folder(folder, h))) in jobs}
    cancel([job.id for job in mine.values()])
    if not in_use_by(folder):  # a driver at work notes it itself
        with hold(folder):
            for hash, job in mine.items():
                if not (queue_folder(folder, hash) / f"{hash}_o.h5").exists():
                    reason = f"queue job {job.id} was cancelled by adhesion cancel"
                    note_failure(folder, hash, labels[hash], reason, "CANCELLED")
                    forget(queue_folder(folder, hash))
    return sorted(job.id for job in mine.values())


def _now() -> str:
    return datetime.now().isoformat(" ", "seconds")
