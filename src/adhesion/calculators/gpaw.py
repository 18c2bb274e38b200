"""GPAW with plane waves: settings, a ladder of SCF schemes, and checks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

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
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(
        self,
        settings: GpawSettings,
        folder: Path = Path(),
        on_iteration: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.folder = folder
        self.on_iteration = on_iteration
        self.scheme: str = settings.scf
        self.iterations = 0
        self.tries: list[str] = []
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
            If the atoms are too close for PAW.
        """
        super().calculate(atoms, properties, system_changes)
        if set(system_changes) - {"positions"}:
            self._gpaw = None
        from gpaw import KohnShamConvergenceError

        schemes = list(SCHEMES)
        for scheme in schemes[schemes.index(self.scheme) :]:
            if scheme != self.scheme or self._gpaw is None:
                self.scheme, self._gpaw = scheme, self._new(scheme)
                system_changes = all_changes
            try:
                # Forces after an energy of the same atoms take no SCF of their own.
                self._evaluate(properties or ["energy"], count=bool(system_changes))
            except KohnShamConvergenceError:
                self.tries.append(f"{scheme}: not converged in {SCHEMES[scheme]['maxiter']}")
                self.iterations += SCHEMES[scheme]["maxiter"]
                self._gpaw = None
            else:
                return
        raise NotConvergedError(
            f"the SCF did not converge ({'; '.join(self.tries)})",
            where=str(self.folder / "gpaw.txt"),
        )

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

    def _new(self, scheme: str) -> Any:
        from gpaw import GPAW

        s = self.settings
        keywords: dict[str, Any] = dict(SCHEMES[scheme])
        if s.grid_A is not None:
            keywords["h"] = s.grid_A
        if s.dipole:
            keywords["poissonsolver"] = {"dipolelayer": "xy"}
        return GPAW(
            mode={"name": "pw", "ecut": s.ecut_eV},
            xc=s.functional,
            setups=s.setups,
            kpts={"size": s.kpoints, "gamma": all(n % 2 for n in s.kpoints[:2])},
            occupations={"name": "fermi-dirac", "width": s.width_eV},
            # Relaxed and read-in geometries keep their symmetry only roughly.
            symmetry={"tolerance": 0.02},
            convergence=CONVERGENCE,
            txt=_Log(self.folder / "gpaw.txt", self.on_iteration),
            **keywords,
        )


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
