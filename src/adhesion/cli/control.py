"""What a number is worth and what stands beside it: control, alloys."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from adhesion.errors import EXIT_FAILED, EXIT_INCOMPLETE

if TYPE_CHECKING:
    from adhesion.planning import Plan
    from adhesion.store import Results
    from adhesion.study import Machine, Study

PROXY = "PROXY: other elements stand in: plumbing only, no number is a result."

Workers = Annotated[int | None, typer.Option(min=1, help="Calculations side by side.")]


@app.command()
def control(
    study: StudyFile,
    level: LevelName = "quick",
    only: Only = None,
    interfaces: Annotated[
        bool | None,
        typer.Option(help="Of the whole interfaces, too; with EMT only, if left out."),
    ] = None,
    surfaces: Annotated[
        bool, typer.Option(help="Compute the surface energies of all sides as well.")
    ] = True,
    workers: Workers = None,
    store: StoreFolder = STORE,
    machine: MachineFile = None,
    allow_calculator: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Check what must hold whatever the numbers: A on A, doubled cell, swapped sides."""
    loaded, here, plans, results = _begin(study, level, only, store, machine, allow_calculator)

    from adhesion.controls import check_controls, control_flow

    flow = control_flow(plans, loaded, interfaces=interfaces, surfaces=surfaces)
    _run(flow, results, store, workers, here)
    lines = check_controls(plans, loaded, results, interfaces=interfaces)
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines], indent=1, ensure_ascii=False))
    else:
        proxies = any(p.level.calculator.proxy is not None for p in plans)
        for text in [*([PROXY] if proxies else []), *(line.text for line in lines)]:
            typer.echo(text)
    if not all(line.good for line in lines):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def alloys(
    study: StudyFile,
    level: LevelName = "quick",
    only: Only = None,
    workers: Workers = None,
    store: StoreFolder = STORE,
    machine: MachineFile = None,
    allow_calculator: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Compute what the two sides give when they alloy, with the same calculator."""
    loaded, here, plans, results = _begin(study, level, only, store, machine, allow_calculator)

    from adhesion.alloys import alloy_flow, formation_lines, formations

    _run(alloy_flow(plans, loaded), results, store, workers, here)
    found = {plan.spec.label: formations(plan, loaded, results) for plan in plans}
    if as_json:
        flat = [
            {"interface": label, "level": level, **one.model_dump(mode="json")}
            for label, several in found.items()
            for one in several
        ]
        typer.echo(json.dumps(flat, indent=1, ensure_ascii=False))
    else:
        for label, several in found.items():
            if several:
                typer.echo("\n".join([f"{label} at {level}", *formation_lines(several)]))
    if any(one.reason for several in found.values() for one in several):
        raise typer.Exit(EXIT_INCOMPLETE)


def _begin(
    study: Path,
    level: str,
    only: list[str] | None,
    store: Path,
    machine: Path | None,
    allow_calculator: list[str] | None,
) -> tuple[Study, Machine, list[Plan], Results]:
    """Read and check everything before anything is computed."""
    from adhesion.study import Machine, load_machine

    loaded = read_study(study)
    here = load_machine(machine) if machine else Machine()

    from adhesion.checks import must_be_computable, must_be_writable, planned

    plans = planned(loaded, level, only)
    must_be_computable(loaded, plans, {*here.allow_calculators, *(allow_calculator or ())})
    must_be_writable(store)
    say(f"results in {store.absolute()}")
    return loaded, here, plans, open_results(store)


def _run(flow: Any, results: Results, store: Path, workers: int | None, here: Machine) -> None:
    """Compute a flow; what is finished, here or in the archive, is not repeated."""
    from adhesion.report.progress import Watch
    from adhesion.runner import run_flow

    with Watch([], lambda _: []) as watch:
        outcomes = run_flow(
            flow,
            results,
            folder=store,
            workers=workers or here.workers or os.cpu_count() or 1,
            threads=here.threads,
            partial=data("results", "partial"),
            on_event=watch,
        )
    for outcome in outcomes.values():
        if outcome.status in ("failed", "unconverged"):
            say(f"{outcome.label}: {outcome.status}: {outcome.reason}")
