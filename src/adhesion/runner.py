"""Run the jobs of a flow side by side, each at most once, and keep what is finished.

The driver, the only writer, hands jobs to a pool and stores what comes back.
The pool is one of worker processes here (``concurrent.futures``, one process
each, so that a killed worker fails exactly the job it had), or a queue
(`adhesion.cluster.slurm`).
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import defaultdict, deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import WeakKeyDictionary

import cloudpickle  # type: ignore[import-untyped]
from jobflow import JobStore, OnMissing
from jobflow.core.flow import get_flow
from maggma.stores import MemoryStore
from monty.json import jsanitize
from pydantic import ValidationError

from adhesion.errors import AdhesionError, CalculationError, DamagedFileError, InputError
from adhesion.files import read_json, write_json
from adhesion.store import Results, as_document, hold, lock_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

    from jobflow import Flow, Job

    from adhesion.schemas import CalculationDocument, Status
    from adhesion.store import Source

CALCULATIONS = "calculations"
FAILURES = "failures"
CHECKPOINT = "checkpoint.json"
PROGRESS = "progress.txt"
ERROR_LOG = "error.log"
OUTPUT_LOG = "output.log"

POLL_SECONDS = 0.2
WATCH_SECONDS = 1.0
LOCK_WAIT_SECONDS = 15.0
"""How long to wait for a scratch folder: a worker of a dead driver leaves it sooner."""

EventKind = Literal[
    "started", "progress", "finished", "reused", "failed", "skipped", "damaged", "interrupted"
]


@dataclass(frozen=True)
class Event:
    """Something to tell the user while a flow runs."""

    kind: EventKind
    hash: str = ""
    label: str = ""
    message: str = ""
    source: Source | Literal[""] = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one job of a flow.

    Attributes
    ----------
    status : Status
        'missing' if it was not run, for the reason given.
    label : str
        The job's name.
    source : str
        Where the result is from; empty if there is none.
    reason : str
        Why it is not done.
    document : CalculationDocument or None
        The result of a calculation, done or not.
    output : Any
        The result of any other job, as plain data.
    error : AdhesionError or None
        What a failed job raised.
    """

    status: Status
    label: str
    source: Source | Literal[""] = ""
    reason: str = ""
    document: CalculationDocument | None = None
    output: Any = None
    error: AdhesionError | None = None


@dataclass(frozen=True)
class Failure:
    """A calculation that ended in an error, as kept in the folder."""

    hash: str
    label: str
    reason: str
    exception: str
    time: str


def run_flow(
    flow: Flow,
    results: Results,
    *,
    folder: Path,
    workers: int,
    fresh: bool = False,
    partial: Path | None = None,
    threads: int = 1,
    pool: Pool | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> dict[str, Outcome]:
    """Run a flow and return what became of each job, by its uuid.

    A calculation whose document is done, in the store or the archive, is not
    repeated; failed and unconverged ones are tried again. Jobs whose output is
    no document (summaries) always run. A job whose parent is not done is not
    run, unless its ``config.on_missing_references`` allows it. Jobs that a job
    answers with (replace, detour, addition) join the flow. The folder is
    held against a second driver meanwhile (`adhesion.store.hold`).

    Parameters
    ----------
    flow : Flow
        Each calculation's uuid is the hash of its recipe.
    results : Results
        Where finished documents are looked up and new ones put.
    folder : Path
        For scratch (``calculations/<hash>``), failures and the lock.
    workers : int
        Processes side by side.
    fresh : bool
        Look nothing up and start in empty scratch folders.
    partial : Path, optional
        Folder of published working files, ``<hash>/``, to go on from.
    threads : int
        OpenMP threads of each worker.
    pool : Pool, optional
        Who computes; worker processes of this machine if left out.
    on_event : callable
        Told of every step, in the driver's thread.

    Raises
    ------
    InputError
        If a job needs one that is not in the flow.
    SetupError
        If another driver is at work, or a folder cannot be written.
    KeyboardInterrupt
        If interrupted: the workers are stopped, what is finished is kept.
    """
    if workers < 1 or threads < 1:
        raise InputError("at least one worker and one thread are needed", where="workers, threads")
    folder = folder.absolute()
    partial = partial.absolute() if partial is not None else None
    try:
        flow = get_flow(flow)
    except ValueError as error:
        raise InputError(" ".join(str(error).split()), where=f"flow {flow.name!r}") from None
    with hold(folder), pool or _Workers(workers, threads) as pool:
        run = _Run(flow, results, pool, folder, fresh, partial, on_event)
        try:
            return run.to_the_end()
        except KeyboardInterrupt:
            pool.stop()
            run.interrupted()
            raise


def failure(folder: Path, hash: str) -> Failure | None:
    """Return how a calculation failed when it was last tried, or None.

    Raises
    ------
    DamagedFileError
        If the note of it cannot be read.
    """
    path = folder / FAILURES / f"{hash}.json"
    if not path.exists():
        return None
    try:
        return Failure(**read_json(path))
    except TypeError:
        raise DamagedFileError("is no note of a failure", where=str(path)) from None


def note_failure(folder: Path, hash: str, label: str, reason: str, exception: str) -> None:
    """Note in the folder that a calculation ended in an error; see `Failure`."""
    now = datetime.now().isoformat(timespec="seconds")
    noted = {"hash": hash, "label": label, "reason": reason, "exception": exception, "time": now}
    write_json(folder / FAILURES / f"{hash}.json", noted)


class Pool(Protocol):
    """Who computes: worker processes, or a queue."""

    poll_seconds: float
    """How long to wait before looking again."""

    def __enter__(self) -> Pool: ...

    def __exit__(self, *error: object) -> None: ...

    @property
    def free(self) -> bool:
        """Whether it takes one more job."""

    def submit(self, fn: Callable[..., Answer], *args: Any) -> Future[Answer]:
        """Run `work` with its arguments."""

    def tend(self) -> None:
        """Look after the jobs; called at every look."""

    def answer(self, future: Future[Answer]) -> Answer:
        """Return what came back; how it ended, if nothing did."""

    def settled(self, future: Future[Answer], *, stored: bool) -> None:
        """Learn that an answer was taken, and whether it will be looked up the next time."""

    def stop(self) -> None:
        """Let go, at once."""


@dataclass
class _Running:
    """A job that a worker has."""

    job: Job
    progress: Path
    offset: int = 0


@dataclass
class _Run:
    """The driver's book-keeping of one run."""

    flow: Flow
    results: Results
    pool: Pool
    folder: Path
    fresh: bool
    partial: Path | None
    on_event: Callable[[Event], None]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    running: dict[Future[Answer], _Running] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    halted: bool = False

    def __post_init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.parents: dict[str, list[str]] = {}
        self.children: dict[str, list[str]] = defaultdict(list)
        with warnings.catch_warnings():
            # Interfaces without a common slab are no fault of the flow.
            warnings.filterwarnings("ignore", message="Some jobs are not connected")
            order = list(self.flow.iterflow())
        for job, parents in order:
            self.jobs[job.uuid] = job
            self.parents[job.uuid] = parents
            for parent in parents:
                self.children[parent].append(job.uuid)
        self.waiting = {uuid: len(parents) for uuid, parents in self.parents.items()}
        self.ready = deque(job for uuid, job in self.jobs.items() if not self.parents[uuid])
        self.queue: deque[Job] = deque()

    def to_the_end(self) -> dict[str, Outcome]:
        while self.ready or self.queue or self.running:
            while self.ready:
                self.take_up(self.ready.popleft())
            while self.queue and self.pool.free:
                self.start(self.queue.popleft())
            self.pool.tend()
            if self.running:
                done, _ = wait(self.running, self.pool.poll_seconds, FIRST_COMPLETED)
                for running in self.running.values():
                    self.tell_progress(running)
                for future in done:
                    # Taken off only when stored: an interrupt in between loses nothing.
                    job = self.running[future].job
                    self.finish(job, self.pool.answer(future))
                    self.pool.settled(future, stored=self.is_stored(job))
                    del self.running[future]
            elif self.queue:
                time.sleep(self.pool.poll_seconds)
        return {uuid: self.outcomes[uuid] for uuid in self.jobs}

    def take_up(self, job: Job) -> None:
        """Settle a job whose parents are settled without running it, or queue it."""
        obstacle = self.obstacle(job)
        found = None if obstacle or self.fresh else self.look_up(job)
        if obstacle:
            self.settle(job, Outcome("missing", job.name, reason=obstacle), "skipped")
        elif found is not None:
            self.settle(job, found, "reused")
        else:
            self.queue.append(job)

    def start(self, job: Job) -> None:
        """Hand a job to a free worker, its references resolved."""
        if self.halted:
            self.ready.append(job)
            return
        try:
            task = cloudpickle.dumps(self.resolved(job))
        except Exception as error:
            self.finish(job, Answer.of(error))
            return
        scratch = self.scratch(job)
        progress = scratch / PROGRESS
        offset = progress.stat().st_size if progress.exists() and not self.fresh else 0
        partial = self.partial / job.uuid if self.partial and not self.fresh else None
        self.tell("started", job)
        future = self.pool.submit(work, task, scratch, partial, self.fresh)
        self.running[future] = _Running(job, progress, offset)

    def is_stored(self, job: Job) -> bool:
        """Whether the next run looks this job up, or has to try it again."""
        outcome = self.outcomes.get(job.uuid)
        return outcome is not None and (outcome.status != "done" or outcome.document is not None)

    def scratch(self, job: Job) -> Path:
        """Working folder of a job; one that takes another's place has its own."""
        name = job.uuid if job.index == 1 else f"{job.uuid}-{job.index}"
        return self.folder / CALCULATIONS / name

    def resolved(self, job: Job) -> Job:
        """Return the job with its parents' outputs in it, from store and archive alike."""
        with JobStore(MemoryStore()) as done:
            for uuid in set(job.input_uuids):
                parent = self.outcomes[uuid]
                if parent.status == "done":
                    output = parent.output if parent.document is None else parent.document
                    done.update({"uuid": uuid, "index": 1, "output": output})
            return job.resolve_args(done, inplace=False)

    def obstacle(self, job: Job) -> str:
        """Why a job cannot run; empty if it can."""
        if self.halted:
            return "the flow was stopped by one of its jobs"
        for uuid in self.parents[job.uuid]:
            parent = self.outcomes[uuid]
            if uuid in self.stopped:
                self.stopped.add(job.uuid)
                return f"stopped by {parent.label}"
            if job.config.on_missing_references != OnMissing.ERROR:
                continue
            if parent.status == "missing":
                return parent.reason
            if parent.status != "done":
                why = f": {parent.reason}" if parent.reason else ""
                return f"needs {parent.label}, which is {parent.status}{why}"
        return ""

    def look_up(self, job: Job) -> Outcome | None:
        try:
            found = self.results.finished(job.uuid)
        except DamagedFileError as error:
            self.tell("damaged", job, f"{error.where}: {error.what}; computed again")
            return None
        if found is None:
            return None
        return Outcome("done", job.name, source=found.source, document=found.document)

    def finish(self, job: Job, answer: Answer) -> None:
        """Store what a worker sent back, and take up the jobs that it answers with."""
        error = answer.error
        document = None
        if error is None and answer.further:
            try:
                replaced = self.extend(job, cloudpickle.loads(answer.further))
            except Exception as broken:
                answer = Answer.of(broken)
                error = answer.error
            else:
                if replaced:
                    self.halted = self.halted or answer.stop_jobflow
                    return
        if error is None:
            try:
                document = self.store(job, answer.output)
            except CalculationError as refused:
                error = refused
        if error is not None:
            exception = answer.exception or type(error).__name__
            note_failure(self.folder, job.uuid, job.name, _one_line(error), exception)
            outcome = Outcome("failed", job.name, reason=_one_line(error), error=error)
        elif document is None:
            outcome = Outcome("done", job.name, source="computed", output=answer.output)
        else:
            outcome = Outcome(
                document.status, job.name, "computed", document.reason, document=document
            )
        if outcome.status == "done":
            (self.folder / FAILURES / f"{job.uuid}.json").unlink(missing_ok=True)
        if answer.stop_children:
            self.stopped.add(job.uuid)
        self.halted = self.halted or answer.stop_jobflow
        self.settle(job, outcome, "failed" if outcome.status == "failed" else "finished")

    def extend(self, job: Job, further: dict[str, Flow]) -> bool:
        """Add jobs to the flow; say whether one of them takes this job's place.

        As in jobflow's own manager, the children of a job wait for its replacement
        and its detour, and not for an addition.
        """
        children = list(self.children[job.uuid])
        for kind, flow in further.items():
            added = list(get_flow(flow, allow_external_references=True).iterflow())
            for new, _ in added:
                self.jobs[new.uuid] = new
                self.outcomes.pop(new.uuid, None)
            for new, _ in added:
                parents = [u for u in new.input_uuids if u in self.jobs and u != new.uuid]
                self.await_parents(new.uuid, parents)
                if not self.waiting[new.uuid]:
                    self.ready.append(new)
            if kind == "detour":
                for child in children:
                    self.await_parents(child, [new.uuid for new, _ in added])
        return "replace" in further

    def await_parents(self, uuid: str, parents: list[str]) -> None:
        """Let a job wait for more parents."""
        known = self.parents.setdefault(uuid, [])
        fresh = [p for p in dict.fromkeys(parents) if p not in known]
        known += fresh
        open_ = [p for p in fresh if p not in self.outcomes]
        self.waiting[uuid] = self.waiting.get(uuid, 0) + len(open_)
        for parent in open_:
            self.children[parent].append(uuid)

    def store(self, job: Job, output: Any) -> CalculationDocument | None:
        """Put an output into the store; return it if it is a calculation's document."""
        try:
            document = as_document(output)
        except (ValidationError, KeyError) as error:
            raise CalculationError(
                f"its document does not fit ({str(error).splitlines()[0]})", where=job.name
            ) from None
        wrapping = {
            "hosts": job.hosts,
            "metadata": job.metadata,
            "save": {k: "output" if v is True else v for k, v in job._kwargs.items()},
        }
        if document is None:
            self.results.put(job.uuid, output, name=job.name, **wrapping)
        elif document.hash != job.uuid:
            raise CalculationError(f"gave the document of {document.hash}", where=job.name)
        else:
            self.results.add(document, **wrapping)
        return document

    def settle(self, job: Job, outcome: Outcome, kind: EventKind) -> None:
        """Record an outcome, and let the children that waited for it go on."""
        self.outcomes[job.uuid] = outcome
        message = outcome.reason if outcome.status != "done" else ""
        self.tell(kind, job, message, outcome.source)
        for child in self.children[job.uuid]:
            self.waiting[child] -= 1
            if self.waiting[child] == 0:
                self.ready.append(self.jobs[child])

    def interrupted(self) -> None:
        """Keep what came back just before the interrupt, and say so."""
        for future, running in list(self.running.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                self.finish(running.job, self.pool.answer(future))
        kept = sum(o.status == "done" for o in self.outcomes.values())
        left = len(self.jobs) - len(self.outcomes)
        message = f"{kept} of {len(self.jobs)} are done and kept, {left} are left"
        self.on_event(
            Event("interrupted", message=f"{message}; the same command goes on from here")
        )

    def tell_progress(self, running: _Running) -> None:
        """Pass on the whole lines that the job has added to its progress file."""
        try:
            if running.progress.stat().st_size < running.offset:
                running.offset = 0
            with running.progress.open("rb") as file:
                file.seek(running.offset)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        running.offset += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self.tell("progress", running.job, line)

    def tell(
        self, kind: EventKind, job: Job, message: str = "", source: Source | Literal[""] = ""
    ) -> None:
        self.on_event(Event(kind, job.uuid, job.name, message, source))


def _one_line(error: AdhesionError) -> str:
    return str(error).replace("\n", " ").strip()


# --- in the driver: the executor, submit(fn, *args) -> Future ----------------------------


class _Workers:
    """Worker processes, started when first needed and kept, one job each at a time.

    Each is a pool of its own. executorlib's SingleNodeExecutor was tried here: it
    listens on all network interfaces and unpickles what comes in, and a worker
    whose driver dies before the first task stays for ever.
    """

    poll_seconds = POLL_SECONDS

    def __init__(self, number: int, threads: int) -> None:
        self.slots = [_Slot(threads) for _ in range(number)]
        self.processes: WeakKeyDictionary[Future[Answer], BaseProcess | None]
        self.processes = WeakKeyDictionary()

    def tend(self) -> None:
        """Do nothing: the processes look after themselves."""

    def settled(self, future: Future[Answer], *, stored: bool) -> None:
        """Do nothing: an answer leaves no trace."""

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def free(self) -> bool:
        """Whether a job can start at once."""
        return any(slot.free for slot in self.slots)

    def submit(self, fn: Callable[..., Answer], *args: Any) -> Future[Answer]:
        """Run a function in a free worker."""
        slot = next(slot for slot in self.slots if slot.free)
        future = slot.submit(fn, *args)
        self.processes[future] = slot.process
        return future

    def answer(self, future: Future[Answer]) -> Answer:
        """Return what a worker sent back; how it ended, if it did not."""
        try:
            return future.result()
        except BrokenProcessPool:
            # Its slot may have another process by now.
            error = CalculationError(epitaph(self.processes[future]))
            return Answer(error=error, exception="BrokenProcessPool")
        except Exception as error:  # the answer could not be pickled
            return Answer.of(error)

    def stop(self) -> None:
        """End all workers at once, with what they started."""
        for slot in self.slots:
            slot.kill()


class _Slot:
    """A pool of one process, and another one when that has died."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.pool: ProcessPoolExecutor | None = None
        self.process: BaseProcess | None = None
        self.future: Future[Answer] | None = None

    @property
    def free(self) -> bool:
        return self.future is None or self.future.done()

    def submit(self, fn: Callable[..., Answer], *args: Any) -> Future[Answer]:
        try:
            if self.pool is None:
                raise BrokenProcessPool
            self.future = self.pool.submit(fn, *args)
        except BrokenProcessPool:
            self.kill()
            self.future = self._start(fn, *args)
        return self.future

    def _start(self, fn: Callable[..., Answer], *args: Any) -> Future[Answer]:
        spawn = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, spawn, begin_worker, (os.getpid(),))
        before = set(multiprocessing.active_children())
        with _worker_environment(self.threads):
            future = self.pool.submit(fn, *args)
        self.process = next(iter(set(multiprocessing.active_children()) - before), None)
        return future

    def kill(self) -> None:
        if self.process is not None and self.process.is_alive():
            try:
                os.killpg(self.process.pid or 0, signal.SIGKILL)
            except ProcessLookupError:  # it has not made its group yet
                self.process.kill()
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = self.process = None


def epitaph(process: BaseProcess | None) -> str:
    """Say how a worker died."""
    code = None
    for _ in range(50):
        # The pool's own thread waits for it as well; who comes second sees no code at first.
        if process is None or (code := process.exitcode) is not None:
            break
        time.sleep(0.1)
    how = "ended" if code is None or code >= 0 else f"was killed by {signal.Signals(-code).name}"
    memory = ", as when the memory runs out" if code == -signal.SIGKILL else ""
    return f"the worker process {how} in the middle of the calculation{memory}"


@contextmanager
def _worker_environment(threads: int) -> Iterator[None]:
    """Let a worker start with so many threads, and without running the user's script again.

    spawn imports the driver's ``__main__``; jobs come by cloudpickle, which needs
    none, and a script without a main guard would start itself over and over.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    old = {name: os.environ.get(name) for name in names}
    main = sys.modules["__main__"]
    os.environ.update(dict.fromkeys(names, str(threads)))
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- in the worker -----------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a worker sends back: plain data, or the error as one of ours."""

    output: Any = None
    stop_children: bool = False
    stop_jobflow: bool = False
    further: bytes = b""
    """Flows by 'replace', 'detour', 'addition', by cloudpickle."""
    error: AdhesionError | None = None
    exception: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Answer:
        """Carry an error; a foreign one by its class and the last line of its message."""
        name = type(error).__name__
        if isinstance(error, AdhesionError):
            return cls(error=error, exception=name)
        last = next(reversed(str(error).strip().splitlines()), "")
        return cls(error=CalculationError(f"{name}: {last}" if last else name), exception=name)


def begin_worker(driver_pid: int) -> None:
    """Make this worker, with all it starts, end within seconds of its driver."""
    # A group of its own: Ctrl-C in the terminal reaches the driver only, which then decides.
    os.setpgid(0, 0)

    def watch() -> None:
        while os.getppid() == driver_pid:
            time.sleep(WATCH_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def work(task: bytes, scratch: Path, partial: Path | None, fresh: bool) -> Answer:
    """Run a job in its scratch folder, where it alone computes.

    Parameters
    ----------
    task : bytes
        The job, its references resolved, by cloudpickle.
    scratch : Path
        Working folder; `output.log` takes what is printed, `error.log` a traceback.
    partial : Path or None
        Folder whose checkpoint is gone on from where the scratch folder has none.
    fresh : bool
        Empty the folder first.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with _sole_use(scratch):
            if fresh:
                _empty(scratch)
            (scratch / ERROR_LOG).unlink(missing_ok=True)
            if partial is not None and partial.is_dir() and not (scratch / CHECKPOINT).exists():
                # Damaged or not: the job tells of that and starts anew.
                for file in (f for f in partial.rglob("*") if f.is_file()):
                    copy = scratch / file.relative_to(partial)
                    copy.parent.mkdir(exist_ok=True)
                    shutil.copyfile(file, copy)
            with _inside(scratch):
                answer = _run_job(task)
                gc.collect()  # a GPAW holds gigabytes, and its log is not whole, until it is let go
                return answer
    except (Exception, SystemExit) as error:
        # Not the caller's trouble if this cannot be written: the error itself goes back.
        with suppress(OSError):
            (scratch / ERROR_LOG).write_text(traceback.format_exc(), encoding="utf-8")
        return Answer.of(error)


def _run_job(task: bytes) -> Answer:
    job: Job = cloudpickle.loads(task)
    with JobStore(MemoryStore()) as nowhere:  # the driver stores what comes back
        response = job.run(nowhere)
    if response.stored_data is not None:
        raise CalculationError(
            "the job answers with 'stored_data', which jobflow's managers drop",
            where=job.name,
            hint="return it as output",
        )
    kinds = ("addition", "detour", "replace")
    further = {k: getattr(response, k) for k in kinds if getattr(response, k) is not None}
    return Answer(
        jsanitize(response.output, strict=True, enum_values=True),
        bool(response.stop_children),
        bool(response.stop_jobflow),
        cloudpickle.dumps(further) if further else b"",
    )


@contextmanager
def _sole_use(scratch: Path) -> Iterator[None]:
    path = scratch / ".lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        end = time.monotonic() + LOCK_WAIT_SECONDS
        while True:
            try:
                lock_file(handle, path)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise CalculationError(
                        "another process computes this already",
                        where=str(scratch),
                        hint="end it, or wait until it is done",
                    ) from None
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def _empty(scratch: Path) -> None:
    for path in scratch.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


@contextmanager
def _inside(scratch: Path) -> Iterator[None]:
    """Work in the folder, with all that is printed, also by C code, in its log."""
    before = Path.cwd()
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with (scratch / OUTPUT_LOG).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(scratch)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(before)
        for number, saved in enumerate(kept, start=1):
            os.dup2(saved, number)
            os.close(saved)
