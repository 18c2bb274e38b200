"""What every calculation of a study is doing, from files and squeue; needs no driver."""

from __future__ import annotations

import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adhesion.cluster.driver import LOG, is_starting, queue_folder, record
from adhesion.cluster.queue import QueueJob, QueueSilentError, last_line, log_tail, my_jobs
from adhesion.cluster.resources import label_of
from adhesion.cluster.slurm import QUEUE
from adhesion.errors import DamagedFileError
from adhesion.runner import CALCULATIONS, ERROR_LOG, PROGRESS, failure
from adhesion.store import in_use_by

if TYPE_CHECKING:
    from adhesion.planning import Plan
    from adhesion.store import Results

State = Literal["done", "running", "queued", "waiting", "unconverged", "failed", "unknown"]
ORDER: tuple[State, ...] = (
    *("done", "running", "queued", "waiting", "unconverged", "failed", "unknown"),
)


@dataclass(frozen=True)
class CalculationState:
    """What one calculation is doing.

    Attributes
    ----------
    hash : str
    label : str
        As 'Na(001)/Pb(001) curve'.
    state : str
        done, running, queued, waiting (for others, or for a driver), unconverged, failed, or
        unknown where the queue does not answer.
    job : int or None
        Number of its queue job, while it has one.
    detail : str
        Iteration, the queue's reason, or why it failed.
    log : str
        Last line of the log of what failed.
    """

    hash: str
    label: str
    state: State
    job: int | None = None
    detail: str = ""
    log: str = ""


@dataclass(frozen=True)
class StudyState:
    """All calculations of a study, and whether somebody follows them."""

    driver: str
    queue: str
    calculations: list[CalculationState]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "counts": self.counts()}

    def counts(self) -> dict[str, int]:
        """Number of calculations in each state."""
        states = [c.state for c in self.calculations]
        return {s: states.count(s) for s in ORDER if s in states}


def study_state(plans: list[Plan], results: Results, folder: Path) -> StudyState:
    """Return the state of every calculation of the plans, each once.

    Parameters
    ----------
    plans : list of Plan
    results : Results
        Store and archive.
    folder : Path
        Of the store.
    """
    follower = in_use_by(folder)
    jobs, silence = _jobs(folder)
    look = _Look(results, folder, jobs, silence, bool(follower))
    found: dict[str, CalculationState] = {}
    for plan in plans:
        for role, recipe in plan.recipes.items():
            if recipe.hash not in found:
                label = label_of(plan, role)
                parents = [found[h] for h in recipe.parents.values() if h in found]
                found[recipe.hash] = look.at(recipe.hash, label, parents)
    return StudyState(_driver(folder, follower), silence, list(found.values()))


def _jobs(folder: Path) -> tuple[dict[str, QueueJob], str]:
    """Jobs of the queue, or why there are none; not asked where nothing waits for it."""
    if not any((folder / QUEUE).glob("*/*.h5")):
        return {}, ""
    try:
        return my_jobs(), ""
    except QueueSilentError as error:
        return {}, error.what


def _driver(folder: Path, follower: str) -> str:
    if follower:
        return f"at work: {follower}"
    last = record(folder)
    if last is None:
        return "none"
    if is_starting(folder):
        return f"at work: process {last.pid} on {last.host} is starting"
    if last.ended:
        return f"ended {last.ended}, {last.message}"
    words = _last_of(folder / LOG)
    said = f" (last words: {words})" if words else ""
    return f"process {last.pid} on {last.host} has died{said}; the same adhesion submit goes on"


@dataclass(frozen=True)
class _Look:
    """What is known of a store at one time."""

    results: Results
    folder: Path
    jobs: dict[str, QueueJob]
    silence: str
    followed: bool

    def at(self, hash: str, label: str, parents: list[CalculationState]) -> CalculationState:
        """Tell the state of one calculation."""
        document, reason = None, ""
        try:
            found = self.results.get(hash)
        except DamagedFileError as error:
            reason = str(error)
        else:
            document = found.document if found else None
            if found is not None and found.document.status == "done":
                return CalculationState(hash, label, "done", detail=found.source)
        return (
            self.at_work(hash, label)
            or self.ended(hash, label, reason, document)
            or self.to_come(hash, label, parents)
        )

    def at_work(self, hash: str, label: str) -> CalculationState | None:
        """Running or queued, here or in the queue."""
        where = queue_folder(self.folder, hash)
        job = self.jobs.get(str(where))
        if job is not None and job.state == "COMPLETING":  # ended; its node is being tidied up
            job = None
        if job is not None and job.waits:
            return CalculationState(hash, label, "queued", job.id, job.reason)
        iteration = _last_of(self.folder / CALCULATIONS / hash / PROGRESS)
        if job is not None:
            detail = f"{job.used} of {job.limit}{': ' if iteration else ''}{iteration}"
            return CalculationState(hash, label, "running", job.id, detail)
        if (where / f"{hash}_o.h5").exists():
            if self.followed:
                return CalculationState(hash, label, "running", detail="has come back")
            detail = "has come back; adhesion submit takes it up"
            return CalculationState(hash, label, "waiting", detail=detail)
        if self.followed and _is_locked(self.folder / CALCULATIONS / hash / ".lock"):
            return CalculationState(hash, label, "running", detail=iteration)
        if not any(where.glob("*_i.h5")):
            return None
        if self.silence:
            return CalculationState(hash, label, "unknown", detail=self.silence)
        if self.followed:
            return CalculationState(hash, label, "queued", detail="on its way into the queue")
        what = "left the queue without a result; adhesion submit tries it again"
        return CalculationState(hash, label, "failed", detail=what, log=log_tail(where))

    def ended(self, hash: str, label: str, reason: str, document: Any) -> CalculationState | None:
        """Failed or unconverged the last time."""
        try:
            failed = failure(self.folder, hash)
        except DamagedFileError as error:
            failed, reason = None, str(error)
        if failed is not None:
            scratch = self.folder / CALCULATIONS / hash
            log = _last_of(scratch / ERROR_LOG) or log_tail(queue_folder(self.folder, hash))
            return CalculationState(hash, label, "failed", detail=failed.reason, log=log)
        if reason:
            return CalculationState(hash, label, "failed", detail=reason)
        if document is not None:
            state: State = "failed" if document.status == "failed" else "unconverged"
            return CalculationState(hash, label, state, detail=document.reason)
        return None

    def to_come(self, hash: str, label: str, parents: list[CalculationState]) -> CalculationState:
        """Waiting for parents, for a place in the queue, or for somebody to submit it."""
        bad = [p.label for p in parents if p.state in ("failed", "unconverged")]
        open_ = [p.label for p in parents if p.state != "done"]
        if bad:
            detail = f"needs {', '.join(bad)}"
        elif open_:
            detail = f"for {', '.join(open_)}"
        else:
            detail = "to be submitted" if self.followed else "not submitted"
        return CalculationState(hash, label, "waiting", detail=detail)


def _last_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2000))
            return last_line(file.read().decode(errors="replace"))
    except OSError:
        return ""


def _is_locked(path: Path) -> bool:
    """Whether a worker of this machine computes in a scratch folder."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
