"""The command line: commands only; what takes long to import is imported inside them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from adhesion.study import Machine, Study

app = typer.Typer(
    help="From two crystals to a work of adhesion and a contact angle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STORE = Path("adhesion-store")
FORMATS = ("table", "csv", "json", "markdown", "latex")

StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).", metavar="STUDY")]
LevelName = Annotated[str, typer.Option(help="Level of theory.")]
AnyLevel = Annotated[
    str | None, typer.Option(help="Level of theory; the highest each interface has, if left out.")
]
Only = Annotated[list[str] | None, typer.Option(help="Only this interface, as Na/Pb; repeatable.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
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
    say(f"wrote {path}; next: adhesion plan {path} --level quick")


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
        lines += study_lines(study, level, tuple(allow_calculator or ()))
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
    from adhesion.planning import plan_study
    from adhesion.report.plans import plan_data, plan_text
    from adhesion.study import load_study

    loaded = load_study(study)
    plans = plan_study(loaded, level, only)
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
    fresh: Annotated[bool, typer.Option(help="Look at no earlier result.")] = False,
    machine: MachineFile = None,
    allow_calculator: Allow = None,
) -> None:
    """Compute a study on this machine; what is finished is never repeated."""
    from adhesion.planning import plan_study
    from adhesion.runner import run_flow
    from adhesion.study import Machine as MachineModel
    from adhesion.study import load_machine, load_study

    loaded = load_study(study)
    here = load_machine(machine) if machine else MachineModel()
    plans = plan_study(loaded, level, only)
    _check_calculators(plans, here, allow_calculator)
    results = _results(store)
    say(f"results in {store.absolute()}")

    from adhesion.flows import StudyMaker
    from adhesion.report.progress import Watch

    with Watch(plans, lambda done: _rows(loaded, done, results, store)) as watch:
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
    rows = _rows(loaded, plans, results, store)
    _print(rows, loaded, "table", None)
    raise typer.Exit(_status(rows))


@app.command()
def report(
    study: StudyFile,
    level: AnyLevel = None,
    only: Only = None,
    store: StoreFolder = STORE,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS))] = "table",
    output: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    figure: Annotated[Path | None, typer.Option(help="PNG or PDF to draw.")] = None,
) -> None:
    """Print the table of a study from store and archive; computes nothing."""
    from adhesion.study import load_study

    if format not in FORMATS:
        raise InputError(
            f"unknown format {format!r}", where="--format", hint=nearest(format, FORMATS)
        )
    loaded = load_study(study)
    rows = _report_rows(loaded, level, only, store)
    _print(rows, loaded, format, output)
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
    from adhesion.study import load_study
    from adhesion.verification import verify_archive

    loaded = load_study(study)
    lines = verify_archive(
        loaded, level, only, kind, archive=_data("results"), folder=store,
        workers=workers or os.cpu_count() or 1, tolerance_J_m2=tolerance,
    )  # fmt: skip
    for line in lines:
        typer.echo(line.text)
    if not all(line.good for line in lines):
        raise typer.Exit(EXIT_FAILED)


def _miller(text: str, option: str) -> tuple[int, int, int]:
    try:
        h, k, i = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{text!r} is no plane", where=option, hint=f"{option} 0,0,1") from None
    if not (h or k or i):
        raise InputError("0,0,0 is no plane", where=option, hint=f"{option} 0,0,1")
    return h, k, i


def _data(*parts: str) -> Path:
    from adhesion.study import data_path

    return data_path(*parts)


def _results(store: Path) -> Results:
    from adhesion.store import Results, open_store

    return Results(open_store(store), _data("results"))


def _check_calculators(plans: list[Plan], machine: Machine, allowed: list[str] | None) -> None:
    """Refuse what cannot be computed here before anything is."""
    from adhesion.calculators import check as check_calculator

    names = {*machine.allow_calculators, *(allowed or ())}
    for plan in plans:
        settings = [plan.settings, *plan.bulk_settings.values()]
        for one in settings:
            check_calculator(one, plan.elements, allow_import=one["name"] in names)


def _rows(study: Study, plans: list[Plan], results: Results, store: Path) -> list[AdhesionRow]:
    """Rows of plans, from store and archive."""
    from adhesion.report.collect import row_of
    from adhesion.wetting import surface_tension

    tensions = [surface_tension(t) for t in study.surface_tensions]
    return [row_of(plan, results, store, tensions) for plan in plans]


def _report_rows(
    study: Study, level: str | None, only: list[str] | None, store: Path
) -> list[AdhesionRow]:
    """Rows at one level, or each interface at the highest level it has."""
    from adhesion.planning import plan_study
    from adhesion.rows import choose_level

    results = _results(store)
    if level is not None:
        return _rows(study, plan_study(study, level, only), results, store)
    by_level: dict[str, list[AdhesionRow]] = {}
    refusals: list[AdhesionError] = []
    for name in study.level_names:
        try:
            by_level[name] = _rows(study, plan_study(study, name, only), results, store)
        except AdhesionError as error:
            refusals.append(error)
    if not by_level:
        raise refusals[0]
    return choose_level(by_level)


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
    """Run the command line; expected errors become a message and an exit status."""
    return _guarded(lambda: app(args=arguments, standalone_mode=False))


def _guarded(command: Callable[[], Any]) -> int:
    import click

    try:
        status = command()
    except AdhesionError as error:
        say(f"adhesion: {error}")
        return error.exit_status
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_BAD_INPUT
    except (KeyboardInterrupt, click.exceptions.Abort):
        say("adhesion: interrupted; what was finished is kept, the same command goes on")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_DONE
    return status if isinstance(status, int) else EXIT_DONE


def entry() -> None:
    """Console script."""
    sys.exit(main())
