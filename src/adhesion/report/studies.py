"""Rows of one study or several: their order, and what the study says about each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adhesion.schemas import AdhesionRow
    from adhesion.study import InterfaceSpec, Study

    Studies = Study | Sequence[Study]


def as_list(studies: Studies) -> list[Study]:
    """One study or several, as a list."""
    return list(studies) if isinstance(studies, Sequence) else [studies]


def names(studies: Studies) -> list[str]:
    """Name of each study; its file as well where two bear the same name."""
    listed = as_list(studies)
    plain = [study.name for study in listed]
    return [
        f"{name} ({study.where})" if plain.count(name) > 1 else name
        for name, study in zip(plain, listed, strict=True)
    ]


def study_of(row: AdhesionRow, studies: Studies) -> Study | None:
    """Return the study a row was reported from, or the first that has its interface."""
    for name, study in zip(names(studies), as_list(studies), strict=True):
        if row.study in (None, name) and any(s.label == row.interface for s in study.interfaces):
            return study
    return None


def spec_of(row: AdhesionRow, studies: Studies) -> InterfaceSpec | None:
    """Return what its study says about the interface of a row."""
    study = study_of(row, studies)
    if study is None:
        return None
    return next(spec for spec in study.interfaces if spec.label == row.interface)


def in_order(rows: Sequence[AdhesionRow], studies: Studies) -> list[AdhesionRow]:
    """Sort rows by study, its interfaces, then levels; unknown ones last, by name."""
    listed, called = as_list(studies), names(studies)

    def place(row: AdhesionRow) -> tuple[int, str, int, str, int, str]:
        study = study_of(row, studies)
        if study is None:
            return len(listed), row.study or "", 0, row.interface, 0, row.level
        at = next(i for i, other in enumerate(listed) if other is study)
        labels = [spec.label for spec in study.interfaces]
        levels = study.level_names
        level = levels.index(row.level) if row.level in levels else len(levels)
        return at, called[at], labels.index(row.interface), row.interface, level, row.level

    return sorted(rows, key=place)


def of_several(rows: Sequence[AdhesionRow]) -> bool:
    """Whether the rows are of more than one study."""
    return len({row.study for row in rows}) > 1
