"""Terminations of a crystal plane, polar ones mended, and slabs built from them.

A crystal is seen along the normal of a plane as its *primitive* surface cell: two shortest
in-plane lattice vectors (the mesh) and the shortest lattice vector to the next repeat unit.
pymatgen's SlabGenerator is not used for this: its oriented cell holds several repeat units
(two layers for bcc (001)) and its reduction to a primitive slab works by tolerances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb, gcd
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Composition, Lattice, Species, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from adhesion.errors import InputError
from adhesion.materials import BOND_RADII, SYMPREC_A, Material

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Symmetry = Literal["inversion", "mirror", "rotation", "none"]

LAYER_GAP_A = 0.1
"""Atoms whose heights chain by less than this form one layer; pymatgen's value."""
SAME_CUT_A = 0.02
EXPOSED_A = 1.0
"""Elements this deep below the outermost atom count as exposed."""
POLAR_E_A = 1e-3
"""A dipole per area and repeat above this (0.18 V per repeat, unscreened) makes a cut polar."""
FRACTIONS = tuple(sorted({Fraction(k, n) for n in (2, 3, 4) for k in range(1, n)}))
"""Parts of a surface layer that may move to the other face."""
OCCUPIED = {
    Fraction(1, 4): "quarter-occupied",
    Fraction(1, 3): "third-occupied",
    Fraction(1, 2): "half-occupied",
    Fraction(2, 3): "two-thirds-occupied",
    Fraction(3, 4): "three-quarters-occupied",
}
BOND_DECAY_A = 0.37
"""Fall of bond order with distance, Å: Brown & Altermatt, Acta Cryst. B 41, 244 (1985)."""
BOND_REACH_A = 6.0
"""Pairs of atoms further apart than this count as no bond."""
MAX_ARRANGEMENTS = 20_000
VACUUM_A = 7.0
SAME_ENERGY_EV = 1e-3


@dataclass(frozen=True, eq=False)
class Termination:
    """One way to end a crystal at a plane; ``top`` is what faces the film.

    Attributes
    ----------
    name : str
        Unique among the terminations of the plane: the exposed elements from outside in, or
        the partly occupied element; ``.2``, ``.3`` where several share it.
    material : str
        Name of the crystal.
    miller : tuple of int
        The plane, of the conventional cell as given.
    shift : float
        Height of the cut in fractions of one repeat unit, along the slab's own normal.
    flipped : bool
        The slab's normal is -(hkl): the other face of an asymmetric cut, turned up by a rotation.
    mesh_A : ndarray, shape (2, 2)
        Primitive surface mesh, rows, the first along x; right-handed, angle from 90 to 120°.
    repeat_A : ndarray, shape (3,)
        Translation to the next repeat unit, z > 0.
    symmetry : {'inversion', 'mirror', 'rotation', 'none'}
        How the crystal maps the top of whole repeat units onto their bottom; for mended cuts,
        with averaged occupancies.
    stoichiometric : bool
        Whether the slab keeps the formula: all of whole repeat units do.
    tasker : {'I', 'II', 'III', ''}
        Tasker's type of the plain cut; '' without oxidation states.
    dipole_per_area_e_A : float
        Formal dipole of one repeat unit along the normal over the area, e/Å; what is left of it
        (at most 1e-3) once mended.
    top, bottom : str
        Elements exposed on each face, from outside in.
    broken_bonds : dict
        Bond (as 'C-O') to the number broken per primitive mesh, of the bonds to keep.
    polar : bool
        Whether that dipole is there, and so grows with thickness.
    mended : bool
        Part of the top layer has moved to the bottom face, so that the dipole is zero.
    cell_multiple : int
        The number of primitive meshes in a supercell must be a multiple of this.
    moved_fraction : float
        Part of the top layer that sits on the bottom face instead.
    units_per_repeat : int
        Layers (metal), sheets (layered) or 1 (compound) in one repeat unit.
    part_A : float
        Height of the part of a repeat unit by which a symmetric slab differs from whole ones;
        negative where it is left out. 0 for all others.
    excess : dict
        Element to its atoms per mesh beyond whole formula units, of a symmetric slab.
    """

    name: str
    material: str
    miller: tuple[int, int, int]
    shift: float
    flipped: bool
    mesh_A: Floats
    repeat_A: Floats
    symmetry: Symmetry
    stoichiometric: bool
    tasker: Literal["I", "II", "III", ""]
    dipole_per_area_e_A: float
    top: str
    bottom: str
    broken_bonds: dict[str, int]
    polar: bool
    mended: bool = False
    cell_multiple: int = 1
    moved_fraction: float = 0.0
    units_per_repeat: int = 1
    part_A: float = 0.0
    excess: dict[str, int] = field(default_factory=dict)

    @property
    def mesh_area_A2(self) -> float:
        """Area of the primitive surface mesh, Å2."""
        return float(np.linalg.det(self.mesh_A))

    def slab_dipole_per_area_e_A(self, n_repeats: int) -> float:
        """Formal dipole per area of a slab of n repeat units, e/Å: n times that of one.

        Every repeat unit is neutral, so its dipole does not depend on where it stands.
        """
        return n_repeats * self.dipole_per_area_e_A


@dataclass(frozen=True, eq=False)
class _Plane:
    """A crystal's primitive cell in the frame of one plane: z along the normal."""

    symbols: NDArray[Any]
    positions_A: Floats
    mesh_A: Floats
    repeat_A: Floats
    charges: Floats | None
    # Symmetry operations that keep the plane: height z goes to sign * z + offset.
    signs: Ints
    offsets_A: Floats
    flips: list[Symmetry]

    @property
    def period_A(self) -> float:
        return float(self.repeat_A[2])

    @property
    def area_A2(self) -> float:
        return float(np.linalg.det(self.mesh_A))

    def above(self, cut_A: float) -> Floats:
        """Positions of the repeat unit whose lowest atoms are just above a cut."""
        repeats = np.floor((self.positions_A[:, 2] - cut_A) / self.period_A)
        return self.positions_A - repeats[:, None] * self.repeat_A


def _unimodular(h: Sequence[int]) -> Ints:
    """Integer rows with determinant ±1: the first two on the plane (row · h = 0), the last 1."""
    rows = np.eye(3, dtype=np.int64)
    values = np.array(h, dtype=np.int64)
    while np.count_nonzero(values) > 1:
        k = min((i for i in range(3) if values[i]), key=lambda i: abs(values[i]))
        for j in range(3):
            if j != k:
                quotient = values[j] // values[k]
                rows[j] -= quotient * rows[k]
                values[j] -= quotient * values[k]
    k = next(i for i in range(3) if values[i])
    rows[k] *= np.sign(values[k])
    return rows[[i for i in range(3) if i != k] + [k]]


def _reduced(a: Floats, b: Floats, normal: Floats) -> tuple[Floats, Floats]:
    """Gauss-reduce two in-plane vectors; obtuse, and right-handed about the normal."""
    while True:
        if np.linalg.norm(b) < np.linalg.norm(a) - 1e-6:
            a, b = b, a
        steps = np.rint(np.dot(a, b) / np.dot(a, a) - 1e-6)
        if steps == 0 or np.linalg.norm(b - steps * a) > np.linalg.norm(b) - 1e-6:
            break
        b = b - steps * a
    if np.dot(np.cross(a, b), normal) < 0:
        b = -b
    acute = float(np.dot(a, b))
    if acute > 1e-6:
        # A centred mesh has an obtuse vector as long as b; any other needs the longer one first.
        centred = abs(2 * acute - np.dot(a, a)) < 1e-3
        a, b = (a, b - a) if centred else (b, -a)
    return a, b


def _plane(material: Material, miller: Sequence[int]) -> _Plane:
    """Turn a crystal so that a plane of its conventional cell lies flat."""
    structure = material.structure
    lattice = structure.lattice.matrix
    data = SpacegroupAnalyzer(structure, symprec=SYMPREC_A).get_symmetry_dataset()
    # Primitive vectors in units of the conventional ones: exact multiples of 1 / multiplicity.
    primitive = np.asarray(data.primitive_lattice) @ np.linalg.inv(lattice)
    multiplicity = round(1 / abs(np.linalg.det(primitive)))
    primitive = np.rint(primitive * multiplicity) / multiplicity
    h = [int(i) for i in np.rint(primitive @ np.array(miller) * multiplicity)]
    vectors = _unimodular([i // gcd(*h) for i in h]) @ primitive @ lattice

    normal = np.array(miller) @ np.linalg.inv(lattice).T
    length = np.linalg.norm(normal)
    normal = normal / length
    a, b = _reduced(vectors[0], vectors[1], normal)
    x = a / np.linalg.norm(a)
    frame = np.array([x, np.cross(normal, x), normal])
    mesh = np.array([a, b]) @ frame.T
    kept = np.unique(np.asarray(data.mapping_to_primitive), return_index=True)[1]
    symbols = np.array([structure[int(i)].specie.symbol for i in kept])
    states = material.oxidation_states
    signs, offsets, flips = _plane_symmetry(data, np.array(miller))
    return _Plane(
        symbols=symbols,
        positions_A=structure.cart_coords[kept] @ frame.T,
        mesh_A=mesh[:, :2],
        repeat_A=_upright(vectors[2] @ frame.T, mesh),
        charges=None if states is None else np.array([states[s] for s in symbols]),
        signs=signs,
        offsets_A=offsets / length,
        flips=flips,
    )


def _upright(vector: Floats, mesh: Floats) -> Floats:
    """Of all vectors to the next repeat unit, the one that leans least."""
    nearest = np.rint(np.linalg.solve(mesh[:, :2].T, vector[:2]))
    steps = nearest + np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    images = vector - steps @ mesh
    best: Floats = images[np.argmin(np.round((images**2).sum(axis=1), 6))]
    return best


def _plane_symmetry(data: Any, miller: Ints) -> tuple[Ints, Floats, list[Symmetry]]:
    """Operations x -> R x + t that keep the plane h: h R = ±h, so h·x goes to ±h·x + h·t."""
    rotations = np.asarray(data.rotations)
    images = np.einsum("i,nij->nj", miller, rotations)
    up = (images == miller).all(axis=1)
    keep = np.flatnonzero(up | (images == -miller).all(axis=1))
    kinds: list[Symmetry] = []
    for rotation in rotations[keep]:
        if np.array_equal(rotation, -np.eye(3)):
            kinds.append("inversion")
        else:
            # A flip of trace 1 and determinant -1 leaves the plane itself untouched: a mirror.
            mirror = round(np.linalg.det(rotation)) == -1 and np.trace(rotation) == 1
            kinds.append("mirror" if mirror else "rotation")
    signs = np.where(up[keep], 1, -1)
    return signs, np.asarray(data.translations)[keep] @ miller, kinds


def _cyclic(difference_A: Floats, period_A: float) -> Floats:
    """Distance of heights that repeat with a period."""
    wrapped: Floats = np.abs(difference_A - period_A * np.rint(difference_A / period_A))
    return wrapped


def _cuts(plane: _Plane) -> Floats:
    """Heights half-way between neighbouring layers, ascending."""
    heights = np.sort(plane.positions_A[:, 2] % plane.period_A)
    gaps = np.diff(heights, append=heights[0] + plane.period_A)
    wide = gaps > LAYER_GAP_A
    if not wide.any():
        wide = gaps == gaps.max()
    cuts = (heights[wide] + gaps[wide] / 2) % plane.period_A
    cuts[plane.period_A - cuts < 1e-6] = 0.0
    ascending: Floats = np.sort(cuts)
    return ascending


def _bonds(material: Material, plane: _Plane) -> dict[str, Floats]:
    """Heights (low, high) of both ends of the bonds to keep, one row per bond of the cell."""
    found: dict[str, Floats] = {}
    if not material.keep_bonds:
        return found
    cell = np.vstack([np.pad(plane.mesh_A, ((0, 0), (0, 1))), plane.repeat_A])
    structure = Structure(
        Lattice(cell), plane.symbols, plane.positions_A, coords_are_cartesian=True
    )
    radii = covalent_radii[[atomic_numbers[s] for s in plane.symbols]]
    i, j, images, distance_A = structure.get_neighbor_list(
        2 * BOND_RADII * radii.max(), exclude_self=True
    )
    bonded = distance_A < BOND_RADII * (radii[i] + radii[j])
    low = plane.positions_A[i, 2]
    high = plane.positions_A[j, 2] + images @ cell[:, 2]
    once = bonded & (high > low)  # both directions are listed; flat bonds cannot be cut
    for a, b in material.keep_bonds:
        pair = ((plane.symbols[i] == a) & (plane.symbols[j] == b)) | (
            (plane.symbols[i] == b) & (plane.symbols[j] == a)
        )
        found[f"{a}-{b}"] = np.column_stack([low, high])[once & pair]
    return found


def _broken(bonds: dict[str, Floats], cut_A: float, period_A: float) -> dict[str, int]:
    """Bonds per mesh that a cut and its periodic images go through."""
    counts = {
        name: int(np.diff(np.floor((ends - cut_A) / period_A), axis=1).sum())
        for name, ends in bonds.items()
    }
    return {name: n for name, n in counts.items() if n}


def _exposed(symbols: NDArray[Any], depths_A: Floats) -> str:
    """Elements near a face, from outside in, as 'O/Na'."""
    order = np.lexsort((symbols, np.round(depths_A, 2)))
    return "/".join(dict.fromkeys(symbols[i] for i in order if depths_A[i] < EXPOSED_A))


def _symmetry(plane: _Plane, height_A: float) -> Symmetry:
    """How the crystal maps a plane at this height onto itself, upside down."""
    images = plane.signs * height_A + plane.offsets_A
    same = _cyclic(images - height_A, plane.period_A) < SAME_CUT_A
    found = {plane.flips[i] for i in np.flatnonzero(same & (plane.signs < 0))}
    order: tuple[Symmetry, ...] = ("inversion", "mirror", "rotation")
    return next((kind for kind in order if kind in found), "none")


def _distinct_cuts(plane: _Plane) -> list[tuple[float, bool]]:
    """All cuts and their turned faces, less those that the crystal's symmetry maps on another.

    Heights are along +(hkl). Only operations of the space group count as making two the
    same, never a likeness of labels or of coordinates.
    """
    kept: list[tuple[float, bool]] = []
    cuts = _cuts(plane)
    for flipped in (False, True):
        for cut in cuts:
            images = plane.signs * cut + plane.offsets_A
            faces = flipped ^ (plane.signs < 0)
            seen = any(
                (
                    (faces == other_flipped)
                    & (_cyclic(images - other, plane.period_A) < SAME_CUT_A)
                ).any()
                for other, other_flipped in kept
            )
            if not seen:
                kept.append((float(cut), flipped))
    return kept


def _dipole(plane: _Plane, cut_A: float) -> float:
    """Formal dipole per area of one repeat unit, sum(q z) / A, e/Å; positive points up."""
    if plane.charges is None:
        return 0.0
    return float(plane.charges @ plane.above(cut_A)[:, 2]) / plane.area_A2


def _tasker(plane: _Plane, cut_A: float, dipole: float) -> Literal["I", "II", "III", ""]:
    if plane.charges is None:
        return ""
    if abs(dipole) > POLAR_E_A:
        return "III"
    heights = plane.above(cut_A)[:, 2]
    order = np.argsort(heights)
    first = np.diff(heights[order], prepend=-np.inf) > LAYER_GAP_A
    layers = np.add.reduceat(plane.charges[order], np.flatnonzero(first))
    return "I" if np.allclose(layers, 0, atol=1e-6) else "II"


def _units(material: Material, plane: _Plane) -> Floats:
    """Cuts that separate the units a thickness counts: layers, sheets or repeat units."""
    cuts = _cuts(plane)
    if material.kind == "metal":
        return cuts
    if material.kind == "layered":
        bonds = _bonds(material, plane)
        whole = [not _broken(bonds, float(c), plane.period_A) for c in cuts]
        return cuts[whole] if any(whole) else cuts[:1]
    return cuts[:1]


def terminations(material: Material, miller: Sequence[int]) -> list[Termination]:
    """List every termination of a plane: all cuts, both faces, mended and symmetric ones.

    Cuts that an operation of the crystal's space group maps onto one another (mirror images
    among them) are listed once. The order does not depend on origin or cell: whole bonds
    first, then non-polar, then fewer layers apart; symmetric slabs of a compound, most of
    them not stoichiometric, last.

    Parameters
    ----------
    material : Material
        The crystal.
    miller : sequence of int
        The plane, of the conventional cell as given.

    Raises
    ------
    InputError
        If the indices are all zero.
    """
    h, k, l = (int(i) for i in miller)  # noqa: E741
    if not (h or k or l):
        raise InputError("(000) is no plane", where=material.name, hint="as in miller: [0, 0, 1]")
    sides = {flip: _plane(material, [-i if flip else i for i in (h, k, l)]) for flip in (0, 1)}
    bonds = {flip: _bonds(material, side) for flip, side in sides.items()}
    found: list[tuple[Any, Termination]] = []
    for height_A, flipped in _distinct_cuts(sides[0]):
        plane = sides[flipped]
        cut_A = float(np.mod(-height_A if flipped else height_A, plane.period_A))
        plain = _plain(material, (h, k, l), plane, bonds[flipped], cut_A, flipped)
        profile = plane.above(cut_A)
        depths = np.round(profile[:, 2].max() - profile[:, 2], 2)
        key = sorted(zip(depths.tolist(), plane.symbols.tolist(), strict=True))
        for t in [plain, *_mended(plain, plane, bonds[flipped], cut_A)]:
            order = (sum(t.broken_bonds.values()), t.polar, t.mended, t.name, key, flipped, cut_A)
            found.append((order, t))
    found.sort(key=lambda pair: pair[0])
    named = _named([t for _, t in found])
    return named + [s for t in named for s in _symmetric(material, sides[t.flipped], t)]


def _plain(
    material: Material,
    miller: tuple[int, int, int],
    plane: _Plane,
    bonds: dict[str, Floats],
    cut_A: float,
    flipped: bool,
) -> Termination:
    """Describe a cut that moves nothing."""
    heights = plane.above(cut_A)[:, 2]
    dipole = _dipole(plane, cut_A)
    top = _exposed(plane.symbols, heights.max() - heights)
    return Termination(
        name=top,
        material=material.name,
        miller=miller,
        shift=round(cut_A / plane.period_A, 9),
        flipped=flipped,
        mesh_A=plane.mesh_A,
        repeat_A=plane.repeat_A,
        symmetry=_symmetry(plane, cut_A),
        stoichiometric=True,
        tasker=_tasker(plane, cut_A, dipole),
        dipole_per_area_e_A=dipole,
        top=top,
        bottom=_exposed(plane.symbols, heights - heights.min()),
        broken_bonds=_broken(bonds, cut_A, plane.period_A),
        polar=abs(dipole) > POLAR_E_A,
        units_per_repeat=len(_units(material, plane)),
    )


def _top_layer(plane: _Plane, cut_A: float) -> tuple[Ints, float]:
    """Atoms of the layer just below a cut, and the height of the cut below that layer."""
    heights = plane.above(cut_A)[:, 2]
    order = np.argsort(-heights)
    gaps = -np.diff(heights[order])
    wide = np.flatnonzero(gaps > LAYER_GAP_A)
    n = int(wide[0]) + 1 if wide.size else len(order)
    below = heights[order[n - 1]] - (gaps[n - 1] / 2 if wide.size else 0.0)
    return order[:n], float(below)


def _mended(
    plain: Termination, plane: _Plane, bonds: dict[str, Floats], cut_A: float
) -> list[Termination]:
    """Mend a polar cut by moving part of the top layer to the bottom face, if that can be.

    Moving a charge Q per mesh down by n repeat units of height p changes the dipole of a slab
    of n repeats by -n Q p; it had n M, M being that of one repeat. So Q = M / p for every
    thickness, and the part of a layer of m ions of charge q is f = M / (p m q). Moving ions
    of the bottom layer up is the same as moving the rest of that layer down from the cut above
    it, so only top layers are tried. See Tasker, J. Phys. C 12, 4977 (1979).
    """
    if not plain.polar or plain.broken_bonds or plane.charges is None:
        return []
    layer, below_A = _top_layer(plane, cut_A)
    element = str(plane.symbols[layer[0]])
    charge = float(plane.charges[layer].sum())
    mixed = len(set(plane.symbols[layer])) > 1
    if mixed or not charge or _broken(bonds, below_A, plane.period_A):
        return []
    per_layer = charge * plane.period_A / plane.area_A2  # dipole that a whole moved layer takes
    left = {f: plain.dipole_per_area_e_A - float(f) * per_layer for f in FRACTIONS}
    moved = min(left, key=lambda f: abs(left[f]))
    if abs(left[moved]) > POLAR_E_A:
        return []
    heights = plane.above(cut_A)[:, 2]
    rest = np.setdiff1d(np.arange(len(heights)), layer)
    under = _exposed(plane.symbols[rest], heights[layer].max() - heights[rest])
    # The moved ions lie one repeat below the top layer.
    over = _exposed(plane.symbols[rest], heights[rest] - heights[layer].min() + plane.period_A)
    mean_A = float(heights[layer].mean())
    symmetry = _symmetry(plane, mean_A) if moved == Fraction(1, 2) else "none"
    return [
        replace(
            plain,
            name=f"{element} {OCCUPIED[1 - moved]}",
            symmetry=symmetry,
            dipole_per_area_e_A=left[moved],
            top=_with(element, under),
            bottom=_with(element, over),
            polar=False,
            mended=True,
            cell_multiple=(moved * len(layer)).denominator,
            moved_fraction=float(moved),
            units_per_repeat=1,
        )
    ]


def _symmetric(material: Material, plane: _Plane, plain: Termination) -> list[Termination]:
    """Give an asymmetric cut of a compound the same face below as above, if the crystal has it.

    The cut at c has its image at c' under an operation that turns the plane upside down. A slab
    from c' to c holds whole repeat units and a part of one, and has no dipole.
    """
    if material.kind != "compound" or plain.mended or plain.broken_bonds:
        return []
    if plain.symmetry != "none" and not plain.polar:
        return []
    cut_A, period_A = plain.shift * plane.period_A, plane.period_A
    formula, _ = material.structure.composition.get_integer_formula_and_factor()
    units = {e: int(n) for e, n in Composition(formula).get_el_amt_dict().items()}
    options = []
    for i in np.flatnonzero(plane.signs < 0):
        part_A = float((2 * cut_A - plane.offsets_A[i]) % period_A)
        heights = plane.above(cut_A)[:, 2] - cut_A
        inside = Counter(plane.symbols[heights > period_A - part_A].tolist())
        excess = _beyond_formula(inside, units)
        size = sum(map(abs, excess.values()))
        # Left out below, the part must leave some of every element even of one repeat unit.
        short_A = period_A if part_A > period_A / 2 and inside.keys() >= units.keys() else 0.0
        options.append((size, round(part_A - short_A, 6), plane.flips[i], excess))
    if not options:
        return []
    _, part_A, kind, excess = min(options, key=lambda option: option[:3])
    return [
        replace(
            plain,
            name=f"{plain.name} symmetric",
            symmetry=kind,
            stoichiometric=not excess,
            dipole_per_area_e_A=0.0,
            bottom=plain.top,
            polar=False,
            part_A=part_A,
            excess=excess,
        )
    ]


def _beyond_formula(counts: Counter[str], units: dict[str, int]) -> dict[str, int]:
    """Return what atoms are too many or too few for the nearest number of formula units."""
    most = max(counts[e] // n for e, n in units.items()) + 1
    left = [{e: counts[e] - k * n for e, n in units.items()} for k in range(most + 1)]
    best = min(left, key=lambda e: sum(map(abs, e.values())))
    return {e: n for e, n in sorted(best.items()) if n}


def _with(element: str, others: str) -> str:
    """Put an element before the others, once."""
    return "/".join([element, *(e for e in others.split("/") if e not in ("", element))])


def _named(found: list[Termination]) -> list[Termination]:
    """Make the names unique: the second of a name becomes '.2'."""
    counts: dict[str, int] = {}
    named = []
    for t in found:
        n = counts[t.name] = counts.get(t.name, 0) + 1
        named.append(replace(t, name=f"{t.name}.{n}") if n > 1 else t)
    return named


def usable(found: Sequence[Termination]) -> list[Termination]:
    """Keep what a slab can be made of: no kept bond broken, no dipole that grows.

    Raises
    ------
    InputError
        If none is left, saying how many cuts failed and why, and what to take all the same.
    """
    good = [t for t in found if not t.broken_bonds and not t.polar]
    if good or not found:
        return good
    where = f"{found[0].material}({''.join(str(i) for i in found[0].miller)})"
    broken = [t for t in found if t.broken_bonds]
    polar = [t for t in found if t.polar and not t.broken_bonds]
    names = ", ".join(sorted({bond for t in broken for bond in t.broken_bonds}))
    reasons = [f"{len(broken)} break bonds to keep ({names})"] if broken else []
    reasons += [f"{len(polar)} are polar and no part of a surface layer mends them"] * bool(polar)
    hint = "name fewer bonds in keep_bonds of the material (none: [])"
    if polar:
        least = min(polar, key=lambda t: abs(t.dipole_per_area_e_A))
        hint = (
            f"name the least polar one, termination: {least.name!r}, to take it all the same: its "
            f"dipole grows by {abs(least.dipole_per_area_e_A):.4f} e/Å with each repeat unit"
        )
    raise InputError(
        f"none of the {len(found)} cuts can be used: {' and '.join(reasons)}",
        where=where,
        hint=hint,
    )


def build_slab(
    material: Material,
    termination: Termination,
    thickness: int,
    supercell: Sequence[Sequence[int]] = ((1, 0), (0, 1)),
) -> Atoms:
    """Build a slab whose top (+z) is the termination's.

    Parameters
    ----------
    material : Material
        The crystal that the termination belongs to, possibly at a scaled lattice.
    termination : Termination
        From `terminations`.
    thickness : int
        Atomic layers of a metal, sheets of a layered crystal, repeat units of a compound.
        Layers and sheets that are too many are left off at the bottom.
    supercell : (2, 2) integers
        Rows in units of the primitive mesh.

    Returns
    -------
    ase.Atoms
        Periodic in x and y. Two cell rows are ``supercell @ mesh_A``; the third is
        perpendicular and as long as the slab is thick (1 Å for a flat one): no vacuum.
        The lowest atom is at z = 0; atoms are sorted by height.

    Raises
    ------
    InputError
        If the thickness is below 1, the supercell is singular, or its number of meshes is no
        multiple of ``cell_multiple``.

    Notes
    -----
    Which ions of a mended layer move: the arrangement of lowest Ewald energy of the formal
    charges; among equals (1 meV) one whose slab has an inversion centre, then the first in
    order. Beyond 20000 arrangements a fixed pseudo-random sample of that many is compared.
    """
    cell = _checked_supercell(termination, thickness, supercell)
    n_repeats = -(-thickness // termination.units_per_repeat) + (termination.part_A > 0)
    unit = _unit(material, termination, thickness, n_repeats)
    matrix = np.eye(3, dtype=np.int64)
    matrix[:2, :2] = cell
    slab = make_supercell(unit, matrix, wrap=False)
    if termination.mended:
        k = round(termination.moved_fraction * int(slab.get_tags().sum()))
        slab = _move(slab, k, n_repeats * termination.repeat_A, material.oxidation_states or {})
    return _finished(slab)


def cut_bonds_per_area(material: Material, termination: Termination) -> float:
    """Bond order that a cut goes through per area, 1/Å2: how hard the crystal is to part there.

    s = (1/A) sum over the pairs that the cut parts of exp((r_i + r_j - d_ij) / 0.37 Å), with
    covalent radii r: Pauling's bond order with the decay of bond valences (Brown and
    Altermatt, Acta Cryst. B 41, 244 (1985)). Of the plain cut, before ions are moved.

    Parameters
    ----------
    material : Material
    termination : Termination
        From `terminations` of it.
    """
    sign = -1 if termination.flipped else 1
    plane = _plane(material, [sign * i for i in termination.miller])
    cut_A = termination.shift * plane.period_A
    cell = np.vstack([np.pad(plane.mesh_A, ((0, 0), (0, 1))), plane.repeat_A])
    positions = plane.above(cut_A)
    crystal = Structure(Lattice(cell), plane.symbols, positions, coords_are_cartesian=True)
    i, j, images, distance_A = crystal.get_neighbor_list(BOND_REACH_A, exclude_self=True)
    radii = covalent_radii[[atomic_numbers[s] for s in plane.symbols]]
    low, high = positions[i, 2], positions[j, 2] + images @ cell[:, 2]
    passed = np.diff(np.floor((np.column_stack([low, high]) - cut_A) / plane.period_A), axis=1)[
        :, 0
    ]
    order = np.exp((radii[i] + radii[j] - distance_A) / BOND_DECAY_A)
    return float((order * np.maximum(passed, 0)).sum()) / plane.area_A2


def _checked_supercell(
    termination: Termination, thickness: int, supercell: Sequence[Sequence[int]]
) -> Ints:
    """Refuse a thickness or a supercell that the termination cannot have."""
    cell = np.array(supercell, dtype=np.int64)
    n_meshes = abs(round(float(np.linalg.det(cell)))) if cell.shape == (2, 2) else 0
    where = f"{termination.material}({''.join(str(i) for i in termination.miller)})"
    if thickness < 1:
        raise InputError(f"thickness {thickness} is below 1", where=where)
    if n_meshes == 0:
        raise InputError(f"supercell {cell.tolist()} has no area", where=where)
    if n_meshes % termination.cell_multiple:
        raise InputError(
            f"{termination.name!r} needs a multiple of {termination.cell_multiple} surface meshes,"
            f" not {n_meshes}",
            where=where,
            hint="choose a larger common cell (max_area_A2) or another termination",
        )
    return cell


@lru_cache(maxsize=64)
def _unit(material: Material, termination: Termination, thickness: int, n_repeats: int) -> Atoms:
    """Slab on one mesh; a search cuts the same one for hundreds of supercells."""
    sign = -1 if termination.flipped else 1
    plane = _plane(material, [sign * i for i in termination.miller])
    cut_A = termination.shift * plane.period_A
    return _stack(material, plane, cut_A, n_repeats, thickness, termination)


def _stack(
    material: Material,
    plane: _Plane,
    cut_A: float,
    n_repeats: int,
    thickness: int,
    termination: Termination,
) -> Atoms:
    """Repeat units on one mesh, surplus units cut off below; ions that may move tagged 1."""
    base = plane.above(cut_A)
    shifts = np.arange(n_repeats)[:, None, None] * plane.repeat_A
    positions = (base + shifts).reshape(-1, 3)
    symbols = np.tile(plane.symbols, n_repeats)
    tags = np.zeros(len(positions), dtype=int)
    if termination.mended:
        layer, _ = _top_layer(plane, cut_A)
        tags[(n_repeats - 1) * len(base) + layer] = 1
    else:
        surplus = n_repeats * termination.units_per_repeat - thickness
        floor_A = cut_A
        if surplus:
            # Cuts between units, counted up from the bottom of the stack.
            inner = np.sort((_units(material, plane) - cut_A - 1e-6) % plane.period_A)
            floor_A = cut_A + float(inner[surplus - 1]) + 1e-6
        if termination.part_A:
            whole_A = plane.period_A if termination.part_A > 0 else 0.0
            floor_A = cut_A + whole_A - termination.part_A
        keep = positions[:, 2] > floor_A
        positions, symbols, tags = positions[keep], symbols[keep], tags[keep]
    height_A = max(float(np.ptp(positions[:, 2])), 1.0)
    cell = np.vstack([np.pad(plane.mesh_A, ((0, 0), (0, 1))), [0, 0, height_A]])
    return Atoms(symbols, positions, cell=cell, pbc=(True, True, False), tags=tags)


def _finished(slab: Atoms) -> Atoms:
    """Lowest atom at z = 0, third vector as long as the slab, atoms sorted by height."""
    slab = slab.copy()
    slab.positions[:, 2] -= slab.positions[:, 2].min()
    slab.cell[2] = [0, 0, max(float(slab.positions[:, 2].max()), 1.0)]
    slab.wrap(eps=1e-6)
    slab.set_tags(0)
    rounded = np.round(slab.positions, 4)
    return slab[np.lexsort((rounded[:, 0], rounded[:, 1], slab.numbers, rounded[:, 2]))]


def _move(slab: Atoms, k: int, down_A: Floats, charges: dict[str, float]) -> Atoms:
    """Move k of the tagged ions down to the other face, in the arrangement of lowest energy."""
    movable = np.flatnonzero(slab.get_tags() == 1)
    moved = _arrangements(len(movable), k)
    energy_eV = _ewald_energies(slab, movable, moved, down_A, charges)
    lowest = np.flatnonzero(energy_eV < energy_eV.min() + SAME_ENERGY_EV)
    first: Atoms | None = None
    for i in lowest[:100]:
        candidate = slab.copy()
        candidate.positions[movable[moved[i]]] -= down_A
        first = candidate if first is None else first
        if _has_inversion(candidate):
            return candidate
    assert first is not None  # the lowest energy is always among them
    return first


def _arrangements(n: int, k: int) -> NDArray[np.bool_]:
    """Ways to choose k of n, one row each, in a fixed order."""
    if comb(n, k) <= MAX_ARRANGEMENTS:
        chosen = np.array(list(combinations(range(n), k)), dtype=np.int64)
    else:
        scores = np.random.default_rng(0).random((MAX_ARRANGEMENTS, n))
        chosen = np.sort(np.argsort(scores, axis=1)[:, :k], axis=1)
    picks = np.zeros((len(chosen), n), dtype=bool)
    np.put_along_axis(picks, chosen, True, axis=1)
    return picks


def _ewald_energies(
    slab: Atoms,
    movable: Ints,
    moved: NDArray[np.bool_],
    down_A: Floats,
    charges: dict[str, float],
) -> Floats:
    """Ewald energy of each arrangement, eV, relative to a common constant.

    One Ewald matrix over the fixed ions and the places on both faces serves all
    arrangements: E = o M o with occupations o. Slabs are 14 Å of vacuum apart.
    """
    fixed = np.setdiff1d(np.arange(len(slab)), movable)
    symbols = np.array(slab.get_chemical_symbols())
    places = np.vstack([slab.positions[movable], slab.positions[movable] - down_A])
    positions = np.vstack([slab.positions[fixed], places])
    elements = [*symbols[fixed], *symbols[movable], *symbols[movable]]
    cell = np.array(slab.cell)
    cell[2] = [0, 0, float(np.ptp(positions[:, 2])) + 2 * VACUUM_A]
    crystal = Structure(
        Lattice(cell),
        [Species(e, charges[e]) for e in elements],
        positions,
        coords_are_cartesian=True,
        to_unit_cell=True,
    )
    matrix = np.asarray(EwaldSummation(crystal).total_energy_matrix)
    n = len(fixed)
    occupied = np.hstack([~moved, moved]).astype(float)
    field = 2 * matrix[:n, n:].sum(axis=0)
    energies: Floats = occupied @ field + np.einsum(
        "ai,ij,aj->a", occupied, matrix[n:, n:], occupied, optimize=True
    )
    return energies


def _has_inversion(slab: Atoms) -> bool:
    """Whether a slab has an inversion centre."""
    boxed = slab.copy()
    boxed.cell[2] = [0, 0, float(np.ptp(boxed.positions[:, 2])) + 2 * VACUUM_A]
    boxed.pbc = True
    structure = AseAtomsAdaptor.get_structure(boxed)
    return bool(SpacegroupAnalyzer(structure, symprec=SYMPREC_A).is_laue())
