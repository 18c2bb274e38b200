"""All figures of a report, by name, and as files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adhesion.errors import InputError
from adhesion.report.curves import curve_figure, ladder_figure, registry_figure
from adhesion.report.drawing import FILES, rendered, styled, write_bytes
from adhesion.report.figures import angles_figure, cosine_figure, drawable, works_figure
from adhesion.report.sideviews import side_figure
from adhesion.report.studies import as_list, of_several

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from adhesion.report.collect import Case
    from adhesion.report.studies import Studies

OVERALL = {
    "works": "Work of adhesion, this work and published",
    "angles": "Predicted against measured contact angles",
    "cosines": "cos θ against W",
}
SINGLE = {
    "side": "Structure from the side",
    "curve": "Binding curve",
    "registries": "Registries",
    "ladder": "Convergence ladder",
}


def slugs(cases: list[Case]) -> list[str]:
    """Return a distinct name for each case that any file system takes, as 'na001-pb001'."""
    several = of_several([case.row for case in cases])
    found: list[str] = []
    for case in cases:
        row = case.row
        words = [row.study or "", row.interface] if several else [row.interface]
        slug = "-".join(re.findall(r"[a-z0-9]+", _flat(" ".join(words)))) or "interface"
        n = sum(1 for other in found if other == slug or other.startswith(f"{slug}--"))
        found.append(f"{slug}--{n + 1}" if n else slug)
    return found


def _flat(text: str) -> str:
    return text.lower().replace("(", "").replace(")", "")


def overall_figures(cases: list[Case], studies: Studies) -> dict[str, Figure]:
    """Return the figures of all rows together, by the keys of `OVERALL`; proxies are left out."""
    rows = drawable([case.row for case in cases], studies)
    if not rows:
        return {}
    made = {
        "works": works_figure(rows),
        "angles": angles_figure(rows),
        "cosines": cosine_figure(rows),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def single_figures(case: Case) -> dict[str, Figure]:
    """Return the figures of one interface, by the keys of `SINGLE`."""
    made = {
        "side": side_figure(case),
        "curve": curve_figure(case),
        "registries": registry_figure(case),
        "ladder": ladder_figure(case.ladder),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def draw_all(cases: list[Case], studies: Studies, folder: Path) -> list[Path]:
    """Draw every figure as PDF and PNG.

    Returns
    -------
    list of Path
        The files. The same data gives the same bytes.

    Raises
    ------
    InputError
        If nothing was computed that could be drawn.
    SetupError
        If a file cannot be written.
    """
    with styled():
        figures = overall_figures(cases, studies)
        for case, slug in zip(cases, slugs(cases), strict=True):
            figures |= {f"{name}-{slug}": f for name, f in single_figures(case).items()}
        if not figures:
            raise InputError(
                "nothing was computed that could be drawn",
                where=as_list(studies)[0].where,
                hint="compute it first: adhesion run",
            )
        written = []
        for name, figure in figures.items():
            for kind in FILES:
                path = folder / f"{name}.{kind}"
                write_bytes(path, rendered(figure, kind))
                written.append(path)
    return written
