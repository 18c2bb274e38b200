"""Names of calculators, their resolved settings, and whether they can run here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from adhesion.errors import InputError, SetupError, nearest
from adhesion.study import CalculatorSpec

NUMERICAL = ("scf",)
"""Settings that change how a result is reached, not the result: left out of its identity."""


def resolve(
    spec: CalculatorSpec,
    elements: Iterable[str],
    kpoints: tuple[int, int, int],
    *,
    slab: bool,
    partners: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the settings with nothing left to choose, for one set of atoms.

    Parameters
    ----------
    spec : CalculatorSpec
        Calculator of the level.
    elements : iterable of str
        Elements of what is computed; of the whole interface for a slab, so that the
        three energies are alike.
    kpoints : tuple of int
        k-point mesh, Γ-centred where odd.
    slab : bool
        Whether the cell has vacuum along its third vector.
    partners : iterable of str
        Elements that it meets later: a bulk is a proxy where its interface is one.

    Raises
    ------
    InputError
        If the calculator is unknown or a setting does not fit.
    """
    name = spec.name.lower()
    if name == "gpaw":
        from adhesion.calculators.gpaw import GpawSettings

        settings = GpawSettings.read(spec.settings, set(elements), kpoints, slab=slab)
        return {"name": "gpaw", **settings.model_dump()}
    if name == "emt":
        from adhesion.calculators.emt import emt_settings

        return emt_settings(spec, {*elements, *partners})
    if spec.proxy is not None:
        raise InputError("a proxy needs the calculator emt", where="calculator.proxy")
    if "." in spec.name:
        return {"name": spec.name, "functional": spec.name, "settings": spec.settings}
    return {"name": _force_field(spec.name), "functional": spec.name, "settings": spec.settings}


def identity(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the settings that decides the result."""
    return {k: v for k, v in settings.items() if k not in NUMERICAL}


def alone(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a slab without the other side, where soft mixing only takes longer."""
    return settings | ({"scf": "plain"} if "scf" in settings else {})


def check(settings: dict[str, Any], elements: Iterable[str], *, allow_import: bool = False) -> None:
    """Refuse, before anything is computed, what cannot run here.

    Raises
    ------
    SetupError
        If a program, package or dataset is missing.
    InputError
        If the calculator lacks an element, or an import path was not allowed.
    """
    name = settings["name"]
    if name == "gpaw":
        from adhesion.calculators.gpaw import check_gpaw

        check_gpaw(settings, set(elements))
    elif name == "emt":
        from adhesion.calculators.emt import check_emt

        check_emt(settings, set(elements))
    elif "." in name:
        if not allow_import:
            raise InputError(
                f"the study asks to import {name!r}; a study alone may not do that",
                where="calculator.name",
                hint=f"if you trust it: --allow-calculator {name}",
            )
        from adhesion.calculators.imported import load_class

        load_class(name)
    else:
        _check_force_field(name)


def _force_field(name: str) -> str:
    """Return the canonical name of an atomate2 force field."""
    from atomate2.forcefields.utils import MLFF

    known = {m.value for m in MLFF} - {MLFF.Forcefield.value}
    found: str | None = {k.lower(): k for k in known}.get(name.lower())
    if found is None:
        raise InputError(
            f"unknown calculator {name!r}",
            where="calculator.name",
            hint=nearest(name, {*known, "gpaw", "emt"}),
        )
    return found


_FORCE_FIELD_PACKAGES = {
    "allegro": ("allegro", "nequip-allegro"),
    "chgnet": ("chgnet", "chgnet"),
    "deepmd": ("deepmd", "deepmd-kit"),
    "fairchem": ("fairchem.core", "fairchem-core"),
    "gap": ("quippy", "quippy-ase"),
    "m3gnet": ("matgl", "matgl"),
    "mace": ("mace", "mace-torch"),
    "matpes": ("matgl", "matgl"),
    "mattersim": ("mattersim", "mattersim"),
    "nep": ("calorine", "calorine"),
    "nequip": ("nequip", "nequip"),
    "sevennet": ("sevenn", "sevenn"),
    "upet": ("upet", "upet"),
}
"""Start of a force field's name to the module it needs and the distribution that has it."""


def _check_force_field(name: str) -> None:
    """Refuse rather than let atomate2 fall back to a model of another name."""
    for start, (module, distribution) in _FORCE_FIELD_PACKAGES.items():
        if name.lower().startswith(start):
            try:
                importlib.import_module(module)
            except ImportError:
                raise SetupError(
                    f"the force field {name} needs the package {distribution}",
                    where="calculator.name",
                    hint=f"pip install {distribution}",
                ) from None
