"""The figure of a study: works of adhesion and contact angles beside what is known."""

from __future__ import annotations

import io
import textwrap
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adhesion.errors import InputError, SetupError
from adhesion.report.tables import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adhesion.schemas import AdhesionRow, ContactAngle
    from adhesion.study import Study

STYLE = Path(__file__).with_name("adhesion.mplstyle")
COLUMN_WIDTH_IN = 3.4
FULL_WIDTH_IN = 7.0
# Nothing that differs from one run to the next.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
}
# Each smaller than the one before, so that equal angles do not hide each other.
TENSION_MARKERS = (("o", 7.0), ("s", 4.0), ("^", 3.0), ("D", 2.0), ("v", 1.5))
WORKS = {
    "W_ad": ("o", r"$W_\mathrm{ad}$"),
    "W_curve": ("^", r"$W_\mathrm{curve}$"),
}


def adhesion_figure(rows: Sequence[AdhesionRow], study: Study, path: Path) -> None:
    """Draw W of each interface beside the published one, and angles against measured ones.

    Left: W_ad, else W_curve (another marker), in J/m2, and the published W_ad. Right, if any
    angle was measured: predicted against measured contact angle in degrees, one marker for
    each surface tension; bounds (0 and 180 degrees) carry arrows. Proxies are never drawn.

    Parameters
    ----------
    rows : sequence of AdhesionRow
        One row for each interface; see `choose_level`.
    study : Study
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
    kind = path.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        raise InputError(
            f"no figure can be written as {path.suffix or 'a file without an ending'}",
            where=str(path),
            hint="end its name in .png or .pdf",
        )
    drawn = [row for row in in_order(rows, study) if not row.proxy and _work(row) is not None]
    if not drawn:
        raise InputError(
            "no interface has a work of adhesion to draw",
            where=study.where,
            hint="compute one first, with real elements: adhesion run",
        )
    with style.context(["default", STYLE]):
        data = _rendered(_figure(drawn), kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise SetupError(f"cannot be written: {error.strerror or error}", where=str(path)) from None


def _rendered(figure: Figure, kind: str) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=METADATA[kind])
    return buffer.getvalue()


def _figure(rows: list[AdhesionRow]) -> Figure:
    with_angles = [r for r in rows if r.contact_angles and r.theta_measured_deg is not None]
    width = FULL_WIDTH_IN if with_angles else COLUMN_WIDTH_IN
    height = max(3.0, 1.1 + 0.32 * len(rows))
    figure = Figure(figsize=(width, height), layout="constrained")
    colours = dict(
        zip(
            (row.interface for row in rows),
            cycle(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]),
            strict=False,
        )
    )
    left, right = figure.subplots(1, 2) if with_angles else (figure.subplots(), None)
    _draw_works(left, rows, colours)
    if right is not None:
        _draw_angles(right, with_angles, colours)
    return figure


def _work(row: AdhesionRow) -> tuple[str, float] | None:
    """Return the name and value of the W that stands for a row, W_ad before W_curve, J/m2."""
    if row.W_ad_J_m2 is not None:
        return "W_ad", row.W_ad_J_m2
    return None if row.W_curve_J_m2 is None else ("W_curve", row.W_curve_J_m2)


def _draw_works(axes: Any, rows: list[AdhesionRow], colours: dict[str, str]) -> None:
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
            xerr=row.W_ad_error_J_m2 if name == "W_ad" else None,
            marker=WORKS[name][0],
            color=colours[row.interface],
            zorder=3,
        )
    axes.set_yticks(range(len(rows)), [_name(row.interface) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("Work of adhesion (J/m²)")
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.grid(axis="x")
    handles = [_handle(*WORKS[name]) for name in WORKS if name in used]
    if "published" in used:
        handles.append(_handle("D", "published", markerfacecolor="white"))
    _legend(axes, handles)


def _name(interface: str) -> str:
    """Film above substrate, short lines, and no '$' that would start a formula."""
    film, slash, substrate = interface.replace("$", r"\$").partition("/")
    return "\n".join(textwrap.fill(part, 20) for part in (film + slash, substrate))


def _draw_angles(axes: Any, rows: list[AdhesionRow], colours: dict[str, str]) -> None:
    """Predicted against measured angles, with the diagonal on which they agree."""
    angles = [angle for row in rows for angle in row.contact_angles]
    tensions = list(dict.fromkeys((a.sigma_J_m2, a.sigma_source) for a in angles))
    markers = dict(zip(tensions, cycle(TENSION_MARKERS), strict=False))
    axes.plot([0, 180], [0, 180], color="0.6", linewidth=0.8, linestyle="--", zorder=1)
    for row in rows:
        for angle in row.contact_angles:
            marker = markers[angle.sigma_J_m2, angle.sigma_source]
            _draw_angle(axes, row, angle, marker, colours[row.interface])
    axes.set_xlabel("Measured contact angle (°)")
    axes.set_ylabel("Predicted contact angle (°)")
    axes.set_xlim(-18, 198)
    axes.set_ylim(-18, 198)
    axes.set_xticks(range(0, 181, 30))
    axes.set_yticks(range(0, 181, 30))
    axes.set_aspect("equal")
    axes.grid()
    handles = [
        _handle(markers[key][0], rf"$\sigma$ = {key[0]:.4f} J/m²", size=markers[key][1])
        for key in tensions
    ]
    if any(a.from_quantity == "W_curve" for a in angles):
        label = r"hollow: from $W_\mathrm{curve}$"
        handles.append(_handle("", label))
    _legend(axes, handles)


def _draw_angle(
    axes: Any, row: AdhesionRow, angle: ContactAngle, marker: tuple[str, float], colour: str
) -> None:
    measured, predicted = row.theta_measured_deg, angle.theta_deg
    shape, size = marker
    # White edges keep a marker apart from the larger one behind it.
    edge, face = ("white", colour) if angle.from_quantity == "W_ad" else (colour, "white")
    axes.plot(
        measured, predicted, shape, markersize=size, markerfacecolor=face, markeredgecolor=edge,
        markeredgewidth=0.8, zorder=10 - size / 2,
    )  # fmt: skip
    # Angles end at 0 and 180 degrees, the W behind them do not: an arrow points out.
    if angle.regime != "partial":
        _arrow(axes, (measured, predicted), (0, -1 if predicted == 0 else 1), colour)
    if measured in (0, 180):
        _arrow(axes, (measured, predicted), (-1 if measured == 0 else 1, 0), colour)


def _arrow(axes: Any, start: Any, direction: tuple[int, int], colour: str) -> None:
    axes.annotate(
        "",
        xytext=start,
        xy=(start[0] + 15 * direction[0], start[1] + 15 * direction[1]),
        arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 0.9},
        zorder=2,
    )


def _handle(marker: str, label: str, markerfacecolor: str = "0.4", size: float = 5.0) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker=marker, markersize=size, color="0.2",
        markerfacecolor=markerfacecolor, label=label,
    )  # fmt: skip


def _legend(axes: Any, handles: list[Line2D]) -> None:
    """Above the panel, where no point can lie."""
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
