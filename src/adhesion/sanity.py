"""Checks that a number is of what it says it is of: pure functions on finished documents.

What cannot be right is refused with a `CalculationError`; what may be right, but which a
reader has to know, is returned as flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhesion.energetics import (
    EV_PER_A2_IN_J_M2,
    MIN_CURVE_POINTS,
    cell_area,
    fit_binding_curve,
)
from adhesion.errors import AdhesionError, CalculationError
from adhesion.schemas import CurveDocument, CurvePoint, Geometry, InterfaceDocument, SlabDocument

Floats = NDArray[np.float64]

SAME_PLACE_A = 1e-3
"""The curve is rigid: beyond rounding no atom may leave its place in the slab."""
SAME_AREA = 1e-4
"""Relative; W is per area."""
WALKED_A = 1.5
"""A side that moved, or split, by more than half a bond length is another structure."""
FLAT_A = 0.5
"""Sides thinner than this have no up and down."""
NOISE_J_M2 = 0.005
RESIDUAL_J_M2 = 0.01
RESIDUAL_OF_W = 0.05
"""A fit that misses its points by more (of W, and at least so much) is no binding curve."""

RELAXATION = "relaxation: "
"""How notes of a slab document begin that come from `relaxation_faults`."""


def require_same_slabs(curve: CurveDocument, slabs: Mapping[str, SlabDocument]) -> None:
    """Refuse a binding curve whose sides are not the slabs it was made of.

    Parameters
    ----------
    curve : CurveDocument
    slabs : mapping
        'film' and 'substrate' to their documents, as far as they are known.

    Raises
    ------
    CalculationError
        If a side has more, fewer or other atoms than its slab, or one that stands elsewhere;
        if the area is not that of the cell, or the slab was not relaxed to its criterion.
    """
    atoms = _geometry(curve)
    for side, indices in _sides(atoms, curve.film_indices).items():
        if side not in slabs or (slab := slabs[side].geometry) is None:
            continue
        _require_relaxed(slabs[side])
        symbols = [atoms.symbols[i] for i in indices]
        if symbols != slab.symbols:
            raise CalculationError(
                f"{curve.label}: the {side} of the interface ({_formula(symbols)}) is not its "
                f"slab ({_formula(slab.symbols)})"
            )
        moved = _largest_move(atoms, indices, slab)
        if moved > SAME_PLACE_A:
            raise CalculationError(
                f"{curve.label}: atoms of the {side} moved by up to {moved:.3f} Å between its "
                "slab and the interface, which is brought together rigidly"
            )


def require_same_interface(curve: CurveDocument, relaxed: InterfaceDocument) -> None:
    """Refuse a relaxed interface that is not of the atoms of its binding curve.

    Raises
    ------
    CalculationError
        If atoms are missing or others, or other ones count as the film; if the area is not
        that of the cell, or a force is left above the criterion.
    """
    _require_relaxed(relaxed)
    before, after = _geometry(curve), _geometry(relaxed)
    if before.symbols != after.symbols:
        raise CalculationError(
            f"{relaxed.label}: the relaxed interface ({_formula(after.symbols)}) is not that of "
            f"the binding curve ({_formula(before.symbols)})"
        )
    if sorted(curve.film_indices) != sorted(relaxed.film_indices):
        raise CalculationError(
            f"{relaxed.label}: the film of the relaxed interface ({len(relaxed.film_indices)} "
            f"atoms) is not that of the binding curve ({len(curve.film_indices)})"
        )


def doubts(
    curve: CurveDocument, relaxed: InterfaceDocument | None, slabs: Mapping[str, SlabDocument]
) -> list[str]:
    """Return what a reader of the row has to know about its structures and energies."""
    found = [
        f"{side} slab: {note.removeprefix(RELAXATION)}"
        for side, slab in slabs.items()
        for note in slab.notes
        if note.startswith(RELAXATION)
    ]
    found += other_states(curve)
    if relaxed is not None:
        before, after = _geometry(curve), _geometry(relaxed)
        sides = _sides(before, curve.film_indices)
        found += [f"interface: {fault}" for fault in relaxation_faults(before, after, sides)]
    return found


def relaxation_faults(
    before: Geometry, after: Geometry, sides: Mapping[str, list[int]] | None = None
) -> list[str]:
    """Say where a relaxation made another structure of what it was given.

    Parameters
    ----------
    before, after : Geometry
        The same atoms in the same order.
    sides : mapping, optional
        Name of each side to its atoms; the whole is 'slab' if left out.

    Returns
    -------
    list of str
        A side that turned over (its heights run the other way), split (a void opened
        in it), or walked away (from the other side, or through its cell), each by
        more than 1.5 Å.
    """
    sides = sides or {"slab": list(range(len(before.symbols)))}
    z0, z1 = (np.asarray(g.positions_A, float)[:, 2] for g in (before, after))
    found = []
    for side, indices in sides.items():
        old, new = z0[indices] - z0[indices].mean(), z1[indices] - z1[indices].mean()
        if np.ptp(old) > FLAT_A and float(old @ new) < 0:
            found.append(f"the {side} turned over")
        if _void(new) - _void(old) > WALKED_A:
            found.append(f"the {side} split, by {_void(new) - _void(old):.1f} Å")
    walked = _walked(z0, z1, list(sides.values()))
    if abs(walked) > WALKED_A:
        found.append(f"the {next(iter(sides))} walked away, by {abs(walked):.1f} Å")
    return found


def other_states(curve: CurveDocument) -> list[str]:
    """Say which points of a binding curve seem to have converged to another electronic state.

    Each registry's energies must fall into one well, and a universal binding relation must
    fit them (`adhesion.energetics.fit_binding_curve`) to 0.01 J/m2 and 5 % of W.
    """
    if curve.film is None or curve.substrate is None or not curve.area_A2:
        return []
    apart = curve.film.energy_eV + curve.substrate.energy_eV
    per_area = EV_PER_A2_IN_J_M2 / curve.area_A2
    found = []
    registries = dict.fromkeys(point.registry for point in curve.points)
    for registry in registries:
        points = sorted((p for p in curve.points if p.registry == registry), key=lambda p: p.gap_A)
        gaps = np.array([p.gap_A for p in points])
        energies = np.array([p.energy.energy_eV - apart for p in points]) * per_area
        off = _summit(gaps, energies) or _misfit(points, energies, curve.area_A2, apart)
        if off:
            found.append(f"odd binding curve (with DFT, another SCF state?): {off}")
    return found


def _summit(gaps_A: Floats, energies_J_m2: Floats) -> str:
    """Name a point that lies above both of its neighbours: a curve has one well, and no hill."""
    middle = energies_J_m2[1:-1]
    hill = np.minimum(middle - energies_J_m2[:-2], middle - energies_J_m2[2:])
    if hill.size and hill.max() > NOISE_J_M2:
        k = int(hill.argmax())
        return f"{gaps_A[1 + k]:.2f} Å lies {hill[k]:.3f} J/m2 above both its neighbours"
    return ""


def _misfit(
    points: list[CurvePoint], energies_J_m2: Floats, area_A2: float, apart_eV: float
) -> str:
    """Name the point that the binding relation misses most, where it misses them."""
    if len(points) < MIN_CURVE_POINTS:
        return ""
    gaps = [p.gap_A for p in points]
    try:
        fit = fit_binding_curve(gaps, [p.energy.energy_eV for p in points], area_A2, apart_eV)
    except CalculationError:  # no minimum inside: the row says that by itself
        return ""
    except AdhesionError as error:  # no curve at all
        return error.what
    if fit.residual_J_m2 <= max(RESIDUAL_J_M2, RESIDUAL_OF_W * fit.W_J_m2):
        return ""
    worst = int(np.abs(energies_J_m2 + fit.work_at(gaps)).argmax())
    return f"fit residual {fit.residual_J_m2:.3f} J/m2, worst at {gaps[worst]:.2f} Å"


def _geometry(document: CurveDocument | InterfaceDocument) -> Geometry:
    if document.geometry is None:
        raise CalculationError(f"{document.label}: the document is done but holds no geometry")
    area_A2 = cell_area(document.geometry.cell_A)
    if document.area_A2 is not None and not np.isclose(document.area_A2, area_A2, rtol=SAME_AREA):
        raise CalculationError(
            f"{document.label}: its area is {document.area_A2:.3f} Å2, that of its cell "
            f"{area_A2:.3f} Å2"
        )
    return document.geometry


def _require_relaxed(document: SlabDocument | InterfaceDocument) -> None:
    """Refuse forces above the criterion in a document that says it is done."""
    limit, force = document.recipe.parameters.get("fmax_eV_A"), document.fmax_end_eV_A
    if limit is not None and force is not None and force > limit:
        raise CalculationError(
            f"{document.label}: the document is done but a force of {force:.3g} eV/Å is left; "
            f"the criterion is {limit:g} eV/Å"
        )


def _sides(atoms: Geometry, film: list[int]) -> dict[str, list[int]]:
    """Atoms of each side; the film comes first."""
    rest = sorted(set(range(len(atoms.symbols))) - set(film))
    if not film or not rest or not set(film) < set(range(len(atoms.symbols))):
        raise CalculationError(f"{len(film)} of {len(atoms.symbols)} atoms are said to be the film")
    return {"film": sorted(film), "substrate": rest}


def _formula(symbols: list[str]) -> str:
    return " ".join(f"{s}{symbols.count(s)}" for s in dict.fromkeys(symbols))


def _largest_move(atoms: Geometry, indices: list[int], slab: Geometry) -> float:
    """Largest distance of an atom from where the first one says it should be, Å.

    In the plane the nearest image counts: atoms are wrapped into the cell.
    """
    cell = np.asarray(slab.cell_A, float)[:2, :2]
    here = np.asarray(atoms.positions_A, float)[indices]
    there = np.asarray(slab.positions_A, float)
    moves = (here - here[0]) - (there - there[0])
    fractions = np.linalg.solve(cell.T, moves[:, :2].T).T
    moves[:, :2] = (fractions - np.round(fractions)) @ cell
    return float(np.linalg.norm(moves, axis=1).max())


def _void(heights: Any) -> float:
    """Largest distance in height between an atom and the next one above it, Å."""
    return float(np.diff(np.sort(heights)).max(initial=0.0))


def _walked(z0: Floats, z1: Floats, sides: list[list[int]]) -> float:
    """Change of the distance in height between two sides, or of the height of one, Å."""
    before, after = ([float(z[s].mean()) for s in sides] for z in (z0, z1))
    if len(sides) == 1:
        return after[0] - before[0]
    return (after[0] - after[1]) - (before[0] - before[1])
