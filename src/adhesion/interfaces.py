"""Two slabs in one cell, brought together: registry, gap, and who is who."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from adhesion.errors import InputError

Floats = NDArray[np.float64]

NEAR_A = 3.0
"""Atoms this near to their face are looked at first for which pair touches, Å."""
FLAT_A2 = 4.0
"""Cells of non-identical displacement smaller than this have a flat registry, Å2."""


@dataclass(frozen=True)
class Interface:
    """Film on substrate in one cell.

    Attributes
    ----------
    atoms : ase.Atoms
        Substrate atoms first, then the film; periodic in the plane.
    film : tuple of int
        Indices of the film atoms.
    registry : tuple of float
        Shift of the film in fractions of the in-plane cell vectors.
    gap_A : float
        Lowest film atom minus highest substrate atom, Å; negative where
        the film reaches into a rough surface.
    """

    atoms: Atoms
    film: tuple[int, ...]
    registry: tuple[float, float]
    gap_A: float

    @property
    def area_A2(self) -> float:
        """Area of the in-plane cell, |a x b|, Å2."""
        return cell_area(self.atoms.cell[:])

    def film_atoms(self) -> Atoms:
        """Return the film alone, in the interface's cell."""
        return self.atoms[list(self.film)]

    def substrate_atoms(self) -> Atoms:
        """Return the substrate alone, in the interface's cell."""
        film = set(self.film)
        return self.atoms[[i for i in range(len(self.atoms)) if i not in film]]


def cell_area(cell: Any) -> float:
    """Area spanned by the first two cell vectors, Å2."""
    a, b = (np.append(v, 0.0)[:3] for v in np.asarray(cell, float)[:2])
    return float(np.linalg.norm(np.cross(a, b)))


def strained(slab: Atoms, cell_A: Floats) -> Atoms:
    """Return a slab whose in-plane cell is strained to the one given.

    Atoms keep their fractional in-plane coordinates and their height.

    Parameters
    ----------
    slab : ase.Atoms
        Slab with its third cell vector along z.
    cell_A : ndarray, shape (2, 2)
        In-plane cell vectors as rows, Å.
    """
    result = slab.copy()
    cell = np.array(result.cell[:])
    fractions = np.linalg.solve(cell[:2, :2].T, result.positions[:, :2].T).T
    cell[:2, :2] = cell_A
    result.set_cell(cell)
    result.positions[:, :2] = fractions @ cell_A
    return result


def contact_gap(
    substrate: Atoms, film: Atoms, registry: tuple[float, float] = (0.0, 0.0), fraction: float = 1.0
) -> float:
    """Gap at which the closest pair of atoms just touches.

    Parameters
    ----------
    substrate, film : ase.Atoms
        Slabs in the same in-plane cell.
    registry : tuple of float
        Shift of the film in fractions of the in-plane cell vectors.
    fraction : float
        Part of the sum of the covalent radii that counts as touching.

    Returns
    -------
    float
        max over pairs of sqrt(R² - rho²) minus their height beyond the gap, Å,
        with R = fraction (r_i + r_j) and rho the in-plane distance.

    Raises
    ------
    InputError
        If one side is empty, or no two atoms come near enough in the plane.
    """
    if not len(substrate) or not len(film):
        raise InputError("film and substrate never touch: one of them is empty")
    depth = substrate.positions[:, 2].max() - substrate.positions[:, 2]
    height = film.positions[:, 2] - film.positions[:, 2].min()
    # Only atoms near the faces can touch first; the others are left out once that is sure.
    near = depth < NEAR_A, height < NEAR_A
    gap = _first_touch(substrate[near[0]], film[near[1]], depth, height, near, registry, fraction)
    widest = 2 * fraction * max(covalent_radii[a.numbers].max() for a in (substrate, film))
    wide = depth <= widest - gap, height <= widest - gap
    if any((w & ~n).any() for w, n in zip(wide, near, strict=True)):
        gap = _first_touch(
            substrate[wide[0]], film[wide[1]], depth, height, wide, registry, fraction
        )
    if not np.isfinite(gap):
        raise InputError("film and substrate never touch: their atoms pass by each other")
    return gap


def _first_touch(
    substrate: Atoms,
    film: Atoms,
    depth: Floats,
    height: Floats,
    kept: tuple[Any, Any],
    registry: tuple[float, float],
    fraction: float,
) -> float:
    """Gap at which the first pair of these atoms touches, -inf where none does."""
    radii = [covalent_radii[a.numbers] for a in (substrate, film)]
    reach = fraction * (radii[0][:, None] + radii[1][None, :])
    rho2 = in_plane_distances(substrate, film, registry)
    touching = np.sqrt(np.clip(reach**2 - rho2, 0.0, None))
    touching -= depth[kept[0]][:, None] + height[kept[1]][None, :]
    touching[rho2 > reach**2] = -np.inf
    return float(touching.max())


def in_plane_distances(
    substrate: Atoms, film: Atoms, registry: tuple[float, float], *, rings: int = 0
) -> Floats:
    """Squared in-plane distances between the atoms of two slabs, Å2.

    Parameters
    ----------
    substrate, film : ase.Atoms
        Slabs in the same in-plane cell.
    registry : tuple of float
        Shift of the film in fractions of the in-plane cell vectors.
    rings : int
        0 gives the distance of the nearest image; n gives those of all (2 n + 1)² images.

    Returns
    -------
    ndarray, shape (n_substrate, n_film) or (n_substrate, n_film, (2 rings + 1)²)
    """
    cell = np.array(substrate.cell[:2, :2])
    shift = np.asarray(registry) @ cell
    delta = film.positions[None, :, :2] + shift - substrate.positions[:, None, :2]
    fractions = np.linalg.solve(cell.T, delta.reshape(-1, 2).T).T
    fractions -= np.round(fractions)
    steps = range(-max(rings, 1), max(rings, 1) + 1)
    around = np.array([(i, j) for i in steps for j in steps], float) @ cell
    wrapped = fractions @ cell
    squared: Floats = (wrapped[:, :1] + around[:, 0]) ** 2
    squared += (wrapped[:, 1:] + around[:, 1]) ** 2
    if rings:
        return squared.reshape(*delta.shape[:2], -1)
    nearest: Floats = squared.min(1).reshape(delta.shape[:2])
    return nearest


def deepest_first(
    substrate: Atoms, film: Atoms, shifts: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Order registries by their contact gap, smallest first; of equal ones (0.01 Å) the first."""
    chosen: dict[float, tuple[float, float]] = {}
    for shift in shifts:
        gap = round(contact_gap(substrate, film, shift), 3)
        chosen.setdefault(round(gap, 2), shift)
    return [chosen[gap] for gap in sorted(chosen)]


def stack(
    substrate: Atoms,
    film: Atoms,
    *,
    gap_A: float,
    registry: tuple[float, float] = (0.0, 0.0),
    height_A: float,
) -> Interface:
    """Put the film on the substrate, at one gap and registry.

    Parameters
    ----------
    substrate, film : ase.Atoms
        Slabs in the same in-plane cell.
    gap_A : float
        Lowest film atom minus highest substrate atom, Å.
    registry : tuple of float
        Shift of the film in fractions of the in-plane cell vectors.
    height_A : float
        Length of the cell along z, Å; the same for all points of a curve.

    Raises
    ------
    InputError
        If the in-plane cells differ.
    """
    if np.abs(np.array(substrate.cell[:2, :2]) - np.array(film.cell[:2, :2])).max() > 1e-6:
        raise InputError("film and substrate stand in different cells: strain both first")
    low, high = substrate.copy(), film.copy()
    for side in (low, high):
        side.set_constraint()
    low.positions[:, 2] -= low.positions[:, 2].min()
    high.positions[:, 2] += low.positions[:, 2].max() + gap_A - high.positions[:, 2].min()
    high.positions[:, :2] += np.asarray(registry) @ np.array(low.cell[:2, :2])
    atoms = low + high
    extent = np.ptp(atoms.positions[:, 2])
    if height_A <= extent:
        raise InputError(f"a cell of {height_A:.2f} Å holds no interface of {extent:.2f} Å")
    cell = np.array(low.cell[:])
    cell[2] = [0.0, 0.0, height_A]
    atoms.set_cell(cell)
    atoms.pbc = (True, True, False)
    # The substrate keeps its place on the grid from point to point, so that its noise cancels.
    atoms.positions[:, 2] += (
        height_A - np.ptp(low.positions[:, 2]) - np.ptp(high.positions[:, 2])
    ) / 4
    wrap_in_plane(atoms)
    return Interface(atoms, tuple(range(len(low), len(atoms))), registry, gap_A)


def wrap_in_plane(atoms: Atoms) -> None:
    """Move atoms into the cell along its first two vectors, not along z."""
    cell = np.array(atoms.cell[:2, :2])
    fractions = np.linalg.solve(cell.T, atoms.positions[:, :2].T).T
    fractions -= np.floor(fractions + 1e-9)
    atoms.positions[:, :2] = fractions @ cell


def registries(
    film_transformation: Any,
    substrate_transformation: Any,
    cell_A: Floats,
    *,
    substrate_periodic: bool = True,
    spacing_A: float = 0.8,
) -> list[tuple[float, float]]:
    """Distinct shifts of the film over the substrate, on a grid.

    Shifts by a lattice vector of either mesh change nothing, so the grid covers
    only the cell spanned by the vectors of both: small on coprime meshes, where
    the registry is flat by construction and one shift is returned.

    Parameters
    ----------
    film_transformation, substrate_transformation : array_like of int, shape (2, 2)
        Common cell in vectors of the two meshes.
    cell_A : ndarray, shape (2, 2)
        Common cell, Å.
    substrate_periodic : bool
        False where a reconstruction leaves the substrate only the common cell.
    spacing_A : float
        Largest distance between neighbouring shifts, Å.

    Returns
    -------
    list of tuple of float
        In fractions of the common cell, (0, 0) first.
    """
    periodic = substrate_transformation if substrate_periodic else np.eye(2)
    basis = displacement_cell(film_transformation, periodic)
    in_A = basis @ cell_A
    if abs(np.linalg.det(in_A)) < FLAT_A2:
        return [(0.0, 0.0)]
    n = np.maximum(1, np.ceil(np.linalg.norm(in_A, axis=1) / spacing_A).astype(int))
    n += n % 2  # even, so that the middles of edges and faces are on the grid
    grid = [np.array([i / n[0], j / n[1]]) @ basis for i in range(n[0]) for j in range(n[1])]
    return [(float(x) % 1.0, float(y) % 1.0) for x, y in np.round(grid, 12)]


def displacement_cell(film_transformation: Any, substrate_transformation: Any) -> Floats:
    """Cell of non-identical displacement: the lattice of all vectors of both meshes.

    Parameters
    ----------
    film_transformation, substrate_transformation : array_like of int, shape (2, 2)
        Common cell in vectors of the two meshes.

    Returns
    -------
    ndarray, shape (2, 2)
        Reduced vectors as rows, in fractions of the common cell.
    """
    matrices = [np.asarray(t, float) for t in (film_transformation, substrate_transformation)]
    scale = lcm(*(round(abs(float(np.linalg.det(m)))) for m in matrices))
    return _lattice_of(np.vstack([np.linalg.inv(m) for m in matrices]), scale)


def _lattice_of(vectors: Floats, scale: int) -> Floats:
    """Reduced basis of the lattice that multiples of 1 / scale span, shape (2, 2)."""
    rows = [list(map(int, r)) for r in np.rint(vectors * scale)]
    basis: list[list[int]] = []
    for column in range(2):
        while True:
            rows = [r for r in rows if any(r)]
            live = sorted((r for r in rows if r[column]), key=lambda r: abs(r[column]))
            if len(live) <= 1:
                break
            for r in live[1:]:
                q = r[column] // live[0][column]
                for k in range(2):
                    r[k] -= q * live[0][k]
        if live:
            basis.append(live[0])
            rows.remove(live[0])
    a, b = (np.array(v, float) / scale for v in basis)
    while True:
        if b @ b < a @ a:
            a, b = b, a
        q = round(float(a @ b) / float(a @ a))
        if q == 0:
            return np.array([a, b])
        b = b - q * a


def from_file(atoms: Atoms, film: list[int]) -> tuple[Atoms, Atoms, float]:
    """Split a ready-made interface into substrate, film and gap.

    Parameters
    ----------
    atoms : ase.Atoms
        Interface with its third cell vector along z and the film on top.
    film : list of int
        Indices of the film atoms, from 0.

    Returns
    -------
    tuple
        Substrate, film (both in the interface's cell), gap in Å.

    Raises
    ------
    InputError
        If the indices do not name a film that lies above the substrate.
    """
    if len(set(film)) != len(film) or not set(film) < set(range(len(atoms))) or not film:
        raise InputError(
            f"film_atoms must name some, not all, of atoms 0 to {len(atoms) - 1}, each once"
        )
    cell = np.array(atoms.cell[:])
    if abs(np.linalg.det(cell)) < 1e-6 or np.abs(cell[:2, 2]).max() > 1e-6:
        raise InputError("the interface must lie in the plane of its first two cell vectors")
    rest = [i for i in range(len(atoms)) if i not in set(film)]
    low, high = atoms[rest], atoms[list(film)]
    gap = float(high.positions[:, 2].min() - low.positions[:, 2].max())
    if high.positions[:, 2].mean() <= low.positions[:, 2].mean():
        raise InputError("the film atoms lie below the others: the film must be on top")
    return low, high, gap
