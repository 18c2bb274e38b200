"""Before anything is computed: init, check, plan, match."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

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
    read_study,
    say,
)
from adhesion.errors import EXIT_BAD_INPUT, InputError, nearest


@app.command()
def init(
    path: Annotated[
        Path | None, typer.Argument(help="File to write.", show_default="study.yaml")
    ] = None,
    source: Annotated[str, typer.Option("--from", help="Study to start from.")] = "template",
    machine: Annotated[
        str | None, typer.Option(help="Write a machine file: laptop, workstation, slurm, ...")
    ] = None,
) -> None:
    """Write a commented study file, or a machine file."""
    from adhesion.files import write_text
    from adhesion.study import data_path

    if machine is not None:
        return _init_machine(machine, path or Path(f"{machine}.yaml"))
    path = path or Path("study.yaml")
    folder = data_path("configs", "studies")
    known = {p.stem: p for p in folder.glob("*.yaml")}
    if source not in known:
        raise InputError(f"no study {source!r} to start from", hint=nearest(source, known))
    if path.exists():
        raise InputError("is already there", where=str(path), hint="choose another name")
    write_text(path, known[source].read_text(encoding="utf-8"))
    say(f"wrote {path}; next: adhesion plan {shlex.quote(str(path))} --level smoke")
    return None


def _init_machine(name: str, path: Path) -> None:
    """Write a machine file; for jobflow-remote its project file as well."""
    from adhesion.files import write_text
    from adhesion.study import data_path

    known = {p.stem: p for p in data_path("configs", "machines").glob("*.yaml")}
    if name not in known:
        raise InputError(f"no machine {name!r}", where="--machine", hint=nearest(name, known))
    if path.exists():
        raise InputError("is already there", where=str(path), hint="choose another name")
    if name == "jobflow-remote":
        from adhesion.cluster.remote import write_project

        project = write_project(path.parent)
        say(f"wrote {project}; fill it in and move it to ~/.jfremote")
    write_text(path, known[name].read_text(encoding="utf-8"))
    say(f"wrote {path}; next: adhesion check --machine {shlex.quote(str(path))}")


@app.command()
def check(
    study: Annotated[
        Path | None, typer.Argument(help="Study file (YAML).", metavar="STUDY")
    ] = None,
    level: LevelName = "quick",
    store: StoreFolder = STORE,
    machine: MachineFile = None,
    wait: Annotated[
        float, typer.Option(min=1, help="With --machine: how long the queue may take, s.")
    ] = 900.0,
    allow_calculator: Allow = None,
) -> None:
    """Say what is installed and whether a study can run: here, or on a worker of the queue."""
    allowed = set(allow_calculator or ())
    if machine is not None:
        from adhesion.cluster.worker import check_worker
        from adhesion.study import load_machine

        there = load_machine(machine)
        allowed |= set(there.allow_calculators)
        lines = check_worker(there, store, study, level, allowed, wait)
    else:
        from adhesion.checks import environment, study_lines

        lines = environment(store)
        if study is not None:
            lines += study_lines(study, level, allowed)
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
    loaded = read_study(study)

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
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Only cells that no other beats in atoms and strain.")
    ] = False,
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
        front=pareto,
    )
    typer.echo(json.dumps(rows, indent=1) if as_json else match_text(rows))


@app.command()
def faces(
    material: Annotated[str, typer.Argument(help="Material name or CIF file.")],
    miller: Annotated[str, typer.Option(help="As 0,0,1.")] = "0,0,1",
    as_json: AsJson = False,
) -> None:
    """List the terminations of a crystal plane: what they expose, break, and carry as dipole."""
    from adhesion.report.plans import crystal_text, faces_data, faces_text

    rows = faces_data(material, _miller(miller, "--miller"))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        typer.echo(f"{crystal_text(material)}\n{faces_text(rows)}")


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
