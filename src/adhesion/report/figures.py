"""The figure of a study: works of adhesion and contact angles beside what is known."""

from __future__ import annotations

import textwrap
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from adhesion.errors import InputError
from adhesion.report.angles import Tension, tensions_of
from adhesion.report.drawing import (
    COLUMN_WIDTH_IN,
    FULL_WIDTH_IN,
    handle,
    kind_of,
    legend_above,
    plain,
    rendered,
    styled,
    write_bytes,
)
from adhesion.report.studies import as_list, in_order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from adhesion.report.studies import Studies
    from adhesion.schemas import AdhesionRow, ContactAngle

# Each smaller than the one before, so that equal angles do not hide each other.
TENSION_MARKERS = (("o", 7.0), ("s", 4.0), ("^", 3.0), ("D", 2.0), ("v", 1.5))
LINES = ("-", "--", "-.", ":")
WORKS = {
    "W_ad": ("o", r"$W_\mathrm{ad}$"),
    "W_curve": ("^", r"$W_\mathrm{curve}$"),
}


def adhesion_figure(rows: Sequence[AdhesionRow], studies: Studies, path: Path) -> None:
    """Draw W of each interface beside the published one, and angles against measured ones.

    Left: W_ad, else W_curve (another marker), in J/m2, and the published W_ad. Right, if any
    angle was measured: predicted against measured contact angle in degrees, one marker for
    each surface tension; bounds (0 and 180 degrees) carry arrows. Proxies are never drawn.

    Parameters
    ----------
    rows : sequence of AdhesionRow
        One row for each interface; see `choose_level`.
    studies : Study or sequence of Study
        For the order of the interfaces.
    path : Path
        Ends in .png or .pdf. The same rows give the same bytes.

    Raises
    ------
    InputError
        If the path ends otherwise or no row has a number of the real elements.
    SetupError
        If the file cannot be written.
    """
    kind = kind_of(path)
    drawn = drawable(rows, studies)
    if not drawn:
        raise InputError(
            "no interface has a work of adhesion to draw",
            where=as_list(studies)[0].where,
            hint="compute one first, with real elements: adhesion run",
        )
    with styled():
        data = rendered(_figure(drawn), kind)
    write_bytes(path, data)


def drawable(rows: Sequence[AdhesionRow], studies: Studies) -> list[AdhesionRow]:
    """Rows that have a W of the real elements, in the order of the studies."""
    return [row for row in in_order(rows, studies) if not row.proxy and _work(row) is not None]


def works_figure(rows: list[AdhesionRow]) -> Figure:
    """Draw W of this work, with its error where one is known, beside the published one."""
    figure = Figure(figsize=(COLUMN_WIDTH_IN, _height(rows, least=1.6)), layout="constrained")
    _draw_works(figure.subplots(), rows, _colours(rows))
    return figure


def angles_figure(rows: list[AdhesionRow]) -> Figure | None:
    """Draw predicted against measured angles; None if no row has both."""
    colours = _colours(rows)
    rows = _with_both_angles(rows)
    if not rows:
        return None
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 3.6 + _legend_height(rows)), layout="constrained")
    axes = figure.subplots()
    _draw_angles(axes, rows, colours)
    figure.legend(handles=_angle_handles(rows), loc="outside upper center", ncols=2)
    _legend_of_rows(figure, rows, colours)
    return figure


def cosine_figure(rows: list[AdhesionRow]) -> Figure | None:
    """Draw cos theta against W: a line of slope 1/sigma for each tension; None without angles."""
    colours = _colours(rows)
    rows = [row for row in rows if row.contact_angles]
    if not rows:
        return None
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 3.0 + _legend_height(rows)), layout="constrained")
    axes = figure.subplots()
    tensions = tensions_of(rows)
    highest = max(W for row in rows for _, W in [_work(row) or ("", 0.0)])
    fixed = [t for t in tensions if t.sigma_J_m2 is not None]
    right = 1.15 * max([highest, *(2 * t.sigma_J_m2 for t in fixed if t.sigma_J_m2)])
    works = np.linspace(0.0, right, 400)
    handles: list[Any] = []
    for tension, line in zip(fixed, cycle(LINES), strict=False):
        assert tension.sigma_J_m2 is not None
        cosines = np.clip(works / tension.sigma_J_m2 - 1, -1, 1)
        label = rf"({tension.letter}) $\sigma$ = {tension.sigma_J_m2:.4f} J/m²"
        handles += axes.plot(works, cosines, linestyle=line, color="0.45", label=label, zorder=1)
    for row in rows:
        _draw_cosines(axes, row, tensions, colours[_id(row)])
    axes.set_xlim(min(0.0, *(W for r in rows for _, W in [_work(r) or ("", 0.0)])), right)
    axes.set_ylim(-1.15, 1.15)
    axes.set_xlabel("Work of adhesion (J/m²)")
    axes.set_ylabel(r"$\cos\,\theta$")
    axes.grid()
    handles += [
        handle(shape, f"({tension.letter}) {_sigma(tension)}", size=size)
        for tension, (shape, size) in _marked(tensions)
        if tension.sigma_J_m2 is None
    ]
    if any(row.theta_measured_deg is not None for row in rows):
        handles.append(handle("x", "measured angle"))
    legend_above(axes, handles, ncols=2)
    _legend_of_rows(figure, rows, colours)
    return figure


def _draw_cosines(axes: Any, row: AdhesionRow, tensions: list[Tension], colour: str) -> None:
    """Mark the row's W on each line, and its measured angle at the same W."""
    found = _work(row)
    if found is None:
        return
    W_J_m2 = found[1]
    for tension, marker in _marked(tensions):
        angle = tension.angle_of(row)
        if angle is not None:
            cosine = np.cos(np.radians(angle.theta_deg))
            _mark(axes, (W_J_m2, cosine), marker, colour, angle.from_quantity == "W_ad")
    if row.theta_measured_deg is not None:
        cosine = np.cos(np.radians(row.theta_measured_deg))
        halo = withStroke(linewidth=2.2, foreground="white")
        axes.plot(
            W_J_m2, cosine, "x", color=colour, markeredgewidth=1.2, zorder=20, path_effects=[halo]
        )


def _legend_of_rows(
    figure: Figure, rows: list[AdhesionRow], colours: dict[tuple[str | None, str, str], str]
) -> None:
    """Say below the panel which colour is which interface."""
    labels, ncols = _labels(rows)
    entries = [
        Line2D([], [], linestyle="", marker="o", color=colours[_id(row)], label=label)
        for row, label in zip(rows, labels, strict=True)
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=ncols)


def _labels(rows: list[AdhesionRow]) -> tuple[list[str], int]:
    """Names of rows in lines that fit a column's width, and in how many columns they stand."""
    names = [" ".join(parts) for parts in _names(rows)]
    ncols = 2 if max(len(name) for name in names) <= 28 else 1
    return [textwrap.fill(name, 52) for name in names], ncols


def _legend_height(rows: list[AdhesionRow]) -> float:
    """Height of the legend of the rows, inches."""
    labels, ncols = _labels(rows)
    return 0.15 * sum(label.count("\n") + 1 for label in labels) / ncols


def _figure(rows: list[AdhesionRow]) -> Figure:
    with_angles = _with_both_angles(rows)
    width = FULL_WIDTH_IN if with_angles else COLUMN_WIDTH_IN
    figure = Figure(figsize=(width, _height(rows)), layout="constrained")
    colours = _colours(rows)
    left, right = figure.subplots(1, 2) if with_angles else (figure.subplots(), None)
    _draw_works(left, rows, colours)
    if right is not None:
        _draw_angles(right, with_angles, colours)
        legend_above(right, _angle_handles(with_angles))
    return figure


def _height(rows: list[AdhesionRow], least: float = 3.0) -> float:
    """Room for the names of the rows, inches."""
    lines = sum(name.count("\n") + 1 for name in _ticks(rows))
    return max(least, 0.9 + 0.12 * len(rows) + 0.12 * lines)


def _with_both_angles(rows: list[AdhesionRow]) -> list[AdhesionRow]:
    return [r for r in rows if r.contact_angles and r.theta_measured_deg is not None]


def _id(row: AdhesionRow) -> tuple[str | None, str, str]:
    return row.study, row.interface, row.level


def _colours(rows: list[AdhesionRow]) -> dict[tuple[str | None, str, str], str]:
    """One colour for each row; they come round again where there are more rows than colours."""
    colours = cycle(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"])
    return dict(zip(map(_id, rows), colours, strict=False))


def _work(row: AdhesionRow) -> tuple[str, float] | None:
    """Return the name and value of the W that stands for a row, W_ad before W_curve, J/m2."""
    if row.W_ad_J_m2 is not None:
        return "W_ad", row.W_ad_J_m2
    return None if row.W_curve_J_m2 is None else ("W_curve", row.W_curve_J_m2)


def _draw_works(
    axes: Any, rows: list[AdhesionRow], colours: dict[tuple[str | None, str, str], str]
) -> None:
    """One line for each interface: W of this work and, hollow, the published one."""
    used = set()
    for y, row in enumerate(rows):
        found = _work(row)
        if found is None:
            continue
        name, W_J_m2 = found
        used.add(name)
        published = row.W_ad_reference_J_m2
        if published is not None:
            used.add("published")
            axes.plot([published, W_J_m2], [y, y], color="0.8", linewidth=1, zorder=1)
            axes.plot(published, y, "D", color="black", markerfacecolor="white", zorder=2)
        axes.errorbar(
            W_J_m2,
            y,
            xerr=row.W_ad_error_J_m2,
            capsize=2,
            marker=WORKS[name][0],
            color=colours[_id(row)],
            zorder=3,
        )
    axes.set_yticks(range(len(rows)), _ticks(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("Work of adhesion (J/m²)")
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.grid(axis="x")
    handles = [handle(*WORKS[name]) for name in WORKS if name in used]
    if "published" in used:
        handles.append(handle("D", "published", markerfacecolor="white"))
    legend_above(axes, handles)


def _names(rows: list[AdhesionRow]) -> list[list[str]]:
    """Interface of each row; study and level too where that tells rows apart.

    The level also stands there where rows are of several levels.
    """
    names = []
    for row in rows:
        parts = [plain(row.interface)]
        same = [other for other in rows if other.interface == row.interface]
        if len({other.study for other in same}) > 1:
            parts.append(plain(str(row.study)))
        if len({other.level for other in rows}) > 1:
            parts.append(plain(row.level))
        names.append(parts)
    return names


def _ticks(rows: list[AdhesionRow]) -> list[str]:
    """Film above substrate, study and level, in short lines."""
    ticks = []
    for interface, *more in _names(rows):
        film, slash, substrate = interface.partition("/")
        lines = [film + slash, substrate, *more]
        ticks.append("\n".join(textwrap.fill(line, 20) for line in lines if line))
    return ticks


def _marked(tensions: list[Tension]) -> list[tuple[Tension, tuple[str, float]]]:
    """Give each tension its marker and size."""
    return list(zip(tensions, cycle(TENSION_MARKERS), strict=False))


def _draw_angles(
    axes: Any, rows: list[AdhesionRow], colours: dict[tuple[str | None, str, str], str]
) -> None:
    """Predicted against measured angles, with the diagonal on which they agree."""
    axes.plot([0, 180], [0, 180], color="0.6", linewidth=0.8, linestyle="--", zorder=1)
    for row in rows:
        for tension, marker in _marked(tensions_of(rows)):
            angle = tension.angle_of(row)
            if angle is not None:
                _draw_angle(axes, row, angle, marker, colours[_id(row)])
    axes.set_xlabel("Measured contact angle (°)")
    axes.set_ylabel("Predicted contact angle (°)")
    axes.set_xlim(-18, 198)
    axes.set_ylim(-18, 198)
    axes.set_xticks(range(0, 181, 30))
    axes.set_yticks(range(0, 181, 30))
    axes.set_aspect("equal")
    axes.grid()


def _angle_handles(rows: list[AdhesionRow]) -> list[Any]:
    """Legend entries of `_draw_angles`: a marker for each tension, hollow if all of them are."""
    origins = {a.from_quantity for row in rows for a in row.contact_angles}
    face = "0.4" if "W_ad" in origins else "white"
    handles = [
        handle(shape, _sigma(tension), markerfacecolor=face, size=size)
        for tension, (shape, size) in _marked(tensions_of(rows))
    ]
    if "W_curve" in origins:
        handles.append(handle("", r"hollow: from $W_\mathrm{curve}$"))
    return handles


def _sigma(tension: Tension) -> str:
    if tension.sigma_J_m2 is None:
        return r"own $\gamma$ of the film"
    return rf"$\sigma$ = {tension.sigma_J_m2:.4f} J/m²"


def _draw_angle(
    axes: Any, row: AdhesionRow, angle: ContactAngle, marker: tuple[str, float], colour: str
) -> None:
    measured, predicted = row.theta_measured_deg, angle.theta_deg
    _mark(axes, (measured, predicted), marker, colour, angle.from_quantity == "W_ad")
    if angle.theta_low_deg is not None and angle.theta_high_deg is not None:
        # As wide as its marker, to tell the tensions' bars apart.
        below, above = predicted - angle.theta_low_deg, angle.theta_high_deg - predicted
        axes.errorbar(
            measured, predicted, yerr=[[max(below, 0)], [max(above, 0)]], fmt="none",
            ecolor=colour, capsize=marker[1] / 2, zorder=2,
        )  # fmt: skip
    # Angles end at 0 and 180 degrees, the W behind them do not: an arrow points out.
    if angle.regime != "partial":
        _arrow(axes, (measured, predicted), (0, -1 if predicted == 0 else 1), colour)
    if measured in (0, 180):
        _arrow(axes, (measured, predicted), (-1 if measured == 0 else 1, 0), colour)


def _mark(axes: Any, place: Any, marker: tuple[str, float], colour: str, filled: bool) -> None:
    """Draw a marker, the smaller the higher, filled or hollow."""
    shape, size = marker
    # White edges keep a marker apart from the larger one behind it.
    edge, face = ("white", colour) if filled else (colour, "white")
    axes.plot(
        *place, shape, markersize=size, markerfacecolor=face, markeredgecolor=edge,
        markeredgewidth=0.8, zorder=10 - size / 2,
    )  # fmt: skip


def _arrow(axes: Any, start: Any, direction: tuple[int, int], colour: str) -> None:
    axes.annotate(
        "",
        xytext=start,
        xy=(start[0] + 15 * direction[0], start[1] + 15 * direction[1]),
        arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 0.9},
        zorder=2,
    )
