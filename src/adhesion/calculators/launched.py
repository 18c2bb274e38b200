"""GPAW under MPI, while the calculation that asks for it stays one process.

jobflow never runs under MPI: each energy is asked of one set of ranks, which a
launcher (mpiexec, srun) starts once in a worker and which end with it.
"""

from __future__ import annotations

import atexit
import math
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.subprocesscalculator import MPICommand, ParallelDispatch

from adhesion.calculators.gpaw import GpawSettings, LadderGPAW, irreducible_kpoints
from adhesion.errors import AdhesionError, CalculationError

GROUP_EFFICIENCY = 0.7
"""Exponent of the speed with the ranks that share one k-point; a rough figure, which only has
to tell sharing k-points from sharing plane waves."""

LAUNCHER = "ADHESION_GPAW_LAUNCHER"
"""Environment variable with the words that start GPAW, as 'mpiexec -n 4'."""


def launcher() -> list[str]:
    """Words of the launcher that the environment names; none where GPAW runs in this process."""
    return shlex.split(os.environ.get(LAUNCHER, ""))


def shares_kpoints() -> bool:
    """Whether several ranks can share one k-point: GPAW does that with ScaLAPACK only."""
    try:
        from gpaw.utilities import compiled_with_sl
    except ImportError:  # a driver without GPAW; its workers may have any
        return False
    return bool(compiled_with_sl())


def matched_ranks(cores: int, kpoints: int, *, shared: bool) -> int:
    """Return how many ranks of at most so many cores an SCF is fastest with.

    Parameters
    ----------
    cores : int
        That the machine gives.
    kpoints : int
        Irreducible ones.
    shared : bool
        Whether ranks may share a k-point (`shares_kpoints`). Groups of ranks then divide the
        k-points evenly or not at all, and within a group the plane waves, at a loss: four ranks
        are slower than three where there are three k-points. Otherwise the rank with the most
        k-points decides, and the fewest ranks that are as fast are taken.
    """

    def speed(ranks: int) -> float:
        if not shared:
            return kpoints / math.ceil(kpoints / ranks)
        groups = math.gcd(ranks, kpoints)
        return float(groups * (ranks / groups) ** GROUP_EFFICIENCY)

    return max(range(1, (cores if shared else min(cores, kpoints)) + 1), key=speed)


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

_calculators: dict[str, LadderGPAW | None] = {}
"""By key; None on a rank that this calculation has no use for."""


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
    if key not in _calculators:
        _calculators.clear()
        _calculators[key] = _on_matched_ranks(settings, folder, on_iteration, atoms)
    calculator, failure = _calculators[key], None
    if calculator is None:
        return {}, {}, None
    start = time.process_time()
    try:
        calculator.calculate(atoms, properties, system_changes)
    except AdhesionError as error:
        failure = error
    counted = {
        "iterations": calculator.iterations,
        "scheme": calculator.scheme,
        "tries": calculator.tries,
        "cpu_seconds": float(calculator.communicator.sum_scalar(time.process_time() - start)),
    }
    return calculator.results, counted, failure


def _on_matched_ranks(
    settings: GpawSettings,
    folder: Path,
    on_iteration: Callable[[str], None] | None,
    atoms: Atoms,
) -> LadderGPAW | None:
    """Return a calculator for the ranks that its k-points can use; None on the others.

    How many were started may be meant for another calculation of the study.
    """
    from gpaw.mpi import world

    points = irreducible_kpoints(settings, atoms)
    used = matched_ranks(world.size, points, shared=shares_kpoints())
    communicator = world.new_communicator(np.arange(used))
    if communicator is None:
        return None
    told = on_iteration if world.rank == 0 else None
    return LadderGPAW(settings, folder, told, communicator)
