"""A real Slurm for the session; without one these tests fail, they are never skipped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import temporary_slurm  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    temporary_slurm.start(folder)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    os.environ["OMP_NUM_THREADS"] = "1"
    # mpiexec is asked by root here, and two ranks on two busy cores should not spin.
    os.environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    os.environ["OMPI_MCA_mpi_yield_when_idle"] = "1"  # noqa: SIM112
    yield folder
    temporary_slurm.stop(folder)


@pytest.fixture
def say(slurm):
    """Run a command of Slurm and return what it prints."""
    return lambda *words, **options: temporary_slurm.run(slurm, *words, **options).stdout


@pytest.fixture
def cli():
    """Run adhesion in a process of its own."""

    def run(*words, status=0, seconds=400):
        done = subprocess.run(
            [sys.executable, "-m", "adhesion", *map(str, words)],
            capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def machine(tmp_path):
    path = tmp_path / "machine.yaml"
    resources = {"cores": 2, "memory_max": 0.9, "run_time_max": 600, "partition": "compute"}
    data = {
        "engine": "slurm",
        "resource_dict": resources,
        "launcher": ["mpiexec", "-n", "{cores}"],
        "setup": ["export ADHESION_SETUP=\"it is; 'set'\""],
        "sbatch": {"comment": "adhesion"},
    }
    path.write_text(yaml.safe_dump(data))
    return path


def until(condition, seconds=120.0):
    """Wait for a condition; fail with its last value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not in {seconds} s: {condition.__doc__ or condition}")
