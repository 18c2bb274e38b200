"""The tables of a report as plain text, CSV, JSON, Markdown and LaTeX.

All formats give the same bytes for the same rows, which stand in the order of the study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adhesion.errors import InputError, nearest
from adhesion.report import angles, energetics, main, records
from adhesion.report.layout import Table, as_latex, as_markdown, as_text
from adhesion.report.names import FORMATS, SHOWN
from adhesion.report.studies import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adhesion.report.studies import Studies
    from adhesion.schemas import AdhesionRow

    Builder = Callable[[list[AdhesionRow], Studies], Table]

__all__ = ["TABLES", "in_order", "render", "tables_of"]

TABLES: dict[str, Builder] = {
    "work": main.work_table,
    "energetics": energetics.energetics_table,
    "errors": energetics.errors_table,
    "angles": angles.angles_table,
    "alloys": energetics.alloys_table,
    "cells": energetics.cells_table,
    "paper": main.paper_table,
}
"""By name: W and angles, energies, errors, predicted against measured, alloys; what was computed;
the paper's layout."""

_WRITTEN: dict[str, Callable[[Table], str]] = {
    "table": as_text,
    "markdown": as_markdown,
    "latex": as_latex,
}


def tables_of(
    rows: Sequence[AdhesionRow], studies: Studies, chosen: Sequence[str] = SHOWN
) -> dict[str, Table]:
    """Return tables by name; those with nothing to say are left out, but never the first."""
    ordered = in_order(rows, studies)
    made = {name: TABLES[name](ordered, studies) for name in chosen}
    return {
        name: table
        for i, (name, table) in enumerate(made.items())
        if i == 0 or any(column.numeric for column in table.columns)
    }


def render(
    rows: Sequence[AdhesionRow],
    studies: Studies,
    format: str,
    tables: Sequence[str] = ("work",),
) -> str:
    """Render rows as text.

    Parameters
    ----------
    rows : sequence of AdhesionRow
        Printed in the order of the studies, their interfaces and levels.
    studies : Study or sequence of Study
        For that order and the sources of references and measurements.
    format : str
        'table' (plain text of at most 100 columns), 'csv' (all fields), 'json' (the
        contract: a list of `AdhesionRow` as data), 'markdown' or 'latex' (booktabs and
        siunitx).
    tables : sequence of str
        Names in `TABLES`; 'csv' and 'json' hold all fields whatever stands here.

    Returns
    -------
    str
        Ends with a newline.

    Raises
    ------
    InputError
        If the format or a table is unknown.
    """
    if format not in FORMATS:
        raise InputError(
            f"unknown format {format!r}", where="--format", hint=nearest(format, FORMATS)
        )
    for name in tables:
        if name not in TABLES:
            raise InputError(f"unknown table {name!r}", where="--table", hint=nearest(name, TABLES))
    if format == "csv":
        return records.as_csv(in_order(rows, studies))
    if format == "json":
        return records.as_json(in_order(rows, studies))
    made = tables_of(rows, studies, tables)
    return "\n".join(_WRITTEN[format](table) for table in made.values())
