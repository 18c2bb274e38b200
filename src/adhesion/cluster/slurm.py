"""The queue as a pool of the runner: one sbatch per job, through executorlib.

executorlib's `SlurmClusterExecutor` submits, finds its jobs again after a restart by
their ``cache_key``, and brings back what they return. What it leaves open stands
here: the lines of the batch script, a job that ended without a word, an ``sbatch``
that was refused or hangs, and a cached failure.

Each job has a folder ``<store>/queue/<hash>`` with its script, its log and
executorlib's files; by this folder squeue names it, with or without a driver.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import threading
import time
import warnings
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any

from adhesion.cluster.queue import (
    QueueJob,
    QueueSilentError,
    how_it_ended,
    last_line,
    log_tail,
    must_have_slurm,
    my_jobs,
)
from adhesion.cluster.resources import Request, default_request
from adhesion.cluster.script import JOB_TEMPLATE, body, directives, must_be_plain
from adhesion.errors import CalculationError, SetupError
from adhesion.files import write_text
from adhesion.runner import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from adhesion.study import Machine

QUEUE = "queue"
REQUEST = "request.json"
STOP = "stop"

LOOK_SECONDS = 5.0
"""How often squeue is asked."""
GONE_LOOKS = 2
"""So often a job has to be missing from squeue before it counts as ended."""
SETTLE_SECONDS = 10.0
"""How long the answer of an ended job may take to appear on a shared file system."""
LET_GO_SECONDS = 5.0
"""How long the end waits for a command of Slurm that hangs."""

_BUSY = re.compile(
    r"contact slurm controller|socket timed out|connection refused|temporarily|try again"
    r"|submit.*limit|rate limit|slurmctld|communication connection",
    re.IGNORECASE,
)
"""Refusals that pass: the same sbatch is tried again."""


class StoppedError(SetupError):
    """``adhesion cancel`` told this driver to end."""


@dataclass
class _Flight:
    """A job that was handed to executorlib."""

    key: str
    folder: Path
    call: tuple[Callable[..., Answer], tuple[Any, ...]]
    request: Request
    inner: Future[Answer] | None = None
    job: QueueJob | None = None
    missing: int = 0
    ended: float | None = None


class SlurmPool:
    """Jobs of a flow as queue jobs; see `adhesion.runner.Pool`.

    Parameters
    ----------
    folder : Path
        Of the store.
    machine : Machine
        With ``engine: slurm``.
    requests : dict
        Hash of a calculation to what it asks for.
    look_seconds : float
        How often squeue is asked.

    Raises
    ------
    SetupError
        If Slurm or executorlib is not here, or the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        machine: Machine,
        requests: dict[str, Request],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        must_have_slurm()
        must_have_executorlib()
        must_be_plain(folder.resolve())
        # As squeue shows it: sbatch notes where it was called, without symbolic links.
        self.root = folder.resolve() / QUEUE
        self.machine = machine
        self.requests = requests
        self.look_seconds = look_seconds
        self.poll_seconds = min(1.0, look_seconds)
        self.flights: dict[Future[Answer], _Flight] = {}
        self.jobs: dict[str, QueueJob] = {}
        self._executor: Any = None
        self._kept: list[Path] = []
        self._looked: float | None = None
        self._answered = time.monotonic()
        self._moved = time.monotonic()

    def __enter__(self) -> SlurmPool:
        return self

    def __exit__(self, kind: object = None, *error: object) -> None:
        self.stop()
        if kind is None:  # to the end: nothing has to be found again
            for folder in self._kept:
                forget(folder)

    @property
    def free(self) -> bool:
        """Whether one more job may stand in the queue."""
        return self._looked is not None and len(self.flights) < self.machine.max_jobs

    def submit(self, fn: Callable[..., Answer], *args: Any) -> Future[Answer]:
        """Put a job into the queue, or find it there."""
        key = Path(args[1]).name
        label = key[:12]
        request = self.requests.get(key.split("-")[0]) or default_request(self.machine, label)
        flight = _Flight(key, self.root / key, (fn, args), request)
        flight.folder.mkdir(parents=True, exist_ok=True)
        outer: Future[Answer] = Future()
        self.flights[outer] = flight
        self._send(flight)
        return outer

    def tend(self) -> None:
        """Pass on what came back, look at the queue, and tell what will never come back.

        Raises
        ------
        StoppedError
            If `adhesion cancel` says so.
        QueueSilentError
            If the queue has not answered for as long as the machine file allows.
        """
        if (self.root / STOP).exists():
            raise StoppedError("the driver was told to end by: adhesion cancel")
        self._collect()
        if self._looked is not None and time.monotonic() - self._looked < self.look_seconds:
            return
        try:
            self.jobs = my_jobs()
        except QueueSilentError as error:
            self._be_patient(self._answered, error)
            return
        self._looked = self._answered = time.monotonic()
        self._revive()
        for outer, flight in list(self.flights.items()):
            if not outer.done():
                self._check(outer, flight)
        if any(f.job is None and f.inner is not None for f in self._open()):
            self._be_patient(self._moved, QueueSilentError("the queue does not answer (sbatch)"))
        else:
            self._moved = time.monotonic()

    def answer(self, future: Future[Answer]) -> Answer:
        """Return what a job sent back; how it ended, if it sent nothing."""
        try:
            return future.result()
        except Exception as error:  # could not be unpickled, or executorlib's own
            return Answer.of(error)

    def settled(self, future: Future[Answer], *, stored: bool) -> None:
        """Forget the answer of a job if it is stored elsewhere; its script and log stay."""
        flight = self.flights.pop(future)
        if stored:
            forget(flight.folder)
        else:  # the next driver would run it again, and give other names to what it answers with
            self._kept.append(flight.folder)

    def stop(self) -> None:
        """Let go of the queue; what stands there goes on, and is found again."""
        if self._executor is not None:
            _let_go(self._executor)
            self._executor = None

    # --- sending ---

    def _send(self, flight: _Flight) -> None:
        from executorlib.standalone.hdf import dump, get_queue_id

        self._drop_refusal(flight)
        waiting = flight.folder / f"{flight.key}_i.h5"
        job = self.jobs.get(str(flight.folder))
        if job is not None and waiting.exists() and get_queue_id(str(waiting)) is None:
            # The driver before died between sbatch and noting the id.
            dump(str(waiting), {"queue_id": job.id})
        self._note_request(flight)
        fn, args = flight.call
        flight.inner = self._running_executor().submit(fn, *args, resource_dict=self._words(flight))
        flight.job, flight.missing = job, 0

    def _words(self, flight: _Flight) -> dict[str, Any]:
        """Return executorlib's resource_dict; what is beyond its words is a line of the script."""
        request = flight.request
        task = [sys.executable, "-m", "executorlib.backend.cache_serial"]
        task.append(str(flight.folder / f"{flight.key}_i.h5"))
        return {
            "cache_key": flight.key,
            "cache_directory": str(flight.folder),
            "cwd": str(flight.folder),
            # To executorlib each job is one process: GPAW's ranks are started inside it.
            "cores": 1,
            "submission_template": JOB_TEMPLATE,
            "job_name": "adhesion-" + re.sub(r"[^A-Za-z0-9]+", "-", request.label).strip("-")[:50],
            "directives": directives(request.resources, self.machine.sbatch, request.ranks),
            "body": body(self.machine, request.resources, request.ranks, task),
        }

    def _note_request(self, flight: _Flight) -> None:
        """Keep what was asked for, for people and for a retry."""
        request = flight.request
        data = {**asdict(request), "resources": request.resources.model_dump(exclude_none=True)}
        path = flight.folder / REQUEST
        if flight.folder.exists() and not (flight.job and path.exists()):
            write_text(path, json.dumps(data, indent=1) + "\n")

    def _drop_refusal(self, flight: _Flight) -> None:
        """Remove a cached failure: what the job itself raises comes back as an answer."""
        if answer_of(flight.folder) is None:
            (flight.folder / f"{flight.key}_o.h5").unlink(missing_ok=True)

    def _running_executor(self) -> Any:
        if self._executor is None:
            from executorlib import SlurmClusterExecutor

            warnings.filterwarnings("ignore", module="executorlib")
            self._executor = SlurmClusterExecutor(
                cache_directory=str(self.root), wait=False, refresh_rate=0.5
            )
        return self._executor

    # --- looking after ---

    def _open(self) -> list[_Flight]:
        return [flight for outer, flight in self.flights.items() if not outer.done()]

    def _collect(self) -> None:
        """Take over the answers that executorlib has."""
        for outer, flight in self.flights.items():
            if outer.done() or flight.inner is None or not flight.inner.done():
                continue
            self._moved = time.monotonic()
            error = None if flight.inner.cancelled() else flight.inner.exception()
            if flight.inner.cancelled() or _passes(error):
                flight.inner = None  # sent again when the queue answers
            elif isinstance(error, CalledProcessError):
                why = last_line(error.output or "") or str(error)
                outer.set_result(Answer.of(_refusal(why)))
            elif isinstance(error, RuntimeError) and "without producing output" in str(error):
                self._await_answer(outer, flight)
            elif error is not None:
                outer.set_result(Answer.of(error))
            else:
                outer.set_result(flight.inner.result())

    def _check(self, outer: Future[Answer], flight: _Flight) -> None:
        """Send what has to be sent again; end what the queue knows no more."""
        job = self.jobs.get(str(flight.folder))
        if job is not None:
            if flight.job is None:
                self._moved = time.monotonic()
            flight.job, flight.missing = job, 0
        elif flight.job is not None:
            flight.missing += 1
        if flight.inner is None:
            self._send(flight)
        elif flight.missing >= GONE_LOOKS and not _has_answer(flight):
            self._await_answer(outer, flight)

    def _await_answer(self, outer: Future[Answer], flight: _Flight) -> None:
        """Give the answer of an ended job time to appear; then give it up."""
        if _has_answer(flight):
            flight.inner = None  # executorlib reads it when it is asked again
        elif flight.ended is None:
            flight.ended = time.monotonic()
        elif time.monotonic() - flight.ended > min(SETTLE_SECONDS, 2 * self.look_seconds):
            self._lost(outer, flight)

    def _lost(self, outer: Future[Answer], flight: _Flight) -> None:
        """Say how a job ended that sent nothing back."""
        number = flight.job.id if flight.job else _noted_id(flight)
        log = log_tail(flight.folder)
        ended = how_it_ended(number, log)
        error = lost(number, ended, flight.request, log)
        outer.set_result(Answer(error=error, exception=ended or "no answer"))
        forget(flight.folder)

    def _revive(self) -> None:
        """Start executorlib's thread again, which a squeue that failed has ended."""
        scheduler = getattr(self._executor, "_task_scheduler", None)
        thread = getattr(scheduler, "_process", None)
        if self._executor is None or not isinstance(thread, threading.Thread) or thread.is_alive():
            return
        self._executor = None
        for flight in self._open():
            if flight.inner is not None and not flight.inner.done():
                flight.inner = None

    def _be_patient(self, since: float, error: QueueSilentError) -> None:
        if time.monotonic() - since > self.machine.queue_patience_s:
            raise QueueSilentError(
                f"{error.what}, for {self.machine.queue_patience_s:.0f} s",
                where="queue",
                hint="what was queued goes on; adhesion submit finds it again",
            ) from None


def must_have_executorlib() -> None:
    """Refuse an environment without executorlib and what it needs for a queue.

    Raises
    ------
    SetupError
        With the line that installs it.
    """
    for name in ("executorlib", "pysqa", "h5py"):
        if importlib.util.find_spec(name) is None:
            raise SetupError(
                f"the package {name} is missing",
                where="engine slurm",
                hint="pip install 'adhesion-workflows[slurm]'",
            )


def forget(folder: Path) -> None:
    """Remove executorlib's files of a job; script and log stay."""
    for path in folder.glob("*.h5"):
        path.unlink(missing_ok=True)
    for path in folder.glob("pysqa.err"):
        path.unlink(missing_ok=True)


def answer_of(folder: Path) -> Answer | None:
    """Return what a queue job has sent back, if it has and nobody took it up."""
    from executorlib.standalone.hdf import get_output

    path = folder / f"{folder.name}_o.h5"
    if not path.exists():
        return None
    try:
        _, good, answer = get_output(str(path))
    except Exception:  # cut off by a full disk, or of another version
        return None
    return answer if good and isinstance(answer, Answer) else None


def lost(number: int | None, ended: str, request: Request, log: str) -> CalculationError:
    """Return the error of a job that ended without an answer, with what to do."""
    words = {
        "TIMEOUT": (
            "ran into its walltime",
            "adhesion retry … --walltime; it goes on where it was",
        ),
        "CANCELLED": ("was cancelled", "adhesion retry"),
        "NODE_FAIL": ("lost its node", "adhesion retry; it goes on where it was"),
        "OUT_OF_MEMORY": ("ran out of memory", "raise resource_dict.memory_max; adhesion retry"),
        "PREEMPTED": ("was preempted", "adhesion retry; it goes on where it was"),
    }
    state = ended.split(" ")[0].rstrip("+")
    what, hint = words.get(state, ("ended without a result", "read its log; adhesion retry"))
    walltime = request.resources.run_time_max
    if state == "TIMEOUT" and walltime:
        what += f" of {walltime} s"
    name = f"queue job {number}" if number else "the queue job"
    found = f" ({ended})" if ended else ""
    told = f"; last line of its log: {log}" if log else ""
    return CalculationError(f"{name} {what}{found}{told}", hint=hint)


def _refusal(why: str) -> CalculationError:
    return CalculationError(
        f"sbatch refused the job: {why}", hint="look at resource_dict in the machine file"
    )


def _passes(error: BaseException | None) -> bool:
    """Whether a failed submission may succeed the next time."""
    if not isinstance(error, CalledProcessError):
        return False
    command = error.cmd[0] if isinstance(error.cmd, list) else str(error.cmd)
    return "sbatch" not in str(command) or bool(_BUSY.search(error.output or ""))


def _has_answer(flight: _Flight) -> bool:
    return (flight.folder / f"{flight.key}_o.h5").exists()


def _noted_id(flight: _Flight) -> int | None:
    from executorlib.standalone.hdf import get_queue_id

    with suppress(Exception):
        found: int | None = get_queue_id(str(flight.folder / f"{flight.key}_i.h5"))
        return found
    return None


def _let_go(executor: Any) -> None:
    """Shut executorlib down, without waiting for a command of Slurm that hangs."""
    ending = threading.Thread(target=lambda: executor.shutdown(wait=False), daemon=True)
    ending.start()
    ending.join(LET_GO_SECONDS)
