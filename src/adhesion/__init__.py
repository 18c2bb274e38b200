"""Work of adhesion and contact angles from two crystals."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "WorkOfAdhesionMaker": "adhesion.flows",
    "StudyMaker": "adhesion.flows",
    "work_of_adhesion": "adhesion.energetics",
    "contact_angle": "adhesion.wetting",
    "adhesion_from_angle": "adhesion.wetting",
    "load_study": "adhesion.study",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that a light task stays light."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'adhesion' has no attribute {name!r}")
