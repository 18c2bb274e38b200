"""What was computed, for people: report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adhesion.cli.common import (
    STORE,
    AnyLevel,
    JobStoreFile,
    Only,
    StoreFolder,
    StudyFile,
    app,
    exit_status,
    open_results,
    print_rows,
    read_study,
    rows_of,
    say,
)
from adhesion.errors import AdhesionError, InputError, nearest

if TYPE_CHECKING:
    from adhesion.schemas import AdhesionRow
    from adhesion.store import Results
    from adhesion.study import Study

FORMATS = ("table", "csv", "json", "markdown", "latex")


@app.command()
def report(
    study: StudyFile,
    level: AnyLevel = None,
    only: Only = None,
    store: StoreFolder = STORE,
    jobstore: JobStoreFile = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS))] = "table",
    output: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    figure: Annotated[Path | None, typer.Option(help="PNG or PDF to draw.")] = None,
) -> None:
    """Print the table of a study from store and archive; computes nothing."""
    if format not in FORMATS:
        raise InputError(
            f"unknown format {format!r}", where="--format", hint=nearest(format, FORMATS)
        )
    loaded = read_study(study)
    say(f"results in {jobstore or store.absolute()}")
    rows = _report_rows(loaded, level, only, store, open_results(store, jobstore))
    print_rows([_with_advice(row, loaded, store) for row in rows], loaded, format, output)
    if figure is not None:
        from adhesion.report.figures import adhesion_figure

        adhesion_figure(rows, loaded, figure)
        say(f"drew {figure}")
    raise typer.Exit(exit_status(rows))


def _report_rows(
    study: Study, level: str | None, only: list[str] | None, store: Path, results: Results
) -> list[AdhesionRow]:
    """Rows at one level, or each interface at the highest level it has."""
    from adhesion.checks import planned, tensions
    from adhesion.rows import choose_level

    surface_tensions = tensions(study)
    if level is not None:
        return rows_of(planned(study, level, only), results, store, surface_tensions)
    by_level: dict[str, list[AdhesionRow]] = {name: [] for name in study.level_names}
    for spec in study.select(only or []):
        refusals = []
        for name, rows in by_level.items():
            try:
                plans = planned(study, name, [spec.label])
            except AdhesionError as error:  # no match at production, say: other levels remain
                refusals.append(error)
            else:
                rows += rows_of(plans, results, store, surface_tensions)
        if len(refusals) == len(by_level):
            raise refusals[0]
    return choose_level(by_level)


def _with_advice(row: AdhesionRow, study: Study, store: Path) -> AdhesionRow:
    """Say in the row of what was never computed how to compute it."""
    if row.status != "missing":
        return row
    names = [i.short for i in study.interfaces]
    short = next(i.short for i in study.interfaces if i.label == row.interface)
    only = short if names.count(short) == 1 else row.interface
    command = ["adhesion", "run", study.where, "--level", row.level, "--only", only]
    if store != STORE:
        command += ["--store", str(store)]
    return row.model_copy(update={"reason": f"{row.reason}; type: {shlex.join(command)}"})
