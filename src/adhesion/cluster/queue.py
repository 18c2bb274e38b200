"""Slurm's own commands, each with a time limit: squeue, scontrol, scancel."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from adhesion.errors import SetupError, printable

ANSWER_SECONDS = 30.0
"""How long a command of Slurm may take."""

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
"""States of a job that is to start."""


class QueueSilentError(SetupError):
    """The queue did not answer."""


@dataclass(frozen=True)
class QueueJob:
    """A job as squeue shows it.

    Attributes
    ----------
    id : int
    state : str
        Slurm's word: PENDING, RUNNING, COMPLETING, ...
    reason : str
        Why it waits.
    used, limit : str
        Time used and walltime.
    folder : str
        Its working folder, by which a calculation knows its job.
    """

    id: int
    state: str
    reason: str
    used: str
    limit: str
    folder: str

    @property
    def waits(self) -> bool:
        """Whether it has not started."""
        return self.state in WAITING


def must_have_slurm() -> None:
    """Refuse a machine without Slurm's commands.

    Raises
    ------
    SetupError
        Naming the command that is missing.
    """
    for command in COMMANDS:
        if shutil.which(command) is None:
            raise SetupError(
                f"{command} is not on PATH: this is no login node of a Slurm cluster",
                where="engine slurm",
                hint="log in to one, or load its module; engine: script writes a batch script",
            )


def my_jobs() -> dict[str, QueueJob]:
    """Return the user's jobs by working folder; the newest where a folder has several.

    Raises
    ------
    QueueSilentError
        If squeue fails or takes too long.
    """
    text = ask("squeue", "--me", "--noheader", "--format=%A|%T|%r|%M|%l|%Z")
    jobs: dict[str, QueueJob] = {}
    for line in text.splitlines():
        parts = line.split("|", 5)
        if len(parts) != 6 or not parts[0].isdigit():
            continue
        job = QueueJob(int(parts[0]), *parts[1:])
        if job.folder not in jobs or jobs[job.folder].id < job.id:
            jobs[job.folder] = job
    return jobs


LAST_WORDS = {
    "DUE TO NODE FAILURE": "NODE_FAIL",
    "DUE TO TIME LIMIT": "TIMEOUT",
    "DUE TO PREEMPTION": "PREEMPTED",
}
"""What slurmstepd writes into the log of a job that it ends, and the state this is."""


def how_it_ended(id: int | None, log: str = "") -> str:
    """Return Slurm's word for how a job ended, as TIMEOUT or CANCELLED; empty if not known.

    A job that was killed on a dying node may be noted as FAILED, by the exit status of its
    script: there the last line of its log knows better.

    Parameters
    ----------
    id : int or None
        Of the job, if it is known.
    log : str
        Last line of its log.
    """
    noted = _noted_state(id) if id is not None else ""
    told = next((state for words, state in LAST_WORDS.items() if words in log), "")
    return told if told and (not noted or noted.startswith("FAILED")) else noted


def _noted_state(id: int) -> str:
    """Ask scontrol, which remembers a job for some minutes, then sacct, where a site has it."""
    try:
        text = ask("scontrol", "show", "job", str(id), "--oneliner")
        found = re.search(r"\bJobState=(\S+)", text)
        code = re.search(r"\bExitCode=(\d+):", text)
    except QueueSilentError:
        found = code = None
    if found is None:
        try:
            text = ask("sacct", "-n", "-X", "-P", "-j", str(id), "--format=State")
        except QueueSilentError:
            return ""
        return text.split()[0] if text.split() else ""
    exited = f" with exit status {code[1]}" if code and found[1] == "FAILED" else ""
    return found[1] + exited


def cancel(ids: list[int]) -> None:
    """Cancel jobs.

    Raises
    ------
    QueueSilentError
        If scancel fails or takes too long.
    """
    if ids:
        ask("scancel", *map(str, ids))


def ask(*words: str) -> str:
    """Run a command of Slurm and return what it prints.

    Raises
    ------
    QueueSilentError
        If it is missing, fails or takes too long.
    """
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        why = f"no answer in {ANSWER_SECONDS:.0f} s"
    except OSError as error:
        why = str(error.strerror)
    else:
        if done.returncode == 0:
            return done.stdout
        why = last_line(done.stderr) or f"exit status {done.returncode}"
    raise QueueSilentError(
        f"the queue does not answer ({words[0]}: {why})", hint="the same command again, later"
    )


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return printable(lines[-1]) if lines else ""


def log_tail(folder: Path) -> str:
    """Return the last line of the newest log of a queue folder."""
    logs = sorted(folder.glob("slurm-*.log"), key=lambda p: p.stat().st_mtime)
    if not logs:
        return ""
    with logs[-1].open("rb") as file:
        file.seek(max(0, logs[-1].stat().st_size - 4000))
        return last_line(file.read().decode(errors="replace"))
