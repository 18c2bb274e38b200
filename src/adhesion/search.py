"""The search for an interface by geometry: every face, common cell and registry of two crystals.

A *pairing* is a face of the film on a face of the substrate in one common cell (termination ×
face × match). A *candidate* is a pairing at one registry and gap. Nothing here computes an
energy: pairings are ranked by what they cost and how they are strained, the candidates of one
pairing by how well the two surfaces fit into each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from adhesion.errors import InputError, NoMatchError, nearest
from adhesion.interfaces import (
    FLAT_A2,
    Interface,
    cell_area,
    contact_gap,
    displacement_cell,
    in_plane_distances,
    registries,
    stack,
    strained,
)
from adhesion.matching import (
    Match,
    common_cell,
    enlarged,
    find_matches,
    no_match_error,
    oriented,
)
from adhesion.materials import Material
from adhesion.slabs import (
    BOND_DECAY_A,
    BOND_REACH_A,
    Termination,
    build_slab,
    cut_bonds_per_area,
    terminations,
    usable,
)

Floats = NDArray[np.float64]
Shift = tuple[float, float]

LOW_INDEX = (
    *((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)),
    *((-1, 1, 0), (-1, 0, 1), (0, -1, 1)),
)
"""Planes to name where the one asked for cannot be cut."""
ALIKE = 1.1
"""Cuts whose bond orders differ by less than this factor count as equally easy: covalent radii
tell no finer."""
SAME_SHIFT_A = 0.02
SYMPREC_A = 0.02
VACUUM_A = 10.0


@dataclass(frozen=True, eq=False)
class Face:
    """One crystal, cut to a slab whose top faces the other.

    Attributes
    ----------
    material : Material
    termination : Termination
    thickness : int
        As `adhesion.slabs.build_slab` counts it.
    """

    material: Material
    termination: Termination
    thickness: int

    def slab(self, transformation: Any) -> Atoms:
        """Build the slab in a supercell of its surface mesh."""
        return build_slab(self.material, self.termination, self.thickness, transformation)

    @cached_property
    def atoms_per_mesh(self) -> float:
        """Atoms of the slab per primitive surface mesh."""
        n = self.termination.cell_multiple
        return len(self.slab(((n, 0), (0, 1)))) / n

    @cached_property
    def operations(self) -> list[NDArray[np.int64]]:
        """Rotations and mirrors of the face, acting on rows in mesh vectors; identity first.

        Only the identity where ions were moved: which ones depends on the common cell.
        """
        if self.termination.cell_multiple > 1:
            return [np.eye(2, dtype=np.int64)]
        found = _plane_operations(self.slab(((1, 0), (0, 1))))
        return [np.array(key).reshape(2, 2).T for key in found]


@dataclass(frozen=True)
class Limits:
    """What a common cell must keep to.

    Attributes
    ----------
    max_area_A2 : float
        Of the unstrained substrate supercell, Å2.
    max_film_strain, max_substrate_strain : float
        On both principal strains of each side, as fractions.
    substrate_share : float
        Part of the logarithmic strain that the substrate takes.
    """

    max_area_A2: float
    max_film_strain: float = 0.05
    max_substrate_strain: float = 0.05
    substrate_share: float = 0.0

    def on(self, substrate: Face) -> dict[str, Any]:
        """Return them as `find_matches` takes them."""
        return {
            "max_area_A2": self.max_area_A2,
            "max_film_strain": self.max_film_strain,
            "max_substrate_strain": self.max_substrate_strain,
            "substrate_share": self.substrate_share,
            "substrate_multiple_of": substrate.termination.cell_multiple,
        }


@dataclass(frozen=True, eq=False)
class Pairing:
    """A face of the film on a face of the substrate, in one common cell.

    Attributes
    ----------
    film, substrate : Face
    match : Match
    share : float
        Part of the logarithmic strain that the substrate takes.
    """

    film: Face
    substrate: Face
    match: Match
    share: float

    @cached_property
    def n_atoms(self) -> int:
        """Atoms of both slabs."""
        return round(
            self.match.film_multiple * self.film.atoms_per_mesh
            + self.match.substrate_multiple * self.substrate.atoms_per_mesh
        )

    @cached_property
    def cell_A(self) -> Floats:
        """In-plane vectors of the common cell as rows, Å, shape (2, 2)."""
        meshes = self.film.termination.mesh_A, self.substrate.termination.mesh_A
        return common_cell(self.match, *meshes, self.share)

    @property
    def area_A2(self) -> float:
        """Area of the common cell, Å2."""
        return cell_area(self.cell_A)

    @property
    def moved(self) -> int:
        """Number of faces whose ions were moved to cure a dipole."""
        return sum(f.termination.mended for f in (self.film, self.substrate))

    @property
    def stoichiometric(self) -> bool:
        """Whether both slabs keep their crystal's formula."""
        return self.film.termination.stoichiometric and self.substrate.termination.stoichiometric

    @property
    def name(self) -> str:
        """As 'Na | Pb, 4 on 5 meshes'."""
        return (
            f"{self.film.termination.name} | {self.substrate.termination.name}, "
            f"{self.match.film_multiple} on {self.match.substrate_multiple} meshes"
        )

    @cached_property
    def slabs(self) -> tuple[Atoms, Atoms]:
        """Substrate and film, both strained into the common cell."""
        low = self.substrate.slab(self.match.substrate_transformation)
        high = self.film.slab(self.match.film_transformation)
        return strained(low, self.cell_A), strained(high, self.cell_A)

    @cached_property
    def _periods(self) -> tuple[Any, Any]:
        """Each side's translations: its mesh, or the common cell where ions were moved."""
        return (
            np.eye(2)
            if self.film.termination.cell_multiple > 1
            else self.match.film_transformation,
            np.eye(2)
            if self.substrate.termination.cell_multiple > 1
            else self.match.substrate_transformation,
        )

    @cached_property
    def displacement_cell(self) -> Floats:
        """Vectors of the cell of non-identical displacement, in fractions of the common cell."""
        return displacement_cell(*self._periods)

    @property
    def flat(self) -> bool:
        """Whether the registry cannot matter: the displacement cell is that of a few atoms."""
        return cell_area(self.displacement_cell @ self.cell_A) < FLAT_A2

    def grid(self) -> list[Shift]:
        """Distinct registries by translation alone, on a grid, (0, 0) first."""
        return registries(*self._periods, self.cell_A)

    def at(self, shift: Shift = (0.0, 0.0), gap_A: float | None = None) -> Interface:
        """Build the interface at a registry; where atoms touch, if no gap is given."""
        low, high = self.slabs
        gap_A = contact_gap(low, high, shift) if gap_A is None else gap_A
        height_A = float(np.ptp(low.positions[:, 2]) + np.ptp(high.positions[:, 2])) + gap_A
        return stack(low, high, gap_A=gap_A, registry=shift, height_A=height_A + 2 * VACUUM_A)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pairing at one registry and gap, with its geometric score.

    Attributes
    ----------
    pairing : Pairing
    registry : tuple of float
        Shift of the film in fractions of the common cell.
    gap_A : float
        Lowest film atom minus highest substrate atom where the first pair touches, Å.
    bonds_per_A2 : float
        Sum over all pairs across of exp((r_i + r_j - d_ij) / 0.37 Å), per Å2.
    multiplicity : int
        Registries of the grid that symmetry makes equal to this one.
    """

    pairing: Pairing
    registry: Shift
    gap_A: float
    bonds_per_A2: float
    multiplicity: int = 1

    def build(self) -> Interface:
        """Return the interface."""
        return self.pairing.at(self.registry, self.gap_A)


def faces(
    material: Material, miller: Sequence[int], thickness: int, termination: str | None = None
) -> list[Face]:
    """Return the faces of a plane that a slab can be made of, or the one that is named.

    Parameters
    ----------
    material : Material
    miller : sequence of int
        Of the conventional cell.
    thickness : int
        As `adhesion.slabs.build_slab` counts it.
    termination : str, optional
        Name of a termination; a polar one is taken only so.

    Raises
    ------
    InputError
        If no face is usable, or none has this name.
    """
    found = terminations(material, miller)
    if termination is not None:
        return [Face(material, _named(material, found, termination), thickness)]
    try:
        good = usable(found)
    except InputError as error:
        others = ", ".join(_usable_planes(material, miller))
        planes = (
            f"planes that can be cut: {others}; or" if others else "no low-index plane can be cut:"
        )
        raise InputError(error.what, where=error.where, hint=f"{planes} {error.hint}") from None
    return [Face(material, t, thickness) for t in good]


def _named(material: Material, found: Sequence[Termination], name: str) -> Termination:
    """Return the termination of a name, unless it breaks bonds to keep."""
    whole = [t for t in found if not t.broken_bonds] or usable(found)
    for termination in whole:
        if termination.name == name:
            return termination
    where = f"{material.name}({''.join(map(str, found[0].miller))})"
    raise InputError(
        f"{where} has no usable termination {name!r}",
        where=f"{where}, termination",
        hint=nearest(name, [t.name for t in whole if not t.polar]),
    )


def _usable_planes(material: Material, miller: Sequence[int]) -> list[str]:
    """Low-index planes with a usable face, as '[1, 0, 0]'."""
    good = []
    for plane in LOW_INDEX:
        if plane == tuple(miller):
            continue
        try:
            usable(terminations(material, plane))
        except InputError:
            continue
        good.append(str(list(plane)))
    return good


def find_pairings(film: Sequence[Face], substrate: Sequence[Face], limits: Limits) -> list[Pairing]:
    """Return every pairing within the limits, ranked.

    Slabs that keep their formula come before others, plain cuts before mended ones, cuts
    through fewer bonds (by more than a tenth) before others; then fewest atoms, least strain,
    and the order of the faces.

    Parameters
    ----------
    film, substrate : sequence of Face
        From `faces`.
    limits : Limits
        On area and strain.

    Returns
    -------
    list of Pairing
        May be empty; see `nothing_found`.
    """
    ease = _classes(film), _classes(substrate)
    known: dict[Any, list[Match]] = {}
    ranked: list[tuple[Any, Pairing]] = []
    for i, high in enumerate(film):
        for j, low in enumerate(substrate):
            multiples = high.termination.cell_multiple, low.termination.cell_multiple
            meshes = high.termination.mesh_A, low.termination.mesh_A
            key = (*multiples, *(m.round(9).tobytes() for m in meshes))
            if key not in known:
                matches = find_matches(*meshes, **limits.on(low))
                matches = enlarged(matches, multiples[0], limits.max_area_A2)
                # Of twins, equal but for round-off, the first stands for both.
                known[key] = sorted(matches, key=lambda match: match.strain)
            for match in oriented(known[key], *meshes, high.operations, low.operations):
                pairing = Pairing(high, low, match, limits.substrate_share)
                whole = not pairing.stoichiometric, pairing.moved, ease[0][i] + ease[1][j]
                order = (*whole, pairing.n_atoms, match.strain, i, j)
                ranked.append((order, pairing))
    ranked.sort(key=lambda pair: pair[0])
    return [pairing for _, pairing in ranked]


def _classes(side: Sequence[Face]) -> list[int]:
    """Place of each face by the bonds that its cut goes through; alike cuts share a place."""
    if len(side) < 2:
        return [0] * len(side)
    bonds = [max(cut_bonds_per_area(f.material, f.termination), 1e-9) for f in side]
    return [int(np.log(b / min(bonds)) / np.log(ALIKE)) for b in bonds]


def nothing_found(
    film: Sequence[Face], substrate: Sequence[Face], limits: Limits, where: str = ""
) -> NoMatchError:
    """Make the error to raise where `find_pairings` returned nothing: the nearest misses."""
    meshes = film[0].termination.mesh_A, substrate[0].termination.mesh_A
    return no_match_error(*meshes, **limits.on(substrate[0]), where=where)


def n_candidates(pairings: Sequence[Pairing]) -> int:
    """Number of candidates: registries of all pairings."""
    counts: dict[Any, int] = {}
    total = 0
    for pairing in pairings:
        key = (id(pairing.match), *(np.asarray(p).tobytes() for p in pairing._periods))
        if key not in counts:
            counts[key] = len(pairing.grid())
        total += counts[key]
    return total


def candidates(pairing: Pairing) -> list[Candidate]:
    """Return the distinct registries of a pairing, the best fit first.

    A grid and the high-symmetry points, reduced by the translations of the two meshes and by
    the operations that both slabs share; one registry where the surface is flat. The first
    atoms touch at each; ranked by the bonds that are then there.

    Parameters
    ----------
    pairing : Pairing

    Returns
    -------
    list of Candidate
        Most bonds per area first; of equal ones (1e-6) the first of the grid.
    """
    low, high = pairing.slabs
    scored = []
    for shift, multiplicity in distinct_registries(pairing):
        gap_A = round(contact_gap(low, high, shift), 3)
        bonds = bonds_per_area(low, high, shift, gap_A)
        scored.append(Candidate(pairing, shift, gap_A, bonds, multiplicity))
    return sorted(scored, key=lambda c: -round(c.bonds_per_A2, 6))


def bonds_per_area(substrate: Atoms, film: Atoms, registry: Shift, gap_A: float) -> float:
    """Sum of bond orders across the interface per area, 1/Å2.

    s = (1/A) sum over i in substrate, j in film of exp((r_i + r_j - d_ij) / 0.37 Å), with
    covalent radii r: Pauling's bond order with the decay of bond valences. A number of the
    geometry, no energy.

    Parameters
    ----------
    substrate, film : ase.Atoms
        Slabs in the same in-plane cell.
    registry : tuple of float
        Shift of the film in fractions of the in-plane cell vectors.
    gap_A : float
        Lowest film atom minus highest substrate atom, Å.
    """
    depth = substrate.positions[:, 2].max() - substrate.positions[:, 2]
    height = film.positions[:, 2] - film.positions[:, 2].min()
    near_low, near_high = depth < BOND_REACH_A, height < BOND_REACH_A
    cell = np.array(substrate.cell[:2, :2])
    # One ring holds what lies within a cell's height of an atom, as fractions are wrapped.
    rings = 1 + int(BOND_REACH_A * float(np.linalg.norm(cell, axis=1).max()) / cell_area(cell))
    rho2 = in_plane_distances(substrate[near_low], film[near_high], registry, rings=rings)
    dz = depth[near_low][:, None] + height[near_high][None, :] + gap_A
    radii = [covalent_radii[a.numbers] for a in (substrate[near_low], film[near_high])]
    reach = radii[0][:, None] + radii[1][None, :]
    distance = np.sqrt(rho2 + (dz**2)[..., None])
    order = np.exp((reach[..., None] - distance) / BOND_DECAY_A)
    return float(order.sum()) / cell_area(cell)


def distinct_registries(pairing: Pairing) -> list[tuple[Shift, int]]:
    """Registries that no operation of the two slabs makes equal, with their multiplicity.

    If {R|t} maps the substrate onto itself and {R|u} the film, a film shifted by s is the same
    interface as one shifted by R s + t - u. Points that such an operation leaves where they are
    (on top, bridge, hollow) are added to the grid.

    Returns
    -------
    list
        (shift in fractions of the common cell, how many points of the grid are equal to it).
    """
    if pairing.flat:
        return [((0.0, 0.0), 1)]
    operations = _shared_operations(pairing)
    basis = pairing.displacement_cell
    points = [np.array(s) for s in pairing.grid()]
    n_grid = len(points)
    points += _fixed_points(operations, basis)
    in_A = basis @ pairing.cell_A
    fractions = np.array(points) @ np.linalg.inv(basis)
    left = list(range(len(points)))
    found: list[tuple[Shift, int]] = []
    while left:
        first = left[0]
        same = set()
        for rotation, offset in operations:
            image = (rotation @ points[first] + offset) @ np.linalg.inv(basis)
            delta = fractions[left] - image
            near = np.linalg.norm((delta - np.rint(delta)) @ in_A, axis=1) < SAME_SHIFT_A
            same |= {left[i] for i in np.flatnonzero(near)}
        same.add(first)
        x, y = np.round(points[first] % 1.0, 9) % 1.0
        found.append(((float(x), float(y)), max(1, sum(i < n_grid for i in same))))
        left = [i for i in left if i not in same]
    return found


Operation = tuple[NDArray[np.int64], Floats]


def _shared_operations(pairing: Pairing) -> list[Operation]:
    """Pairs (R, t - u) of operations of both slabs in the plane; the identity first."""
    low, high = (_plane_operations(slab) for slab in pairing.slabs)
    return [
        (np.array(key).reshape(2, 2), low[key] - high[key])
        for key in sorted(low.keys() & high.keys(), key=lambda k: k != (1, 0, 0, 1))
    ]


def _plane_operations(slab: Atoms) -> dict[tuple[int, ...], Floats]:
    """Rotations and mirrors that keep a slab upright, each with one of its translations."""
    cell = np.array(slab.cell[:])
    cell[2] = [0, 0, float(np.ptp(slab.positions[:, 2])) + VACUUM_A]
    scaled = np.linalg.solve(cell.T, slab.positions.T).T
    data = spglib.get_symmetry((cell, scaled, slab.numbers), symprec=SYMPREC_A)
    found: dict[tuple[int, ...], Floats] = {(1, 0, 0, 1): np.zeros(2)}
    for rotation, translation in zip(data["rotations"], data["translations"], strict=True):
        upright = rotation[2, 2] == 1 and not rotation[2, :2].any() and not rotation[:2, 2].any()
        if upright and abs(translation[2] - round(translation[2])) * cell[2, 2] < SYMPREC_A:
            found.setdefault(tuple(int(i) for i in rotation[:2, :2].ravel()), translation[:2])
    return found


def _fixed_points(operations: list[Operation], basis: Floats) -> list[Floats]:
    """Shifts s = R s + d, up to a vector of the displacement cell, of the rotations R."""
    steps = [np.array([i, j]) @ basis for i in range(4) for j in range(4)]
    found: list[Floats] = []
    for rotation, offset in operations:
        change = np.eye(2) - rotation
        if abs(np.linalg.det(change)) > 0.5:
            found += [np.asarray(np.linalg.solve(change, offset + step), float) for step in steps]
    return found


def build_ranked(pairings: Sequence[Pairing]) -> list[Interface]:
    """Build the interface of every pairing at its first registry, in the order given.

    The film starts where the first pair of atoms touches, so that nothing overlaps.
    """
    return [pairing.at() for pairing in pairings]
