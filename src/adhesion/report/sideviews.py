"""The structure of an interface from the side, with film, substrate and gap marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adhesion.report.drawing import COLUMN_WIDTH_IN, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adhesion.report.collect import Case
    from adhesion.schemas import Geometry
    from adhesion.study import InterfaceSpec

RADIUS = 0.75
"""Of an atom, in covalent radii."""
LABEL_A = 9.5
"""Room for the labels right of the atoms."""
LABELS_APART_IN = 0.23
"""Between the middles of two labels, one of them of two lines."""
WIDTH_A = 11.0
"""The cell is repeated along its first vector until it is this wide."""


@dataclass(frozen=True)
class Side:
    """Which atoms are one side, and between which heights they lie, Å."""

    name: str
    low_A: float
    high_A: float


@dataclass(frozen=True)
class Structure:
    """The interface behind a row's W: relaxed where that is done, else the best rigid one.

    Attributes
    ----------
    geometry : Geometry
    film_indices : list of int
    relaxed : bool
    """

    geometry: Geometry
    film_indices: list[int]
    relaxed: bool

    @property
    def heights(self) -> tuple[Side, Side]:
        """Film and substrate."""
        z = np.asarray(self.geometry.positions_A)[:, 2]
        film = np.isin(np.arange(len(z)), self.film_indices)
        sides = ((name, z[chosen]) for name, chosen in (("film", film), ("substrate", ~film)))
        made = [Side(name, float(h.min()), float(h.max())) for name, h in sides]
        return made[0], made[1]

    @property
    def gap_A(self) -> float:
        """Lowest film atom minus highest substrate atom, Å; below zero where they mix."""
        film, substrate = self.heights
        return film.low_A - substrate.high_A


def structure_of(case: Case) -> Structure | None:
    """Return the interface behind a row's W, or None where nothing is done."""
    for document, relaxed in ((case.interface, True), (case.curve, False)):
        if document is not None and document.geometry is not None:
            inside = 0 < len(document.film_indices) < len(document.geometry.symbols)
            if inside:
                return Structure(document.geometry, document.film_indices, relaxed)
    return None


def side_figure(case: Case) -> Figure | None:
    """Draw the interface from the side, along the second cell vector; None where not done."""
    structure = structure_of(case)
    if structure is None:
        return None
    atoms = _repeated(structure.geometry)
    z = np.asarray(structure.geometry.positions_A)[:, 2]
    wide, tall = float(np.ptp(atoms.x)), float(np.ptp(z))
    figure = Figure(
        figsize=(COLUMN_WIDTH_IN, float(np.clip(COLUMN_WIDTH_IN * (tall + 6) / (wide + 12), 2, 5))),
        layout="constrained",
    )
    axes = figure.subplots()
    _draw_atoms(axes, atoms)
    left, right = float(atoms.x.min()) - 2.0, float(atoms.x.max()) + 2.0
    end = right + LABEL_A
    apart = LABELS_APART_IN * (end - left) / COLUMN_WIDTH_IN
    _mark(axes, structure, case.plan.spec, right, apart)
    axes.set_xlim(left, end)
    axes.set_ylim(float(z.min()) - 2.5, float(z.max()) + 2.5)
    axes.set_aspect("equal")
    axes.set_axis_off()
    symbols = sorted(set(structure.geometry.symbols))
    entries = [
        Line2D([], [], linestyle="", marker="o", markersize=6, label=symbol,
               markerfacecolor=jmol_colors[atomic_numbers[symbol]], color="black",
               markeredgewidth=0.5)
        for symbol in symbols
    ]  # fmt: skip
    axes.legend(handles=entries, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(symbols))
    return figure


@dataclass(frozen=True)
class _Atoms:
    """Atoms as seen: across, up, nearer, with their radius and colour."""

    x: NDArray[np.float64]
    z: NDArray[np.float64]
    near: NDArray[np.float64]
    radius: NDArray[np.float64]
    colour: NDArray[np.float64]


def _repeated(geometry: Geometry) -> _Atoms:
    """Repeat the cell along its first vector, with the atoms at its edge once more."""
    cell = np.asarray(geometry.cell_A)
    positions = np.asarray(geometry.positions_A)
    planar = cell.copy()
    planar[2] = (0, 0, 1)
    fractions = np.linalg.solve(planar.T, positions.T).T
    fractions[:, :2] %= 1.0
    numbers = np.array([atomic_numbers[s] for s in geometry.symbols])
    length = float(np.linalg.norm(cell[0]))
    times = max(1, int(np.ceil(WIDTH_A / length)))
    shown, kinds = [], []
    for i in range(times + 1):
        moved = fractions + np.array([i, 0, 0])
        inside = moved[:, 0] <= times + 1e-6
        shown.append(moved[inside])
        kinds.append(numbers[inside])
    across = cell[0] / length
    deep = np.cross([0.0, 0.0, 1.0], across)
    places = np.concatenate(shown) @ planar
    kind = np.concatenate(kinds)
    return _Atoms(
        x=places @ across,
        z=places[:, 2],
        near=-places @ deep,
        radius=RADIUS * covalent_radii[kind],
        colour=jmol_colors[kind],
    )


def _draw_atoms(axes: Any, atoms: _Atoms) -> None:
    back_to_front = np.lexsort((atoms.x, atoms.z, atoms.near.round(6)))
    diameters = 2 * atoms.radius[back_to_front]
    axes.add_collection(
        EllipseCollection(
            diameters, diameters, np.zeros_like(diameters), units="xy",
            offsets=np.column_stack((atoms.x, atoms.z))[back_to_front],
            offset_transform=axes.transData, facecolors=atoms.colour[back_to_front],
            edgecolors="black", linewidths=0.4, zorder=2,
        )
    )  # fmt: skip


def _mark(axes: Any, structure: Structure, spec: InterfaceSpec, x: float, apart: float) -> None:
    """Mark film, gap and substrate right of the atoms, labels at least `apart` Å apart."""
    film, substrate = structure.heights
    middle = (substrate.high_A + film.low_A) / 2
    places = {
        "film": max((film.low_A + film.high_A) / 2, middle + apart),
        "substrate": min((substrate.low_A + substrate.high_A) / 2, middle - apart),
    }
    for side, label in ((film, spec.film.label), (substrate, spec.substrate.label)):
        half = max(side.high_A - side.low_A, 0.6) / 2
        centre = (side.low_A + side.high_A) / 2
        low, high = centre - half, centre + half
        axes.plot([x - 0.4, x, x, x - 0.4], [low, low, high, high], color="0.2", linewidth=0.8)
        _beside(axes, places[side.name], x, f"{side.name}\n{plain(label)}")
    gap = structure.gap_A
    kind = "relaxed" if structure.relaxed else "rigid"
    if gap > 0:
        axes.axhspan(substrate.high_A, film.low_A, color="#E69F00", alpha=0.25, zorder=0)
        _beside(axes, middle, x, f"gap {gap:.2f} Å, {kind}")
    else:
        _beside(axes, middle, x, f"no gap, {kind}: sides mix")


def _beside(axes: Any, z: float, x: float, label: str) -> None:
    axes.text(x + 0.6, z, label, ha="left", va="center", fontsize=7)
