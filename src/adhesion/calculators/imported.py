"""Any ASE calculator, by its import path."""

from __future__ import annotations

import importlib
from typing import Any

from ase.calculators.calculator import BaseCalculator

from adhesion.errors import InputError


def load_class(path: str) -> type[Any]:
    """Import a calculator class from 'package.module.Class'.

    Raises
    ------
    InputError
        If there is no such module or class, or it is no ASE calculator.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"cannot import {path!r} ({error})", where="calculator.name") from None
    if not (isinstance(found, type) and issubclass(found, BaseCalculator)):
        raise InputError(f"{path!r} is no ASE calculator class", where="calculator.name")
    return found
