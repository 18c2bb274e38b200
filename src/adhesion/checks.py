"""Whether this machine and this study fit together, line by line."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from adhesion.calculators import check
from adhesion.errors import AdhesionError
from adhesion.planning import plan_study
from adhesion.study import load_study


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
    lines = [
        Line(f"{name} {metadata.version(name)}", good=True)
        for name in ("adhesion-workflows", "ase", "pymatgen", "atomate2", "jobflow", "numpy")
    ]
    if importlib.util.find_spec("gpaw") is None:
        lines.append(
            Line(
                "GPAW is not installed",
                good=False,
                fix="make install (EMT works without)",
                needed=False,
            )
        )
    else:
        lines += _gpaw_lines()
    lines.append(_writable(store))
    lines.append(Line(f"{os.cpu_count()} cores", good=True))
    return lines


def _gpaw_lines() -> list[Line]:
    import gpaw

    lines = [Line(f"gpaw {metadata.version('gpaw')}", good=True)]
    folders = [str(p) for p in gpaw.setup_paths if Path(p).is_dir()]
    lines.append(
        Line(f"PAW datasets in {', '.join(folders)}", good=True)
        if folders
        else Line("no PAW datasets", good=False, fix="pip install gpaw-data")
    )
    launcher = shutil.which("mpiexec")
    lines.append(
        Line(f"MPI: {launcher}", good=True)
        if launcher
        else Line(
            "no mpiexec; calculations run serially",
            good=False,
            fix="apt-get install openmpi-bin libopenmpi-dev, then install GPAW again",
            needed=False,
        )
    )
    return lines


def _writable(store: Path) -> Line:
    folder = store.absolute()
    while not folder.exists():
        folder = folder.parent
    if os.access(folder, os.W_OK) and folder.is_dir():
        free = shutil.disk_usage(folder).free / 1e9
        return Line(f"store {store} can be written, {free:.0f} GB free", good=True)
    return Line(
        f"store {store} cannot be written", good=False, fix="choose another one with --store"
    )


def study_lines(path: Path, level: str, allowed: tuple[str, ...]) -> list[Line]:
    """Check that every interface of a study can be planned and computed here."""
    study = load_study(path)
    lines = []
    for spec in study.interfaces:
        try:
            (plan,) = plan_study(study, level, [spec.label])
            for settings in (plan.settings, *plan.bulk_settings.values()):
                check(settings, plan.elements, allow_import=settings["name"] in allowed)
        except AdhesionError as error:
            lines.append(Line(f"{spec.label}: {error.what}", good=False, fix=error.hint))
        else:
            elements = ", ".join(sorted(plan.elements))
            lines.append(
                Line(f"{spec.label}: {plan.summary['n_atoms']} atoms, {elements}", good=True)
            )
    return lines
