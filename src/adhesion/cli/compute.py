"""Computing on this machine: run, verify."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from adhesion.cli.common import (
    STORE,
    Allow,
    JobStoreFile,
    LevelName,
    MachineFile,
    Only,
    StoreFolder,
    StudyFile,
    app,
    data,
    exit_status,
    open_results,
    print_rows,
    read_study,
    rows_of,
    say,
)
from adhesion.errors import EXIT_FAILED, InputError


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

    loaded = read_study(study)
    here = load_machine(machine) if machine else Machine()

    from adhesion.checks import must_be_computable, must_be_writable, planned, tensions

    surface_tensions = tensions(loaded)
    plans = planned(loaded, level, only)
    must_be_computable(loaded, plans, {*here.allow_calculators, *(allow_calculator or ())})
    must_be_writable(store)
    results = open_results(store, jobstore)
    say(f"results in {jobstore or store.absolute()}")

    from adhesion.cluster.driver import take_over
    from adhesion.flows import StudyMaker
    from adhesion.report.progress import Watch
    from adhesion.runner import run_flow

    for label in take_over(plans, results, store):
        say(f"came back from the queue: {label}")
    with Watch(
        plans, lambda done: rows_of(done, results, store, surface_tensions, loaded)
    ) as watch:
        outcomes = run_flow(
            StudyMaker(level=level).calculations(plans),
            results,
            folder=store,
            workers=workers or here.workers or os.cpu_count() or 1,
            threads=here.threads,
            fresh=fresh,
            partial=data("results", "partial"),
            on_event=watch,
        )
    for outcome in outcomes.values():
        if outcome.status in ("failed", "unconverged"):
            say(f"{outcome.label}: {outcome.status}: {outcome.reason}")
    rows = rows_of(plans, results, store, surface_tensions, loaded)
    print_rows(rows, loaded, "table", None)
    raise typer.Exit(exit_status(rows))


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
    loaded = read_study(study)

    from adhesion.checks import must_be_computable, must_be_writable, planned
    from adhesion.verification import verify_archive

    must_be_computable(loaded, planned(loaded, level, only), set())
    must_be_writable(store)
    lines = verify_archive(
        loaded, level, only, kind, archive=data("results"), folder=store,
        workers=workers or os.cpu_count() or 1, tolerance_J_m2=tolerance,
    )  # fmt: skip
    for line in lines:
        typer.echo(line.text)
    if not all(line.good for line in lines):
        raise typer.Exit(EXIT_FAILED)
