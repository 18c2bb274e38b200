"""The command line: commands only; what takes long to import is imported inside them."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adhesion.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    AdhesionError,
    InputError,
    nearest,
)

if TYPE_CHECKING:
    from adhesion.planning import Plan
    from adhesion.schemas import AdhesionRow
    from adhesion.store import Results
    from adhesion.study import Study
    from adhesion.wetting import SurfaceTension

app = typer.Typer(
    help="From two crystals to a work of adhesion and a contact angle.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

STORE = Path("adhesion-store")
INTERRUPTED = 130
FORMATS = ("table", "csv", "json", "markdown", "latex")

StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).", metavar="STUDY")]
LevelName = Annotated[str, typer.Option(help="Level of theory.")]
AnyLevel = Annotated[
    str | None, typer.Option(help="Level of theory; the highest each interface has, if left out.")
]
Only = Annotated[list[str] | None, typer.Option(help="Only this interface, as Na/Pb; repeatable.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
JobStoreFile = Annotated[
    Path | None,
    typer.Option("--jobstore", help="jobflow settings file; its JobStore keeps the results."),
]
MachineFile = Annotated[Path | None, typer.Option(help="Machine file (YAML).")]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="Import path of an ASE calculator that the study may use; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(text: str) -> None:
    """Talk goes to stderr; data goes to stdout."""
    typer.echo(text, err=True)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("study.yaml"),
    source: Annotated[str, typer.Option("--from", help="Study to start from.")] = "template",
) -> None:
    """Write a commented study file."""
    from adhesion.files import write_text
    from adhesion.study import data_path

    folder = data_path("configs", "studies")
    known = {p.stem: p for p in folder.glob("*.yaml")}
    if source not in known:
        raise InputError(f"no study {source!r} to start from", hint=nearest(source, known))
    if path.exists():
        raise InputError("is already there", where=str(path), hint="choose another name")
    write_text(path, known[source].read_text(encoding="utf-8"))
    say(f"wrote {path}; next: adhesion plan {shlex.quote(str(path))} --level smoke")


@app.command()
def check(
    study: Annotated[
        Path | None, typer.Argument(help="Study file (YAML).", metavar="STUDY")
    ] = None,
    level: LevelName = "quick",
    store: StoreFolder = STORE,
    allow_calculator: Allow = None,
) -> None:
    """Say what is installed and whether a study can run here."""
    from adhesion.checks import environment, study_lines

    lines = environment(store)
    if study is not None:
        lines += study_lines(study, level, set(allow_calculator or ()))
    for line in lines:
        typer.echo(f"{'ok ' if line.good else 'NO '} {line.what}")
        if not line.good:
            typer.echo(f"    -> {line.fix}")
    if not all(line.good for line in lines if line.needed):
        raise typer.Exit(EXIT_BAD_INPUT)


@app.command()
def plan(
    study: StudyFile,
    level: LevelName = "quick",
    only: Only = None,
    as_json: AsJson = False,
) -> None:
    """Show cells, strains, terminations and calculations; costs nothing."""
    loaded = _load(study)

    from adhesion.checks import planned
    from adhesion.report.plans import plan_data, plan_text

    plans = planned(loaded, level, only)
    typer.echo(json.dumps(plan_data(plans), indent=1) if as_json else plan_text(plans))


@app.command()
def match(
    film: Annotated[str, typer.Argument(help="Material name or CIF file.")],
    substrate: Annotated[str, typer.Argument(help="Material name or CIF file.")],
    film_miller: Annotated[str, typer.Option(help="As 0,0,1.")] = "0,0,1",
    substrate_miller: Annotated[str, typer.Option(help="As 0,0,1.")] = "0,0,1",
    max_area: Annotated[float, typer.Option(help="Limit on the cell, Å2.")] = 400.0,
    max_strain: Annotated[float, typer.Option(help="Limit on principal strains.")] = 0.05,
    substrate_share: Annotated[
        float, typer.Option(help="Part of the strain on the substrate.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """List the distinct common cells of two crystal planes."""
    from adhesion.report.plans import match_data, match_text

    rows = match_data(
        (film, _miller(film_miller, "--film-miller")),
        (substrate, _miller(substrate_miller, "--substrate-miller")),
        max_area_A2=max_area,
        max_strain=max_strain,
        substrate_share=substrate_share,
    )
    typer.echo(json.dumps(rows, indent=1) if as_json else match_text(rows))


@app.command()
def run(
    study: StudyFile,
    level: LevelName = "quick",
    only: Only = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Calculations side by side.")] = None,
    store: StoreFolder = STORE,
    jobstore: JobStoreFile = None,
    fresh: Annotated[bool, typer.Option(help="Look at no earlier result.")] = False,
    machine: MachineFile = None,
    allow_calculator: Allow = None,
) -> None:
    """Compute a study on this machine; what is finished is never repeated."""
    from adhesion.study import Machine, load_machine

    loaded = _load(study)
    here = load_machine(machine) if machine else Machine()

    from adhesion.checks import must_be_computable, must_be_writable, planned, tensions

    surface_tensions = tensions(loaded)
    plans = planned(loaded, level, only)
    must_be_computable(loaded, plans, {*here.allow_calculators, *(allow_calculator or ())})
    must_be_writable(store)
    results = _results(store, jobstore)
    say(f"results in {jobstore or store.absolute()}")

    from adhesion.flows import StudyMaker
    from adhesion.report.progress import Watch
    from adhesion.runner import run_flow

    with Watch(plans, lambda done: _rows(done, results, store, surface_tensions)) as watch:
        outcomes = run_flow(
            StudyMaker(level=level).calculations(plans),
            results,
            folder=store,
            workers=workers or here.workers or os.cpu_count() or 1,
            threads=here.threads,
            fresh=fresh,
            partial=_data("results", "partial"),
            on_event=watch,
        )
    for outcome in outcomes.values():
        if outcome.status in ("failed", "unconverged"):
            say(f"{outcome.label}: {outcome.status}: {outcome.reason}")
    rows = _rows(plans, results, store, surface_tensions)
    _print(rows, loaded, "table", None)
    raise typer.Exit(_status(rows))


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
    loaded = _load(study)
    say(f"results in {jobstore or store.absolute()}")
    rows = _report_rows(loaded, level, only, store, _results(store, jobstore))
    _print([_with_advice(row, loaded, store) for row in rows], loaded, format, output)
    if figure is not None:
        from adhesion.report.figures import adhesion_figure

        adhesion_figure(rows, loaded, figure)
        say(f"drew {figure}")
    raise typer.Exit(_status(rows))


@app.command()
def verify(
    study: StudyFile,
    level: LevelName = "quick",
    only: Only = None,
    kind: Annotated[str | None, typer.Option(help="bulk, slab, curve or interface only.")] = None,
    store: Annotated[Path, typer.Option(help="Folder for the new results.")] = Path(
        "adhesion-verify"
    ),
    workers: Annotated[int | None, typer.Option(min=1)] = None,
    tolerance: Annotated[float, typer.Option(help="Largest difference of W, J/m2.")] = 0.001,
) -> None:
    """Compute archived calculations again and compare."""
    if not 0 <= tolerance < math.inf:
        raise InputError("must be 0 or more, J/m2", where="--tolerance")
    loaded = _load(study)

    from adhesion.checks import must_be_computable, must_be_writable, planned
    from adhesion.verification import verify_archive

    must_be_computable(loaded, planned(loaded, level, only), set())
    must_be_writable(store)
    lines = verify_archive(
        loaded, level, only, kind, archive=_data("results"), folder=store,
        workers=workers or os.cpu_count() or 1, tolerance_J_m2=tolerance,
    )  # fmt: skip
    for line in lines:
        typer.echo(line.text)
    if not all(line.good for line in lines):
        raise typer.Exit(EXIT_FAILED)


def _load(path: Path) -> Study:
    """Read a study before what takes long is imported: a typo is told at once."""
    from adhesion.study import load_study

    return load_study(path)


def _miller(text: str, option: str) -> tuple[int, int, int]:
    from adhesion.study import MAX_MILLER

    try:
        h, k, i = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{text!r} is no plane", where=option, hint=f"{option} 0,0,1") from None
    if not 0 < max(map(abs, (h, k, i))) <= MAX_MILLER:
        raise InputError(
            f"{text!r} is no plane: indices from -{MAX_MILLER} to {MAX_MILLER}, not all 0",
            where=option,
            hint=f"{option} 0,0,1",
        )
    return h, k, i


def _data(*parts: str) -> Path:
    from adhesion.study import data_path

    return data_path(*parts)


def _results(store: Path, jobstore: Path | None = None) -> Results:
    from adhesion.store import Results, configured_store, open_store

    if store.exists() and not store.is_dir():
        raise InputError("is a file, not a folder of results", where=f"--store {store}")
    opened = configured_store(jobstore) if jobstore else open_store(store)
    return Results(opened, _data("results"))


def _rows(
    plans: list[Plan], results: Results, store: Path, tensions: list[SurfaceTension]
) -> list[AdhesionRow]:
    """Rows of plans, from store and archive."""
    from adhesion.report.collect import row_of

    return [row_of(plan, results, store, tensions) for plan in plans]


def _report_rows(
    study: Study, level: str | None, only: list[str] | None, store: Path, results: Results
) -> list[AdhesionRow]:
    """Rows at one level, or each interface at the highest level it has."""
    from adhesion.checks import planned, tensions
    from adhesion.rows import choose_level

    surface_tensions = tensions(study)
    if level is not None:
        return _rows(planned(study, level, only), results, store, surface_tensions)
    by_level: dict[str, list[AdhesionRow]] = {name: [] for name in study.level_names}
    for spec in study.select(only or []):
        refusals = []
        for name, rows in by_level.items():
            try:
                plans = planned(study, name, [spec.label])
            except AdhesionError as error:  # no match at production, say: other levels remain
                refusals.append(error)
            else:
                rows += _rows(plans, results, store, surface_tensions)
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


def _print(rows: list[AdhesionRow], study: Study, format: str, output: Path | None) -> None:
    from adhesion.files import write_text
    from adhesion.report.tables import render

    text = render(rows, study, format)
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        write_text(output, text)
        say(f"wrote {output}")


def _status(rows: list[AdhesionRow]) -> int:
    states = {row.status for row in rows}
    if "failed" in states:
        return EXIT_FAILED
    return EXIT_DONE if states <= {"done"} else EXIT_INCOMPLETE


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; every error becomes a message and an exit status.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process if left out.

    Returns
    -------
    int
        0 done, 1 failed, 2 bad input or set-up, 3 incomplete, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(args=arguments or ["--help"], prog_name="adhesion", standalone_mode=False)
    except AdhesionError as error:
        say(f"adhesion: {error}")
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the reader of a pipe went away, as head does
        return EXIT_DONE
    except Exception as error:
        return _unexpected(error)
    if status == INTERRUPTED:
        say("adhesion: interrupted; what was finished is kept, the same command goes on")
    return status if isinstance(status, int) else EXIT_DONE


def _unexpected(error: Exception) -> int:
    """Tell apart a wrong command line, a trouble with files, and a bug."""
    # By its methods: newer versions of typer carry a copy of click, with classes of its own.
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "adhesion"
        say(f"adhesion: {error.format_message()}\n  -> see: {command} --help")
        return EXIT_BAD_INPUT
    if isinstance(error, OSError) and error.filename is not None:
        say(f"adhesion: {error.filename}: {error.strerror}")
        return EXIT_BAD_INPUT
    with tempfile.NamedTemporaryFile(
        "w", prefix="adhesion-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    say(f"adhesion: a bug, {type(error).__name__}; please report it with {file.name}")
    return EXIT_FAILED


def entry() -> None:
    """Console script."""
    sys.exit(main())
