"""Choosing the interface before it is computed: search."""

from __future__ import annotations

import json
import os
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
from adhesion.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE, InputError

if TYPE_CHECKING:
    from adhesion.study import Study


@app.command()
def search(
    study: StudyFile,
    level: LevelName = "smoke",
    only: Only = None,
    calculator: Annotated[
        str | None,
        typer.Option(help="Search with this one: emt, a force field, package.Class."),
    ] = None,
    cells: Annotated[
        int, typer.Option(min=1, max=200, help="Faces and cells to try, from the top of the list.")
    ] = 8,
    energies: Annotated[
        int | None, typer.Option(min=10, help="Energies in all; 2000 if left out.")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many to keep.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, help="Searches side by side.")] = None,
    store: StoreFolder = STORE,
    machine: MachineFile = None,
    allow_calculator: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Try faces, cells and registries of a level with energies, and rank them."""
    from adhesion.study import Machine, load_machine

    loaded = read_study(study)
    here = load_machine(machine) if machine else Machine()

    from adhesion.checks import must_be_computable, must_be_writable, planned

    ranked = planned(loaded, level, only)
    other = _with_calculator(loaded, level, calculator) if calculator else loaded
    plans = planned(other, level, only) if calculator else ranked
    must_be_computable(other, plans, {*here.allow_calculators, *(allow_calculator or ())})
    if energies is None and any(plan.settings["name"] == "gpaw" for plan in plans):
        raise InputError(
            f"level {level} computes with GPAW, minutes for each energy",
            where="--energies",
            hint="say how many, as --energies 40, or search with another: --calculator CHGNet",
        )
    must_be_writable(store)
    results = open_results(store)
    say(f"results in {store.absolute()}")

    from adhesion.report.progress import Watch
    from adhesion.report.searches import search_text
    from adhesion.runner import run_flow
    from adhesion.schemas import SearchDocument
    from adhesion.searching import Budget, search_flow

    budget = Budget(pairings=cells, energies=energies or 2000, keep=keep)
    found, failed = [], False
    for plan, listed in zip(plans, ranked, strict=True):
        flow = search_flow(plan, listed, budget)
        with Watch([], lambda _: []) as watch:
            outcomes = run_flow(
                flow, results, folder=store,
                workers=workers or here.workers or os.cpu_count() or 1,
                threads=here.threads, partial=data("results", "partial"), on_event=watch,
            )  # fmt: skip
        for outcome in outcomes.values():
            if outcome.status != "done":
                say(f"{outcome.label}: {outcome.status}: {outcome.reason}")
        failed = failed or any(o.status == "failed" for o in outcomes.values())
        done = results.finished(flow.jobs[-1].uuid)
        if done is not None and isinstance(done.document, SearchDocument):
            found.append(done.document)
    if as_json:
        typer.echo(json.dumps([d.model_dump(mode="json") for d in found], indent=1))
    elif found:
        typer.echo("\n\n".join(search_text(d, level) for d in found))
    if len(found) < len(plans):
        raise typer.Exit(EXIT_FAILED if failed else EXIT_INCOMPLETE)
    raise typer.Exit(EXIT_DONE)


def _with_calculator(study: Study, level: str, name: str) -> Study:
    """Return the study with another calculator at a level, all else as it is."""
    kept = study.level(level).model_dump(mode="json", exclude={"name"})
    oxides = {k: v for k, v in kept["with_oxygen"].items() if k not in ("calculator", "dispersion")}
    given = (changes.get("calculator", {}) for changes in study.levels.values())
    proxies = [c["proxy"] for c in given if c.get("proxy")]
    calculator: dict[str, Any] = {"name": name, "settings": {}}
    if name.lower() == "emt" and proxies:
        calculator["proxy"] = proxies[0]
    kept |= {"calculator": calculator, "dispersion": False, "with_oxygen": oxides}
    return study.model_copy(update={"levels": {**study.levels, level: kept}})
