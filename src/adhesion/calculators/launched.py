"""GPAW under MPI, while the calculation that asks for it stays one process.

jobflow never runs under MPI: each energy is asked of one set of ranks, which a
launcher (mpiexec, srun) starts once in a worker and which end with it.
"""

from __future__ import annotations

import atexit
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.subprocesscalculator import MPICommand, ParallelDispatch

from adhesion.calculators.gpaw import GpawSettings, LadderGPAW
from adhesion.errors import AdhesionError, CalculationError

LAUNCHER = "ADHESION_GPAW_LAUNCHER"
"""Environment variable with the words that start GPAW, as 'mpiexec -n 4'."""


def launcher() -> list[str]:
    """Words of the launcher that the environment names; none where GPAW runs in this process."""
    return shlex.split(os.environ.get(LAUNCHER, ""))


class LaunchedGPAW(LadderGPAW):
    """`LadderGPAW` whose energies are computed by the ranks of the launcher.

    Attributes
    ----------
    cpu_seconds : float
        CPU time of all ranks, s, which this process does not see in its own.
    """

    keeps_densities: ClassVar[bool] = False

    def __init__(self, *settings: Any, **more: Any) -> None:
        super().__init__(*settings, **more)
        self.cpu_seconds = 0.0
        self._key = uuid4().hex

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute as `LadderGPAW`, by the ranks.

        Raises
        ------
        NotConvergedError, CalculationError
            As there, and if the ranks end in the middle of it.
        """
        Calculator.calculate(self, atoms, properties, system_changes)
        # GPAW on the ranks is a new one wherever this object is.
        question = (self._key, self.settings, self.folder.absolute(), self.on_iteration)
        known = (self.atoms.copy(), properties or ["energy"], list(system_changes))
        self.results, counted, failure = ranks().ask(*question, *known)
        spent = counted.pop("cpu_seconds")
        self.cpu_seconds += spent
        for name, value in counted.items():
            setattr(self, name, value)
        if failure is not None:
            raise failure


class Ranks:
    """The ranks that the launcher started."""

    def __init__(self, words: list[str]) -> None:
        python = [sys.executable, "-m", "gpaw", "python"]
        module = ["-m", "ase.calculators.subprocesscalculator", "standard"]
        self.words = words
        self._dispatch = ParallelDispatch(MPICommand([*words, *python, *module]))
        try:
            self._dispatch.__enter__()
        except OSError as error:
            raise self._ended(error) from None

    def ask(self, *question: Any) -> Any:
        """Let all ranks compute; return what the first says."""
        global _ranks
        try:
            return self._dispatch.call(on_ranks, *question)
        except (EOFError, BrokenPipeError, OSError) as error:
            _ranks = None
            raise self._ended(error) from None

    def stop(self) -> None:
        """End the ranks."""
        with suppress(OSError):
            self._dispatch.__exit__()

    def _ended(self, error: Exception) -> CalculationError:
        return CalculationError(
            f"GPAW under {shlex.join(self.words)!r} did not start or ended "
            f"({type(error).__name__})",
            where=LAUNCHER,
            hint="read output.log in this folder; adhesion check --machine tries the launcher",
        )


_ranks: Ranks | None = None


def ranks() -> Ranks:
    """Return the ranks of this process, started at the first call."""
    global _ranks
    if _ranks is None:
        _ranks = Ranks(launcher())
        atexit.register(_ranks.stop)
    return _ranks


# --- on every rank -----------------------------------------------------------------------

_calculators: dict[str, LadderGPAW] = {}


def on_ranks(
    key: str,
    settings: GpawSettings,
    folder: Path,
    on_iteration: Callable[[str], None] | None,
    atoms: Atoms,
    properties: list[str],
    system_changes: list[str],
) -> tuple[dict[str, Any], dict[str, Any], AdhesionError | None]:
    """Compute on this rank; return results, counts and what went wrong.

    Only the calculator that was asked last is kept: a curve makes a new one at every point.
    """
    from gpaw.mpi import world

    if key not in _calculators:
        _calculators.clear()
        told = on_iteration if world.rank == 0 else None
        _calculators[key] = LadderGPAW(settings, folder, told)
    calculator, failure = _calculators[key], None
    start = time.process_time()
    try:
        calculator.calculate(atoms, properties, system_changes)
    except AdhesionError as error:
        failure = error
        del _calculators[key]
    counted = {
        "iterations": calculator.iterations,
        "scheme": calculator.scheme,
        "tries": calculator.tries,
        "cpu_seconds": float(world.sum_scalar(time.process_time() - start)),
    }
    return calculator.results, counted, failure
