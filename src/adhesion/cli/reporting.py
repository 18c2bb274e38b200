"""What was computed, for people: report, compare."""

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
    app,
    exit_status,
    open_results,
    read_study,
    say,
)
from adhesion.errors import AdhesionError, InputError, nearest
from adhesion.report.names import FORMATS, NAMES, SHOWN

if TYPE_CHECKING:
    from adhesion.report.collect import Case
    from adhesion.schemas import AdhesionRow
    from adhesion.store import Results
    from adhesion.study import Study

StudyFiles = Annotated[
    list[Path], typer.Argument(help="Study files (YAML), in one table.", metavar="STUDY...")
]


@app.command()
def report(
    studies: StudyFiles,
    level: AnyLevel = None,
    only: Only = None,
    store: StoreFolder = STORE,
    jobstore: JobStoreFile = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS))] = "table",
    table: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(NAMES)}; repeatable.")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="The layout of the paper.")] = False,
    output: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    figure: Annotated[Path | None, typer.Option(help="PNG or PDF to draw.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for all figures.")] = None,
    html: Annotated[Path | None, typer.Option(help="Page to write, with all in it.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder for structures, CSV, methods and BibTeX.")
    ] = None,
) -> None:
    """Print tables of studies from store and archive, draw, export; computes nothing."""
    _must_know(format, FORMATS, "format")
    for name in table or ():
        _must_know(name, NAMES, "table")
    loaded = [read_study(path) for path in studies]
    say(f"results in {jobstore or store.absolute()}")
    results = open_results(store, jobstore, to_write=False)
    cases = _report_cases(loaded, level, only, store, results)
    rows = [case.row for case in cases]
    advised = _with_advice(rows, loaded, store)
    _print(advised, loaded, format, _tables(table, paper, format), output)
    if figure is not None:
        from adhesion.report.figures import adhesion_figure

        adhesion_figure(rows, loaded, figure)
        say(f"drew {figure}")
    if figures is not None or html is not None or export is not None:
        from adhesion.report.collect import with_ladder

        cases = [with_ladder(case, results) for case in cases]
    if figures is not None:
        from adhesion.report.gallery import draw_all

        say(f"drew {len(draw_all(cases, loaded, figures))} files in {figures}")
    if html is not None:
        from adhesion.report.page import write_page

        write_page(cases, loaded, html)
        say(f"wrote {html}")
    if export is not None:
        from adhesion.report.export import write_export

        say(f"wrote {len(write_export(cases, loaded, export))} files in {export}")
    raise typer.Exit(exit_status(rows))


def _must_know(name: str, known: tuple[str, ...], option: str) -> None:
    if name not in known:
        raise InputError(
            f"unknown {option} {name!r}", where=f"--{option}", hint=nearest(name, known)
        )


def _tables(chosen: list[str] | None, paper: bool, format: str) -> tuple[str, ...]:
    """Tables to print: those asked for, else the first, and in a terminal what explains it."""
    if paper:
        return ("paper", *(chosen or ()))
    return tuple(chosen or (SHOWN if format == "table" else SHOWN[:1]))


def _print(
    rows: list[AdhesionRow],
    studies: list[Study],
    format: str,
    tables: tuple[str, ...],
    output: Path | None,
) -> None:
    from adhesion.files import write_text
    from adhesion.report.tables import render

    text = render(rows, studies, format, tables)
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        write_text(output, text)
        say(f"wrote {output}")


def _report_cases(
    studies: list[Study],
    level: str | None,
    only: list[str] | None,
    store: Path,
    results: Results,
) -> list[Case]:
    """Interfaces at one level, or each at the highest it has; of all studies, in order."""
    from dataclasses import replace

    from adhesion.report.studies import in_order, names

    cases: list[Case] = []
    for study, name in zip(studies, names(studies), strict=True):
        chosen = _of_study(study, only, several=len(studies) > 1)
        if chosen is None:
            continue
        found = _study_cases(study, level, chosen, store, results)
        cases += [replace(c, row=c.row.model_copy(update={"study": name})) for c in found]
    if not cases and only:
        studies[0].select(only)  # says which name is not known, and the nearest
        raise InputError("no study has all these interfaces", where="--only")
    order = {id(row): i for i, row in enumerate(in_order([c.row for c in cases], studies))}
    return sorted(cases, key=lambda case: order[id(case.row)])


def _of_study(study: Study, only: list[str] | None, several: bool) -> list[str] | None:
    """Interfaces of one study; None where several are reported and it has none of them."""
    if not only or not several:
        return only or []
    own = {n for spec in study.interfaces for n in (spec.short, spec.label)}
    return [name for name in only if name in own] or None


def _study_cases(
    study: Study, level: str | None, only: list[str], store: Path, results: Results
) -> list[Case]:
    """Interfaces at one level, or each at the highest level it has."""
    from adhesion.checks import planned, tensions
    from adhesion.report.collect import case_of
    from adhesion.rows import choose_level

    surface_tensions = tensions(study)

    def at(name: str, chosen: list[str]) -> list[Case]:
        plans = planned(study, name, chosen)
        return [case_of(plan, results, store, surface_tensions, study) for plan in plans]

    if level is not None:
        return at(level, only)
    by_level: dict[str, list[Case]] = {name: [] for name in study.level_names}
    for spec in study.select(only):
        refusals = []
        for name, cases in by_level.items():
            try:
                cases += at(name, [spec.label])
            except AdhesionError as error:  # no match at production, say: other levels remain
                refusals.append(error)
        if len(refusals) == len(by_level):
            raise refusals[0]
    best = choose_level({name: [c.row for c in cases] for name, cases in by_level.items()})
    chosen = {id(row) for row in best}
    return [case for cases in by_level.values() for case in cases if id(case.row) in chosen]


def _with_advice(rows: list[AdhesionRow], studies: list[Study], store: Path) -> list[AdhesionRow]:
    """Say in the row of what was never computed how to compute it."""
    from adhesion.report.studies import study_of

    advised = []
    for row in rows:
        study = study_of(row, studies)
        if row.status != "missing" or study is None:
            advised.append(row)
            continue
        names = [i.short for i in study.interfaces]
        short = next(i.short for i in study.interfaces if i.label == row.interface)
        only = short if names.count(short) == 1 else row.interface
        command = ["adhesion", "run", study.where, "--level", row.level, "--only", only]
        if store != STORE:
            command += ["--store", str(store)]
        reason = f"{row.reason}; type: {shlex.join(command)}"
        advised.append(row.model_copy(update={"reason": reason}))
    return advised
