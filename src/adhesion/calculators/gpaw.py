"""GPAW with plane waves: settings, a ladder of SCF schemes, and checks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal
from zipfile import BadZipFile

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers
from ase.units import Hartree
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adhesion.calculators.size import must_fit_in_memory
from adhesion.errors import CalculationError, InputError, NotConvergedError, SetupError, nearest

Scheme = Literal["plain", "soft", "softer"]

SCHEMES: dict[str, dict[str, Any]] = {
    # GPAW's own choice: right for metals, carbon and oxide slabs alone.
    "plain": {"maxiter": 60},
    # A metal on an oxide: the default mixer swings by tens of eV there.
    "soft": {
        "eigensolver": {"name": "davidson", "niter": 4},
        "mixer": {"backend": "msr1", "beta": 0.02, "nmaxold": 6, "weight": 100},
        "maxiter": 80,
    },
    "softer": {
        "eigensolver": {"name": "davidson", "niter": 5},
        "mixer": {"backend": "pulay", "beta": 0.01, "nmaxold": 7, "weight": 100},
        "maxiter": 150,
    },
}

CONVERGENCE = {"energy": 5e-6, "density": 1e-4, "eigenstates": 1e-6}
"""eV per valence electron, electrons, eV2: a W of 70 Å2 is then good to 1 meJ/m2."""


SYMMETRY_TOLERANCE = 1e-5

FOLLOWS_A = 0.2
"""How far atoms may have moved against each other for their density to be a start, Å.

More than an ionic step: between two of them GPAW itself keeps the density where it was.
"""

JUMP_EV = 0.1
"""Change of energy per atom in one late iteration that no converging SCF makes, eV."""
JUMP_FROM_ITERATION = 15


class JumpError(Exception):
    """The energy of an SCF jumps about: another scheme has to be tried."""


class GpawSettings(BaseModel):
    """Settings that decide a GPAW energy, and the SCF scheme to begin with."""

    model_config = ConfigDict(extra="forbid")

    ecut_eV: float = Field(gt=100, lt=3000, description="Plane-wave cutoff, eV.")
    grid_A: float | None = Field(
        default=None,
        gt=0.02,
        lt=0.5,
        description="Real-space grid, Å; GPAW chooses one, too coarse for oxygen, if left out.",
    )
    functional: str = "PBE"
    setups: dict[str, str] = Field(default={}, description="Element to PAW dataset variant.")
    width_eV: float = Field(default=0.1, gt=0, lt=2, description="Fermi-Dirac width, eV.")
    scf: Scheme = "plain"
    dipole: bool = Field(default=True, description="Dipole layer in the vacuum of a slab.")
    kpoints: tuple[int, int, int] = (1, 1, 1)

    @field_validator("setups")
    @classmethod
    def _elements(cls, value: dict[str, str]) -> dict[str, str]:
        for symbol in value:
            if symbol not in atomic_numbers:
                raise ValueError(f"{symbol!r} is no element")
        return value

    @classmethod
    def read(
        cls,
        settings: dict[str, Any],
        elements: set[str],
        kpoints: tuple[int, int, int],
        *,
        slab: bool,
    ) -> GpawSettings:
        """Check the level's settings and fill in those of this cell.

        Raises
        ------
        InputError
            Naming the key that is unknown or does not fit.
        """
        if "kpoints" in settings:
            raise InputError(
                "the mesh follows from the cell and is not set here",
                where="calculator.settings.kpoints",
                hint="set kpoint_length_A of the level (k-points times cell length)",
            )
        try:
            read = cls.model_validate({**settings, "kpoints": kpoints})
        except ValidationError as error:
            # A misspelt key is also a missing one: the misspelling says more.
            first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
            key = ".".join(str(p) for p in first["loc"])
            if first["type"] == "extra_forbidden":
                raise InputError(
                    f"unknown key {key!r}",
                    where="calculator.settings",
                    hint=nearest(key, set(cls.model_fields) - {"kpoints"}),
                ) from None
            message = first["msg"].removeprefix("Value error, ")
            raise InputError(message, where=f"calculator.settings.{key}") from None
        read.dipole = read.dipole and slab
        read.setups = {e: v for e, v in sorted(read.setups.items()) if e in elements}
        return read


def check_gpaw(settings: dict[str, Any], elements: set[str]) -> None:
    """Refuse a missing GPAW or PAW dataset before a queue is waited for.

    Raises
    ------
    SetupError
        Naming what is missing and the line that installs it.
    InputError
        If GPAW knows no such functional.
    """
    if importlib.util.find_spec("gpaw") is None:
        raise SetupError(
            "GPAW is not installed",
            where="calculator gpaw",
            hint="make install (or: pip install 'adhesion-workflows[gpaw]')",
        )
    from gpaw.setup_data import search_for_file
    from gpaw.xc import XC

    try:
        datasets = XC(settings["functional"]).get_setup_name()
    except NameError as error:
        raise InputError(str(error), where="calculator.settings.functional") from None
    for element in sorted(elements):
        variant = settings["setups"].get(element)
        file = ".".join(filter(None, [element, variant, datasets]))
        try:
            search_for_file(file)
        except (FileNotFoundError, RuntimeError):
            raise SetupError(
                f"GPAW has no PAW dataset {file}",
                where="calculator gpaw",
                hint="pip install gpaw-data, set GPAW_SETUP_PATH, or choose another functional",
            ) from None


@dataclass(frozen=True)
class Fragment:
    """A part of the atoms whose density alone is known: where a first guess comes from.

    Attributes
    ----------
    file : Path
        Written by `LadderGPAW.keep_density` for these atoms, anywhere in the same cell.
    indices : tuple of int
        Which of the atoms to be computed they are, in the order of the file.
    """

    file: Path
    indices: tuple[int, ...]

    def fits(self, atoms: Atoms) -> bool:
        """Whether the file is of these atoms, about as they stand to each other, in this cell."""
        return self.read(atoms) is not None

    def read(self, atoms: Atoms) -> tuple[dict[str, Any], Any] | None:
        """Return what is kept and how far it has to move, in fractions of the cell.

        None where the file is missing, damaged or does not fit.
        """
        try:
            with np.load(self.file, allow_pickle=False) as data:
                kept = {name: data[name] for name in data.files}
            past_cell, past = kept["cell_A"], kept["positions_A"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        cell, positions = np.array(atoms.cell[:]), atoms.positions[list(self.indices)]
        if past.shape != positions.shape or not np.allclose(past_cell, cell, atol=1e-8):
            return None
        fractions = np.linalg.solve(cell.T, (positions - past).T).T
        apart = fractions - fractions[0]
        apart -= np.round(apart)  # an atom may have come back from the other side of the cell
        shift = fractions[0] + apart.mean(axis=0)
        moved = (apart - apart.mean(axis=0)) @ cell
        return (kept, shift) if np.linalg.norm(moved, axis=1).max() < FOLLOWS_A else None


class LadderGPAW(Calculator):  # type: ignore[misc]
    """GPAW that tries softer SCF schemes before it gives up.

    The density and wave functions of the geometry before are taken over as
    long as only positions change.

    Parameters
    ----------
    settings : GpawSettings
        What to compute.
    folder : Path
        Where the text logs go.
    on_iteration : callable, optional
        Called with each line of GPAW's log that reports an SCF iteration.
    communicator : optional
        Of the MPI ranks that compute; all of them if left out.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]
    keeps_densities: ClassVar[bool] = True
    """Whether `keep_density` writes anything, and `fragments` are started from."""

    def __init__(
        self,
        settings: GpawSettings,
        folder: Path = Path(),
        on_iteration: Callable[[str], None] | None = None,
        communicator: Any = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.folder = folder
        self.on_iteration = on_iteration
        self.communicator = communicator
        self.scheme: str = settings.scf
        self.iterations = 0
        self.tries: list[str] = []
        self.fragments: tuple[Fragment, ...] = ()
        self._gpaw: Any = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy, and forces or stress where they are asked for.

        Raises
        ------
        NotConvergedError
            If the SCF converged with none of the schemes.
        CalculationError
            If the atoms are too close for PAW, or the memory is too small.
        """
        super().calculate(atoms, properties, system_changes)
        if set(system_changes) - {"positions"}:
            self._gpaw = None
        from gpaw import KohnShamConvergenceError

        schemes = list(SCHEMES)
        for scheme in schemes[schemes.index(self.scheme) :]:
            if scheme != self.scheme or self._gpaw is None:
                must_fit_in_memory(self.settings.model_dump(), self.atoms)
                self.scheme, self._gpaw = scheme, self._new(scheme)
                system_changes = all_changes
                if self.fragments:
                    start_from_fragments(self._gpaw, self.atoms, self.fragments)
            try:
                # Forces after an energy of the same atoms take no SCF of their own.
                self._evaluate(properties or ["energy"], count=bool(system_changes))
            except KohnShamConvergenceError:
                self._give_up(scheme, f"not converged in {SCHEMES[scheme]['maxiter']}")
            except JumpError as jump:
                self._give_up(scheme, str(jump))
            else:
                return
        raise NotConvergedError(
            f"the SCF did not converge ({'; '.join(self.tries)})",
            where=str(self.folder / "gpaw.txt"),
        )

    def _give_up(self, scheme: str, why: str) -> None:
        """Note a scheme that failed; the next one starts anew."""
        self.tries.append(f"{scheme}: {why}")
        self.iterations += self._gpaw.dft.scf_loop.niter
        self._gpaw = None
        if self.on_iteration is not None:
            self.on_iteration(f"SCF {self.tries[-1]}")

    def _evaluate(self, properties: list[str], *, count: bool) -> None:
        gpaw, atoms = self._gpaw, self.atoms.copy()
        atoms.calc = gpaw
        try:
            energy = atoms.get_potential_energy()
        except Exception as error:
            if type(error).__name__ == "AtomsTooClose":
                raise CalculationError(
                    f"atoms are too close to each other ({error})", hint="look at the structure"
                ) from None
            raise
        if count:
            self.iterations += gpaw.get_number_of_iterations()
        self.results = {"energy": energy, "free_energy": atoms.get_potential_energy(True)}
        if "forces" in properties:
            self.results["forces"] = atoms.get_forces(apply_constraint=False)
        if "stress" in properties:
            self.results["stress"] = atoms.get_stress(apply_constraint=False)

    def known(self) -> dict[str, Any]:
        """Return energies and forces of the last geometry as plain data, for `remember`."""
        names = ("energy", "free_energy", "forces")
        return {n: np.asarray(self.results[n]).tolist() for n in names if n in self.results}

    def remember(self, atoms: Atoms, known: dict[str, Any]) -> None:
        """Take over what was known of these atoms: asked for it, nothing is computed."""
        self.atoms = atoms.copy()
        self.results = {n: np.array(v) if n == "forces" else v for n, v in known.items()}

    def keep_density(self, file: Path) -> None:
        """Write the converged density for a `Fragment`; nothing where there is none to write."""
        if self._gpaw is None or self._gpaw.dft.comm.size > 1:
            return
        density = self._gpaw.dft.density
        matrices = {f"D{a}": density.D_asii[a] for a in range(len(self.atoms))}
        whole = file.with_suffix(".new.npz")
        np.savez(
            whole, nt=density.nt_sR.data, positions_A=self.atoms.positions,
            cell_A=self.atoms.cell[:], **matrices,
        )  # fmt: skip
        whole.replace(file)

    def _new(self, scheme: str) -> Any:
        from gpaw import GPAW

        s = self.settings
        keywords: dict[str, Any] = dict(SCHEMES[scheme])
        if s.grid_A is not None:
            keywords["h"] = s.grid_A
        if s.dipole:
            keywords["poissonsolver"] = {"dipolelayer": "xy"}
        gpaw = GPAW(
            mode={"name": "pw", "ecut": s.ecut_eV},
            xc=s.functional,
            setups=s.setups,
            occupations={"name": "fermi-dirac", "width": s.width_eV},
            convergence=CONVERGENCE,
            txt=_Log(self.folder / "gpaw.txt", self.on_iteration),
            communicator=self.communicator,
            **_sampling(s),
            **keywords,
        )
        gpaw.hooks["scf_step"] = _JumpWatch(len(self.atoms) if self.atoms else 1)
        return gpaw


def _sampling(settings: GpawSettings) -> dict[str, Any]:
    """Return GPAW's words for k-points and symmetry."""
    size = settings.kpoints
    return {
        "kpts": {"size": size, "gamma": all(n % 2 for n in size[:2])},
        # In fractions of the cell: a wider one takes a slab near the middle for a mirror image of
        # itself, and symmetrised to that, 9 Na atoms gain 7.7 eV.
        "symmetry": {"tolerance": SYMMETRY_TOLERANCE},
    }


def irreducible_kpoints(settings: GpawSettings, atoms: Atoms) -> int:
    """Count the k-points that GPAW itself is left with, by the symmetry that it finds."""
    from gpaw.dft import Parameters
    from gpaw.mpi import serial_comm

    asked = Parameters(mode="pw", **_sampling(settings))
    symmetries = asked.symmetry.build(atoms, setup_ids=atoms.numbers, _backwards_compatible=True)
    return len(asked.kpts.build(atoms).reduce(symmetries, strict=False, comm=serial_comm))


class _JumpWatch:
    """Stops an SCF whose energy still jumps when it should settle."""

    def __init__(self, n_atoms: int) -> None:
        self.limit_eV = JUMP_EV * n_atoms
        self.last_eV = 0.0

    def __call__(self, context: Any) -> None:
        energy_eV = float(context.energies.total_free) * Hartree
        jump_eV = abs(energy_eV - self.last_eV)
        self.last_eV = energy_eV
        if context.niter >= JUMP_FROM_ITERATION and jump_eV > self.limit_eV:
            raise JumpError(f"the energy jumped by {jump_eV:.0f} eV at iteration {context.niter}")


def start_from_fragments(gpaw: Any, atoms: Atoms, fragments: tuple[Fragment, ...]) -> bool:
    """Let an SCF start from the sum of the densities of its parts, each moved into its place.

    A sum of atomic densities knows nothing of the bonds within the parts. Only the start
    differs: the SCF converges to the same criteria.

    Parameters
    ----------
    gpaw : GPAW
        New, with nothing computed.
    atoms : ase.Atoms
        What it will compute; GPAW's own calculator is not touched by it.
    fragments : tuple of Fragment
        Together all atoms, each once.

    Returns
    -------
    bool
        Whether it was done: not where a file is missing or of another cell or grid.
    """
    if sorted(i for f in fragments for i in f.indices) != list(range(len(atoms))):
        return False
    gpaw.create_new_calculation(atoms.copy())
    dft = gpaw.dft
    density = dft.density
    total = np.zeros_like(density.nt_sR.data)
    matrices: dict[int, Any] = {}
    for fragment in fragments:
        moved = _moved_density(fragment, atoms, total.shape)
        if moved is None:
            return False
        total += moved[0]
        matrices |= moved[1]
    density.nt_sR.data[:] = total
    for a, matrix in matrices.items():
        density.D_asii[a][:] = matrix
    density.normalize(dft.pot_calc.charge)
    dft.potential, dft.energies, _ = dft.pot_calc.calculate_without_orbitals(density)
    return True


def _moved_density(
    fragment: Fragment, atoms: Atoms, shape: tuple[int, ...]
) -> tuple[Any, dict[int, Any]] | None:
    """Density of a fragment where its atoms are now, and the matrices of its atoms."""
    found = fragment.read(atoms)
    if found is None or found[0]["nt"].shape != shape:
        return None
    kept, shift = found
    moved = _translated(kept["nt"], shift, atoms.pbc)
    return moved, {a: kept[f"D{n}"] for n, a in enumerate(fragment.indices)}


def _translated(data: Any, shift: Any, pbc: Any) -> Any:
    """Move a function on a grid by fractions of the cell, with its Fourier series.

    Along a direction that is not periodic GPAW's grid lacks the point at 0, where all is 0.
    """
    padded = np.pad(data, [(0, 0), *((0 if p else 1, 0) for p in pbc)])
    series = np.fft.fftn(padded, axes=(1, 2, 3))
    for axis, fraction in enumerate(shift):
        n = padded.shape[axis + 1]
        phase = np.exp(-2j * np.pi * np.fft.fftfreq(n, 1 / n) * fraction)
        series *= phase.reshape([-1 if a == axis + 1 else 1 for a in range(4)])
    moved = np.fft.ifftn(series, axes=(1, 2, 3)).real
    return moved[(slice(None), *(slice(0 if p else 1, None) for p in pbc))]


class _Log:
    """GPAW's text log: to a file, and each SCF iteration to a listener."""

    def __init__(self, path: Path, on_iteration: Callable[[str], None] | None) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._on_iteration = on_iteration
        self._line = ""
        self.closed = False

    def write(self, text: str) -> int:
        if self._file.closed:  # GPAW's last words, at the end of the process
            return 0
        self._line += text
        while "\n" in self._line:
            line, self._line = self._line.split("\n", 1)
            if "iter:" in line and self._on_iteration is not None:
                self._on_iteration(line.strip("| \n"))
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        self.closed = True

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return False
