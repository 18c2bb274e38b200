"""How far W is converged: converge."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Annotated

import typer

from adhesion.cli.common import (
    STORE,
    Allow,
    AsJson,
    LevelName,
    MachineFile,
    Only,
    StoreFolder,
    StudyFile,
    app,
    data,
    open_results,
    read_study,
    say,
)
from adhesion.errors import EXIT_DONE, EXIT_INCOMPLETE, InputError, nearest

if TYPE_CHECKING:
    from adhesion.convergence import Parameter


@app.command()
def converge(
    study: StudyFile,
    level: LevelName = "quick",
    only: Only = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            help="film_layers, substrate_layers, kpoints, cutoff or vacuum; all if left out."
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Largest last step of W, J/m2.")] = 0.01,
    max_rungs: Annotated[int, typer.Option(min=0, max=10, help="Steps of a parameter.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, help="Calculations side by side.")] = None,
    store: StoreFolder = STORE,
    machine: MachineFile = None,
    allow_calculator: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Raise one parameter at a time until W holds still, and print the ladder."""
    if not 0 < tolerance < math.inf:
        raise InputError("must be above 0, J/m2", where="--tolerance")
    raised = _parameters(parameter)
    from adhesion.study import Machine, load_machine

    loaded = read_study(study)
    here = load_machine(machine) if machine else Machine()

    from adhesion.checks import must_be_computable, must_be_writable, planned

    plans = planned(loaded, level, only)
    must_be_computable(loaded, plans, {*here.allow_calculators, *(allow_calculator or ())})
    must_be_writable(store)
    results = open_results(store)
    say(f"results in {store.absolute()}")

    from adhesion.convergence import climb, without_interface
    from adhesion.flows import StudyMaker
    from adhesion.report.ladders import ladder_data, ladder_text
    from adhesion.report.progress import Watch
    from adhesion.runner import run_flow

    def run(flow: object) -> None:
        with Watch([], lambda _: []) as watch:
            run_flow(
                flow,  # type: ignore[arg-type]
                results,
                folder=store,
                workers=workers or here.workers or os.cpu_count() or 1,
                threads=here.threads,
                partial=data("results", "partial"),
                on_event=watch,
            )

    run(StudyMaker(level=level).calculations([without_interface(plan) for plan in plans]))
    ladders = climb(plans, results, run, tolerance_J_m2=tolerance, max_rungs=max_rungs, only=raised)
    if as_json:
        typer.echo(json.dumps([ladder_data(ladder) for ladder in ladders], indent=1))
    else:
        typer.echo("\n\n".join(ladder_text(ladder) for ladder in ladders))
    good = all(ladder.converged(p) is not False for ladder in ladders for p in ladder.foot)
    raise typer.Exit(EXIT_DONE if good else EXIT_INCOMPLETE)


def _parameters(names: list[str] | None) -> list[Parameter]:
    from adhesion.convergence import PARAMETERS

    for name in names or ():
        if name not in PARAMETERS:
            raise InputError(
                f"unknown parameter {name!r}", where="--parameter", hint=nearest(name, PARAMETERS)
            )
    return [p for p in PARAMETERS if not names or p in names]
