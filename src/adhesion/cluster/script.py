"""Batch scripts: what sbatch reads in one, and the one that runs a whole study."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from adhesion.calculators.launched import LAUNCHER
from adhesion.errors import InputError
from adhesion.study import Machine, Resources

JOB_TEMPLATE = """\
#!/bin/bash
#SBATCH --job-name={{job_name}}
#SBATCH --output=slurm-%j.log
{{directives}}
{{body}}
"""
"""For pysqa, whose own leaves account, QOS and set-up lines out and quotes nothing."""


def directives(resources: Resources, sbatch: dict[str, str | int | bool], ranks: int) -> str:
    """Return the ``#SBATCH`` lines of a job.

    Parameters
    ----------
    resources : Resources
    sbatch : dict
        Further options; true stands for an option without a value.
    ranks : int
        Tasks of the job.
    """
    options: dict[str, str | int | bool | None] = {
        "ntasks": ranks,
        "cpus-per-task": resources.threads_per_core,
        "nodes": resources.num_nodes,
        "exclusive": resources.exclusive,
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
    }
    if resources.memory_max is not None:
        options["mem"] = f"{max(1, round(1024 * resources.memory_max))}M"
    if resources.run_time_max is not None:
        options["time"] = clock(resources.run_time_max)
    lines = []
    for name, value in {**options, **sbatch}.items():
        if value is True:
            lines.append(f"#SBATCH --{name}")
        elif value is not None and value is not False:
            lines.append(f"#SBATCH --{name}={value}")
    return "\n".join(lines)


def body(machine: Machine, resources: Resources, ranks: int, command: list[str]) -> str:
    """Return the shell lines of a job: set-up, environment, the command itself."""
    threads = str(resources.threads_per_core or 1)
    variables = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads
    )
    variables[LAUNCHER] = launch(machine, ranks) if ranks > 1 else ""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*machine.setup, *exports, f"exec {shlex.join(command)}"])


def launch(machine: Machine, ranks: int) -> str:
    """Return the machine's launcher for so many ranks, quoted for a shell.

    Raises
    ------
    InputError
        If the machine names none.
    """
    if not machine.launcher:
        raise InputError(
            f"{ranks} cores are asked for, and no launcher is named",
            where=f"{machine.where}, launcher",
            hint="launcher: [mpiexec, -n, '{cores}'], or resource_dict.cores: 1",
        )
    return shlex.join(word.replace("{cores}", str(ranks)) for word in machine.launcher)


def must_be_launchable(machine: Machine, ranks: list[int]) -> None:
    """Refuse a machine file that asks for several cores and does not say how GPAW starts on them.

    Raises
    ------
    InputError
        Naming the key.
    """
    for number in ranks:
        if number > 1:
            launch(machine, number)


def clock(seconds: int) -> str:
    """Return a walltime as sbatch reads it, '1-02:03:04', at least a minute."""
    minutes, s = divmod(max(60, seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days}-{h:02}:{m:02}:{s:02}" if days else f"{h:02}:{m:02}:{s:02}"


def seconds(text: str) -> int:
    """Read a walltime: '90' (minutes), '4:00:00', '1-12:00:00', '36h', '45m'.

    Raises
    ------
    InputError
        If it is none of these.
    """
    unit = re.fullmatch(r"(\d+)\s*([smhd])", text)
    if unit:
        return int(unit[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit[2]]
    parts = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not parts:
        raise InputError(f"{text!r} is no walltime", where="--walltime", hint="--walltime 4:00:00")
    days, *clocks = parts.groups()
    numbers = [int(c) for c in clocks if c is not None]
    if days is not None:  # days-hours[:minutes[:seconds]]
        numbers = [*numbers, 0, 0][:3]
    elif len(numbers) == 1:  # minutes, as sbatch has it
        numbers = [0, numbers[0], 0]
    elif len(numbers) == 2:  # minutes:seconds
        numbers = [0, *numbers]
    h, m, s = numbers
    return 86400 * int(days or 0) + 3600 * h + 60 * m + s


def plain_script(machine: Machine, command: list[str], name: str) -> str:
    """Return one batch script that runs a whole study, and goes on where it was stopped.

    Parameters
    ----------
    machine : Machine
    command : list of str
        Arguments of ``adhesion``; paths absolute.
    name : str
        Name of the job.
    """
    resources = machine.resource_dict
    cores = resources.cores or 1
    # All cores for one calculation after the other, where GPAW can use them; else one for each.
    ranks = cores if machine.launcher else 1
    call = [sys.executable, "-m", "adhesion", *command, "--workers", str(cores // ranks)]
    lines = [
        "#!/bin/bash",
        "# Runs the whole study in one job. What is finished is kept: submit it again until it",
        "# ends with exit status 0.",
        f"#SBATCH --job-name={re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:60]}",
        "#SBATCH --output=%x-%j.log",
        directives(resources, machine.sbatch, cores),
        body(machine, resources, ranks, call),
    ]
    return "\n".join(lines) + "\n"


def must_be_plain(folder: Path) -> None:
    """Refuse a folder that Slurm or pysqa cannot take.

    Raises
    ------
    InputError
        If its name holds white space or a control character.
    """
    if re.search(r"[\s\x00-\x1f\x7f]", str(folder)):
        raise InputError(
            f"the name of the folder holds white space: {str(folder)!r}",
            where="--store",
            hint="queues cannot take it; choose another folder with --store",
        )
