"""Figures of one interface's energies: binding curve, registry map, convergence ladder."""

from __future__ import annotations

import textwrap
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from adhesion.energetics import BindingCurve, fit_binding_curve, work_of_adhesion
from adhesion.errors import AdhesionError
from adhesion.report.drawing import COLUMN_WIDTH_IN, legend_above, plain

if TYPE_CHECKING:
    from adhesion.convergence import Ladder
    from adhesion.report.collect import Case
    from adhesion.schemas import CurveDocument

Registry = tuple[float, float]
MARKERS = "osD^v<>P"
PARAMETERS = {"kpoints": "k-points"}
TAIL_A = 2.5
"""How far the fit is drawn beyond the last gap, Å."""


def works_by_registry(curve: CurveDocument) -> dict[Registry, list[tuple[float, float]]]:
    """Return (gap in Å, W in J/m2) of each registry by rising gap; the best registry first."""
    assert curve.film is not None
    assert curve.substrate is not None
    assert curve.area_A2 is not None
    apart, area = (curve.film.energy_eV, curve.substrate.energy_eV), curve.area_A2
    found: dict[Registry, list[tuple[float, float]]] = {}
    for point in curve.points:
        W = work_of_adhesion(*apart, point.energy.energy_eV, area)
        found.setdefault(point.registry, []).append((point.gap_A, W))
    best_first = sorted(found, key=lambda r: -max(W for _, W in found[r]))
    return {registry: sorted(found[registry]) for registry in best_first}


def fit_of(curve: CurveDocument) -> tuple[BindingCurve | None, str]:
    """Fit the best registry; return the fit, or None with the reason why there is none."""
    assert curve.film is not None
    assert curve.substrate is not None
    assert curve.area_A2 is not None
    best = min(curve.points, key=lambda p: p.energy.energy_eV).registry
    points = [p for p in curve.points if p.registry == best]
    gaps = [p.gap_A for p in points]
    energies = [p.energy.energy_eV for p in points]
    apart = curve.film.energy_eV + curve.substrate.energy_eV
    try:
        return fit_binding_curve(gaps, energies, curve.area_A2, apart), ""
    except AdhesionError as error:
        return None, error.what


def curve_figure(case: Case) -> Figure | None:
    """Draw energy against gap, relative to the sides apart, with its fit; None without points.

    One marker for each registry; the fit is the universal binding relation through the best.
    The relaxed interface is a line at -W_ad.
    """
    curve = case.curve
    if curve is None:
        return None
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="0.6", linewidth=0.6)
    by_registry = works_by_registry(curve)
    for (registry, points), marker in zip(by_registry.items(), cycle(MARKERS), strict=False):
        gaps, works = np.transpose(points)
        label = f"registry {registry[0]:.2f}, {registry[1]:.2f}"
        axes.plot(gaps, -works, marker, label=label, zorder=3)
    fit, reason = fit_of(curve)
    gaps = np.array([gap for points in by_registry.values() for gap, _ in points])
    if fit is not None:
        line = np.linspace(gaps.min(), gaps.max() + TAIL_A, 300)
        label = f"fit: {fit.W_J_m2:.2f} J/m² at {fit.gap_A:.2f} Å"
        axes.plot(line, -fit.work_at(line), color="0.3", label=label, zorder=2)
    else:
        axes.plot([], [], " ", label=textwrap.fill(f"no fit: {_short(reason)}", 60))
    if case.row.W_ad_J_m2 is not None:
        label = rf"relaxed: $W_\mathrm{{ad}}$ = {case.row.W_ad_J_m2:.2f} J/m²"
        axes.axhline(-case.row.W_ad_J_m2, color="0.3", linestyle="--", label=label)
    axes.set_xlabel("Gap (Å)")
    axes.set_ylabel("Energy, sides apart = 0 (J/m²)")
    axes.margins(x=0.08, y=0.12)
    axes.grid()
    legend_above(axes, axes.get_legend_handles_labels()[0], ncols=2 if fit else 1)
    return figure


def _short(reason: str, limit: int = 110) -> str:
    reason = plain(reason)
    return reason if len(reason) <= limit else reason[: limit - 1] + "…"


def registry_figure(case: Case) -> Figure | None:
    """Draw W over the registries in the common cell; None unless two or more were computed.

    Each registry is the film's shift; its colour and number are the best W found at it.
    Points on the edge of the cell are repeated at the opposite edge.
    """
    curve = case.curve
    if curve is None or curve.geometry is None:
        return None
    best = {r: max(W for _, W in points) for r, points in works_by_registry(curve).items()}
    if len(best) < 2:
        return None
    cell = np.asarray(curve.geometry.cell_A)[:2, :2]
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 3.2), layout="constrained")
    axes = figure.subplots()
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) @ cell
    axes.plot(*corners.T, color="0.6", linewidth=0.8, zorder=1)
    shifts, works = _in_cell(best)
    places = shifts @ cell
    dots = axes.scatter(
        places[:, 0],
        places[:, 1],
        c=works,
        cmap="cividis",
        s=90,
        edgecolors="black",
        linewidths=0.5,
        zorder=2,
    )
    for place, W in zip(places, works, strict=True):
        axes.annotate(
            f"{W:.3f}", place, xytext=(0, 7), textcoords="offset points",
            ha="center", va="bottom", fontsize=6.5,
        )  # fmt: skip
    axes.set_aspect("equal")
    axes.margins(0.15)
    axes.set_xlabel("Shift of the film along x (Å)")
    axes.set_ylabel("Shift of the film along y (Å)")
    figure.colorbar(dots, ax=axes, label=r"best rigid $W$ (J/m²)", shrink=0.8)
    return figure


def _in_cell(best: dict[Registry, float]) -> tuple[Any, Any]:
    """Fractional shifts in [0, 1] with those on an edge repeated, and their W."""
    shifts, works = [], []
    for registry, W in best.items():
        u, v = (x % 1.0 for x in registry)
        for du in (0, 1) if np.isclose(u, 0) else (0,):
            for dv in (0, 1) if np.isclose(v, 0) else (0,):
                shifts.append((u + du, v + dv))
                works.append(W)
    return np.array(shifts), np.array(works)


def ladder_figure(ladder: Ladder | None) -> Figure | None:
    """Draw W at each rung of each parameter less W at the level; None without a rung."""
    if ladder is None:
        return None
    parameters = [p for p in ladder.foot if any(r.W_J_m2 is not None for r in ladder.of(p))]
    if not parameters:
        return None
    from adhesion.convergence import shown

    height = 1.2 + 0.75 * len(parameters)
    figure = Figure(figsize=(COLUMN_WIDTH_IN, height), layout="constrained")
    panels = figure.subplots(len(parameters), 1, sharey=True, squeeze=False)[:, 0]
    for axes, parameter in zip(panels, parameters, strict=True):
        rungs = [r for r in ladder.of(parameter) if r.W_J_m2 is not None]
        values = [ladder.foot[parameter], *(r.value for r in rungs)]
        changes = [0.0, *((r.W_J_m2 or 0.0) - ladder.W_J_m2 for r in rungs)]
        axes.axhspan(-ladder.tolerance_J_m2, ladder.tolerance_J_m2, color="0.92", zorder=0)
        good = ladder.converged(parameter)
        axes.plot(range(len(values)), changes, "o-", markerfacecolor=None if good else "white")
        axes.set_xticks(range(len(values)), [shown(parameter, v) for v in values])
        name = PARAMETERS.get(parameter, parameter.replace("_", " "))
        axes.set_title(name + ("" if good else ", not converged"), pad=3)
        axes.margins(x=0.1, y=0.25)
        axes.grid(axis="y")
    figure.supylabel(r"$W_\mathrm{curve}$ less that of the level (J/m²)", fontsize=8)
    band = Patch(color="0.92", label=f"tolerance ±{ladder.tolerance_J_m2:g} J/m²")
    figure.legend(handles=[band], loc="outside lower center")
    return figure
