"""Whether a study can run where it will run: checked on the worker, through the queue."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from adhesion.calculators.launched import LAUNCHER, launcher
from adhesion.checks import Line, environment, study_lines
from adhesion.cluster.queue import cancel, my_jobs
from adhesion.cluster.resources import Request
from adhesion.cluster.slurm import SlurmPool
from adhesion.errors import AdhesionError, SetupError
from adhesion.files import write_text
from adhesion.materials import load_material
from adhesion.runner import Answer
from adhesion.study import data_path, load_yaml

if TYPE_CHECKING:
    from adhesion.study import Machine

LAUNCH_SECONDS = 180.0


def check_worker(
    machine: Machine, folder: Path, study: Path | None, level: str, allowed: set[str], wait_s: float
) -> list[Line]:
    """Check a machine by a job in its queue; here, where it has none.

    Parameters
    ----------
    machine : Machine
    folder : Path
        Of the store, which driver and worker have to share.
    study : Path or None
        To check its interfaces and datasets there as well.
    level : str
    allowed : set of str
        Calculators that may be imported.
    wait_s : float
        How long the job may take, its time in the queue included, s.

    Raises
    ------
    SetupError
        If the queue does not run it in time.
    """
    token = uuid4().hex
    shared = folder.absolute() / "shared-folder-check.txt"
    write_text(shared, token)
    study = study.absolute() if study is not None else None
    question = (str(folder.absolute()), token, str(study or ""), level, sorted(allowed))
    try:
        if machine.engine in ("slurm", "script"):
            return _in_queue(machine, folder, question, wait_s)
        return [Line(**line) for line in look(question, folder, None, False).output]
    finally:
        shared.unlink(missing_ok=True)


def _in_queue(machine: Machine, folder: Path, question: Any, wait_s: float) -> list[Line]:
    ranks = machine.resource_dict.cores or 1
    seconds = min(1800, machine.resource_dict.run_time_max or 1800)
    resources = machine.resource_dict.model_copy(update={"run_time_max": seconds})
    name = f"check-{uuid4().hex[:8]}"
    asked = {"check": Request("check", ranks, resources)}
    with SlurmPool(folder, machine, asked) as pool:
        my_jobs()  # a queue that does not answer is told now
        pool.tend()
        future = pool.submit(look, question, folder.absolute() / name, None, False)
        flight, end = pool.flights[future], time.monotonic() + wait_s
        while not future.done() and time.monotonic() < end:
            pool.tend()
            time.sleep(0.2)
        if not future.done():
            job = flight.job
            state = f"{job.state} ({job.reason})" if job else "not in the queue"
            if job is not None:
                cancel([job.id])
            raise SetupError(
                f"the queue has not run the check in {wait_s:.0f} s: it is {state}",
                where=str(flight.folder),
                hint="wait longer with --wait, or look at partition and limits",
            )
        answer = pool.answer(future)
        pool.settled(future, stored=True)
    if answer.error is None:
        shutil.rmtree(flight.folder, ignore_errors=True)
    else:
        raise SetupError(answer.error.what, where=str(flight.folder), hint=answer.error.hint)
    return [Line(**line) for line in answer.output]


def look(question: Any, scratch: Path, partial: Path | None, fresh: bool) -> Answer:  # noqa: ARG001
    """Check this process's machine; shaped as `adhesion.runner.work`."""
    folder, token, study, level, allowed = question
    lines = [Line(f"on {socket.gethostname()}, python {sys.version.split()[0]}", good=True)]
    lines.append(_shared(Path(folder), token))
    lines += environment(Path(folder))
    lines.append(_scratch())
    lines += _gpaw_launched()
    try:
        lines += study_lines(Path(study), level, set(allowed)) if study else _datasets()
    except AdhesionError as error:
        lines.append(Line(f"{error.where}: {error.what}", good=False, fix=error.hint))
    return Answer(output=[asdict(line) for line in lines])


def _shared(folder: Path, token: str) -> Line:
    """Whether the worker sees what the driver has just written."""
    path = folder / "shared-folder-check.txt"
    for _ in range(20):  # network file systems take their time
        try:
            if path.read_text(encoding="utf-8") == token:
                return Line(f"the folder {folder} is shared with the driver", good=True)
        except OSError:
            pass
        time.sleep(0.5)
    what = f"the folder {folder} is not the driver's: {path.name} is not seen here"
    return Line(what, good=False, fix="choose a folder on a shared disk with --store")


def _scratch() -> Line:
    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"0")
            return Line(f"temporary files in {Path(file.name).parent}", good=True)
    except OSError as error:
        return Line(f"no temporary files: {error}", good=False, fix="export TMPDIR=… in setup")


def _gpaw_launched() -> list[Line]:
    """Start GPAW as a calculation will, and count its ranks."""
    words = launcher()
    if not words or importlib.util.find_spec("gpaw") is None:
        return []
    code = "from gpaw.mpi import world; world.rank or print('ranks:', world.size)"
    command = [*words, sys.executable, "-m", "gpaw", "python", "-c", code]
    where = f"GPAW under {shlex.join(words)!r}"
    fix = f"change launcher in the machine file (it sets {LAUNCHER})"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LAUNCH_SECONDS, check=False,
            stdin=subprocess.DEVNULL, env=os.environ,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Line(f"{where}: {error}", good=False, fix=fix)]
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ranks:")]
    if done.returncode or not found:
        said = " ".join(done.stderr.split())[-300:]
        return [Line(f"{where} failed: {said}", good=False, fix=fix)]
    wanted = next((w for w in reversed(words) if w.isdigit()), found[0])
    good = found == [wanted]
    why = "" if good else f", not {wanted}: GPAW was built without MPI, or with another one"
    return [Line(f"{where}: {' and '.join(found)} ranks{why}", good=good, fix="" if good else fix)]


def _datasets() -> list[Line]:
    """Whether GPAW has a dataset for every element of the crystals that come along."""
    if importlib.util.find_spec("gpaw") is None:
        return []
    from gpaw.setup_data import search_for_file

    crystals, _ = load_yaml(data_path("structures", "index.yaml"))
    elements = sorted(set().union(*(load_material(name, {}).elements for name in crystals)))
    missing = []
    for element in elements:
        try:
            search_for_file(f"{element}.PBE")
        except (FileNotFoundError, RuntimeError):
            missing.append(element)
    if missing:
        what = f"no PAW datasets (PBE) of {', '.join(missing)}"
        return [Line(what, good=False, fix="pip install gpaw-data, or set GPAW_SETUP_PATH")]
    return [Line(f"PAW datasets (PBE) of {', '.join(elements)}", good=True)]
