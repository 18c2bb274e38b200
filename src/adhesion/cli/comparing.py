"""Two runs side by side: compare."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adhesion.cli.common import (
    STORE,
    AsJson,
    Only,
    StoreFolder,
    app,
    data,
    open_results,
    read_study,
    say,
)
from adhesion.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE, DamagedFileError, InputError

if TYPE_CHECKING:
    from adhesion.report.comparison import Run
    from adhesion.store import Results
    from adhesion.study import Study

RUN_HELP = (
    "STUDY@LEVEL, a table written by 'report --format json', the folder of a store, "
    "or the word archive."
)


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(help=RUN_HELP)],
    run_b: Annotated[str, typer.Argument(help="The same for the other side.")],
    study: Annotated[
        Path | None, typer.Option(help="Study file that a store folder is read with.")
    ] = None,
    level: Annotated[str, typer.Option(help="Level that a store folder is read at.")] = "quick",
    only: Only = None,
    store: StoreFolder = STORE,
    tolerance: Annotated[float, typer.Option(help="Largest difference of W, J/m2.")] = 0.02,
    as_json: AsJson = False,
) -> None:
    """Show two levels, functionals or machines side by side; computes nothing."""
    if not 0 <= tolerance < math.inf:
        raise InputError("must be 0 or more, J/m2", where="--tolerance")
    from adhesion.report.comparison import compare_runs, comparison_data, comparison_text

    first, second = (_read_run(name, study, level, only, store) for name in (run_a, run_b))
    lines = compare_runs(first, second, tolerance)
    if as_json:
        typer.echo(json.dumps(comparison_data(first, second, lines), indent=1, allow_nan=False))
    else:
        typer.echo(comparison_text(first, second, lines), nl=False)
    verdicts = [line.good for line in lines]
    if False in verdicts:
        raise typer.Exit(EXIT_FAILED)
    raise typer.Exit(EXIT_DONE if verdicts and None not in verdicts else EXIT_INCOMPLETE)


def _read_run(
    name: str, study: Path | None, level: str, only: list[str] | None, store: Path
) -> Run:
    """Read a run by the kind of its name."""
    if name == "archive" or Path(name).is_dir():
        if study is None:
            raise InputError(
                "a folder of results is read with a study",
                where=name,
                hint=f"adhesion compare {name} … --study study.yaml --level {level}",
            )
        return _from_results(name, read_study(study), level, only)
    if Path(name).suffix.lower() == ".json":
        return _from_table(name, only)
    file, at, chosen = name.rpartition("@")
    if not at:
        raise InputError(
            "is neither STUDY@LEVEL, a JSON table, a folder of results nor the word archive",
            where=name,
            hint=f"adhesion compare {name}@quick {name}@workstation",
        )
    results = open_results(store)
    return _rows_at(name, read_study(Path(file)), chosen, only, results, store)


def _from_results(name: str, study: Study, level: str, only: list[str] | None) -> Run:
    """Read one store alone, or the archive alone, so that neither stands in for the other."""
    from maggma.stores import MemoryStore

    from adhesion.store import Results, open_store

    if name != "archive":
        return _rows_at(name, study, level, only, Results(open_store(Path(name))), Path(name))
    from jobflow import JobStore

    empty = JobStore(MemoryStore())
    empty.connect()
    return _rows_at(name, study, level, only, Results(empty, data("results")), Path("archive"))


def _rows_at(
    name: str, study: Study, level: str, only: list[str] | None, results: Results, folder: Path
) -> Run:
    from adhesion.checks import planned, tensions
    from adhesion.report.collect import row_of
    from adhesion.report.comparison import Run

    plans = planned(study, level, only)
    found = tensions(study)
    rows = [row_of(plan, results, folder, found, study) for plan in plans]
    return Run(name, rows, {plan.spec.label: plan.settings for plan in plans})


def _from_table(name: str, only: list[str] | None) -> Run:
    from pydantic import TypeAdapter, ValidationError

    from adhesion.files import read_json
    from adhesion.report.comparison import Run
    from adhesion.schemas import AdhesionRow

    path = Path(name)
    if not path.exists():
        raise InputError("no such file", where=name)
    how = "write it with: adhesion report STUDY --format json --output FILE"
    try:
        rows = TypeAdapter(list[AdhesionRow]).validate_python(read_json(path))
    except DamagedFileError as error:
        raise InputError(error.what, where=name, hint=how) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"is no table of rows: {place}: {first['msg']}",
            where=name,
            hint=how,
        ) from None
    short = {row.interface: _short(row.interface) for row in rows}
    kept = [r for r in rows if not only or r.interface in only or short[r.interface] in only]
    names = [row.interface for row in kept]
    for interface in names:
        if names.count(interface) > 1:
            raise InputError(f"holds {interface} more than once", where=name)
    if not kept:
        say(f"{name}: no row of these interfaces")
    return Run(name, kept, {})


def _short(interface: str) -> str:
    """'Na(001)/Pb(001)' as 'Na/Pb'."""
    return "/".join(side.rpartition("(")[0] or side for side in interface.split("/"))
