"""How large a GPAW calculation is: k-points, plane waves, bands; from them time and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import spglib
from ase import Atoms
from ase.units import Bohr, Hartree

from adhesion.errors import CalculationError

SYMPREC_A = 1e-4
MEMORY_GB = (0.22, 1.4, 1.6)
"""Of the process itself, of each GB of arrays, of each 10^6 points of the grid; fitted to peaks
by benchmarks/scaling.py."""
VALENCE = {"H": 1, "C": 4, "N": 5, "O": 6, "Na": 7, "Si": 4, "P": 5, "S": 6, "Zr": 12, "Pb": 14}
_USUAL_VALENCE = 8


@dataclass(frozen=True)
class Size:
    """What decides the cost of an SCF iteration.

    Attributes
    ----------
    kpoints : int
        Irreducible ones.
    electrons, bands : int
    waves : float
        Plane waves of one band.
    grid : float
        Points of the real-space grid.
    real : bool
        Whether wave functions are real, at Γ alone.
    """

    kpoints: int
    electrons: int
    bands: int
    waves: float
    grid: float
    real: bool

    @property
    def transforms(self) -> float:
        """Operations to take all bands from plane waves to the grid and back, in 10^9."""
        return self._complex * self.kpoints * self.bands * self.grid * math.log2(self.grid) / 1e9

    @property
    def products(self) -> float:
        """Operations for the scalar products of all pairs of bands, in 10^9."""
        return self._complex * self.kpoints * self.waves * self.bands**2 / 1e9

    @property
    def _complex(self) -> float:
        return 0.5 if self.real else 1.0

    @property
    def arrays_GB(self) -> float:
        """Wave functions of all k-points and the work space of one of them, GB."""
        return 16 * self._complex * (self.kpoints + 4) * self.bands * self.waves / 1e9

    @property
    def memory_GB(self) -> float:
        """Peak memory of an SCF in one process, GB."""
        process, arrays, grid = MEMORY_GB
        return process + arrays * self.arrays_GB + grid * self.grid / 1e6


def size_of(settings: dict[str, Any], atoms: Atoms) -> Size:
    """Return the size of a calculation.

    Parameters
    ----------
    settings : dict
        Resolved ones, as `adhesion.calculators.resolve` returns them for GPAW.
    atoms : ase.Atoms
    """
    variants = settings["setups"]
    symbols = atoms.get_chemical_symbols()
    electrons = sum(
        1 if variants.get(s) == "1" else VALENCE.get(s, _USUAL_VALENCE) for s in symbols
    )
    cutoff_Ha = settings["ecut_eV"] / Hartree
    volume = atoms.get_volume() / Bohr**3
    # As GPAW chooses it where it is not given.
    step = (settings["grid_A"] or math.pi / math.sqrt(4 * cutoff_Ha) * Bohr) / Bohr
    mesh = tuple(settings["kpoints"])
    return Size(
        kpoints=irreducible(atoms, mesh),
        electrons=electrons,
        bands=electrons // 2 + 6,
        waves=volume * (2 * cutoff_Ha) ** 1.5 / (6 * math.pi**2),
        grid=volume / step**3,
        real=mesh == (1, 1, 1),
    )


def must_fit_in_memory(settings: dict[str, Any], atoms: Atoms) -> None:
    """Refuse a calculation for which the memory of this machine cannot be enough.

    Parameters
    ----------
    settings : dict
        Resolved ones.
    atoms : ase.Atoms

    Raises
    ------
    CalculationError
        With what it takes and what is there.
    """
    needed = size_of(settings, atoms).memory_GB
    free = psutil.virtual_memory().available / 1e9
    if needed > free:
        raise CalculationError(
            f"an SCF of {len(atoms)} atoms takes about {needed:.1f} GB of memory; "
            f"{free:.1f} GB are free",
            hint="take a machine with more, fewer k-points (kpoint_length_A), or a smaller cell",
        )


def irreducible(atoms: Atoms, mesh: tuple[int, ...]) -> int:
    """Count the irreducible points of a mesh: shifted off Γ where even, as GPAW has it."""
    shift = [int(n % 2 == 0) for n in mesh]
    if all(n % 2 for n in mesh[:2]):
        shift = [0, 0, 0]
    crystal = (np.array(atoms.cell[:]), atoms.get_scaled_positions(), atoms.numbers)
    found, _ = spglib.get_ir_reciprocal_mesh(mesh, crystal, is_shift=shift, symprec=SYMPREC_A)
    return len(set(found.tolist()))
