"""Whether this machine and this study fit together, line by line."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from adhesion.calculators import check
from adhesion.calculators.launched import shares_kpoints
from adhesion.errors import AdhesionError, InputError, SetupError
from adhesion.materials import load_material
from adhesion.planning import Plan, plan_study
from adhesion.study import InterfaceSpec, Study, load_study
from adhesion.wetting import SurfaceTension, surface_tension


@dataclass(frozen=True)
class Line:
    """One thing that was checked.

    Attributes
    ----------
    what : str
        What was found.
    good : bool
        Whether it will do.
    fix : str
        What to type where it will not.
    needed : bool
        Whether a study can run without it.
    """

    what: str
    good: bool
    fix: str = ""
    needed: bool = True


def environment(store: Path) -> list[Line]:
    """Check packages, MPI and the folder of the store."""
    names = ("adhesion-workflows", "ase", "pymatgen", "atomate2", "jobflow", "numpy")
    lines = [Line(f"{name} {metadata.version(name)}", good=True) for name in names]
    if importlib.util.find_spec("gpaw") is None:
        lines.append(
            Line(
                "GPAW is not installed",
                good=False,
                fix="make install (EMT works without it)",
                needed=False,
            )
        )
    else:
        lines += _gpaw_lines()
    lines.append(writable(store))
    lines.append(Line(f"{os.cpu_count()} cores", good=True))
    return lines


def _gpaw_lines() -> list[Line]:
    try:
        import gpaw
    except ImportError as error:
        what = f"GPAW is installed but cannot start: {error}"
        return [Line(what, good=False, fix="make install", needed=False)]
    lines = [Line(f"gpaw {metadata.version('gpaw')}", good=True)]
    folders = [str(p) for p in gpaw.setup_paths if Path(p).is_dir()]
    lines.append(
        Line(f"PAW datasets in {', '.join(folders)}", good=True)
        if folders
        else Line("no PAW datasets", good=False, fix="pip install gpaw-data")
    )
    launcher = shutil.which("mpiexec")
    most = "" if shares_kpoints() else ", no more ranks than k-points (GPAW without ScaLAPACK)"
    lines.append(
        Line(f"MPI: {launcher}{most}", good=True)
        if launcher
        else Line(
            "no mpiexec; calculations run serially",
            good=False,
            fix="apt-get install openmpi-bin libopenmpi-dev, then install GPAW again",
            needed=False,
        )
    )
    return lines


def writable(store: Path) -> Line:
    """Check the folder of the store, or the nearest one above it, by writing there."""
    no = Line(f"store {store} cannot be written", good=False, fix="choose another with --store")
    try:
        folder = store.absolute()
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free / 1e9
    except (OSError, ValueError):
        return no
    return Line(f"store {store} can be written, {free:.0f} GB free", good=True)


def must_be_writable(store: Path) -> None:
    """Refuse a store that cannot be written, before anything is computed.

    Raises
    ------
    SetupError
        Naming the folder.
    """
    line = writable(store)
    if not line.good:
        raise SetupError(line.what, where="--store", hint=line.fix)


def study_lines(path: Path, level: str, allowed: set[str]) -> list[Line]:
    """Check that every interface of a study can be planned and computed here."""
    study = load_study(path)
    study.level(level)
    tensions(study)
    lines = []
    for spec in study.interfaces:
        try:
            plans = planned(study, level, [spec.label])
            must_be_computable(study, plans, allowed)
        except AdhesionError as error:
            what = f"{spec.label}: {error.what} ({error.where})"
            lines.append(Line(what, good=False, fix=error.hint))
        else:
            (plan,) = plans
            what = f"{plan.summary['n_atoms']} atoms, {', '.join(sorted(plan.elements))}"
            lines.append(Line(f"{spec.label}: {what}", good=True))
    return lines


def planned(study: Study, level: str, only: list[str] | None = None) -> list[Plan]:
    """Plan the interfaces of a study, or those named; errors say where in the study.

    Raises
    ------
    InputError
        With the file, the line and the key that is wrong.
    """
    study.level(level)
    plans = []
    for spec in study.select(only or []):
        try:
            plans += plan_study(study, level, [spec.label])
        except InputError as error:
            raise _placed(error, _place(error, study, spec, level)) from None
    return plans


def must_be_computable(study: Study, plans: list[Plan], allowed: set[str]) -> None:
    """Refuse what cannot be computed here, before anything is.

    Parameters
    ----------
    study : Study
        For the place in its file.
    plans : list of Plan
        What is to be computed.
    allowed : set of str
        Import paths of calculators that the user allows.

    Raises
    ------
    InputError, SetupError
        If an element, program or dataset is missing, or an import is not allowed.
    """
    for plan in plans:
        name = plan.settings["name"]
        try:
            check(plan.settings, plan.elements, allow_import=name in allowed)
        except (InputError, SetupError) as error:
            place = study.place("levels", plan.level.name, "calculator")
            raise _placed(error, f"{place}, {plan.spec.label}") from None


def tensions(study: Study) -> list[SurfaceTension]:
    """Return the surface tensions of a study.

    Raises
    ------
    InputError
        With the file and line of the one that is wrong.
    """
    found = []
    for i, spec in enumerate(study.surface_tensions):
        try:
            found.append(surface_tension(spec))
        except InputError as error:
            raise _placed(error, study.place("surface_tensions", str(i))) from None
    return found


def _place(error: InputError, study: Study, spec: InterfaceSpec, level: str) -> str:
    """Where in the study the cause of an error stands."""
    at = ("interfaces", str(study.interfaces.index(spec)))
    if error.where.startswith("calculator"):
        return study.place("levels", level, *error.where.split("."))
    if error.where.startswith("materials."):
        return study.place(*error.where.split("."))
    if spec.structure is not None:
        return study.place(*at, "film_atoms" if "film_atoms" in error.what else "structure")
    for name, side in (("film", spec.film), ("substrate", spec.substrate)):
        if error.where == f"{side.label}, termination":
            return study.place(*at, name, "termination")
        try:
            load_material(side.material, study.materials)
        except InputError:
            if side.material in study.materials:
                return study.place("materials", side.material)
            return study.place(*at, name)
    return study.place(*at)


def _placed(error: AdhesionError, place: str) -> AdhesionError:
    """Return the same error with its place in the study, and its own where it says more."""
    known = error.where.startswith(("calculator", "materials.", "surface_tensions"))
    own = "" if known or error.where.endswith(", termination") else error.where
    where = ": ".join(filter(None, [place, own]))
    return type(error)(error.what, where=where, hint=error.hint)
