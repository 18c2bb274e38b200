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
