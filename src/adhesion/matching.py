"""The lattice match: common supercells of two in-plane lattices, all of them and each once.

A mesh is a (2, 2) array whose rows are the primitive in-plane vectors in Å, in any basis and
orientation. A match pairs a film supercell A = N F with a substrate supercell B = M S (N and M
integer, rows are vectors). The deformation D = A⁻¹ B carries film vectors into substrate vectors,
a D = b. Its polar form D = R P holds the twist (the rotation R, done first) and the principal
stretches l₁ ≤ l₂ (eigenvalues of P, along axes in the substrate's frame). Of the logarithmic strain
the substrate takes the share f: the film is stretched by l^(1-f), the substrate by l^(-f).

The search is exact. With every stretch in [lo, hi], the metrics obey
B Bᵀ/hi² ≤ A Aᵀ ≤ B Bᵀ/lo² as quadratic forms. For each substrate supercell with Lagrange-reduced
rows b₁, b₂ this bounds the length of the first film vector, the film multiple det N and the scalar
product a₁·a₂; det(p, q) = n then leaves a handful of second vectors q = q₀ + k p/gcd(p).

After A. Zur and T. C. McGill, J. Appl. Phys. 55, 378 (1984), doi 10.1063/1.333084 (reduced
supercells by area) and P. Lazić, Comput. Phys. Commun. 197, 324 (2015),
doi 10.1016/j.cpc.2015.08.038 (any deformation, not lengths and angles one by one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adhesion.errors import InputError, NoMatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Transformation = tuple[tuple[int, int], tuple[int, int]]

SYMMETRY_TOLERANCE = 1e-5
"""Relative difference of squared lengths below which a rotation is a symmetry of a mesh."""

_SLACK = 1e-9  # round-off allowed at every limit
_BUDGET = 400_000  # candidates held in memory at once
_WIDEST_STRAIN = 0.3  # where the hunt for near misses ends


@dataclass(frozen=True)
class Match:
    """A common supercell of film and substrate.

    Attributes
    ----------
    film_transformation, substrate_transformation : tuple of tuple of int
        N and M: rows are the supercell vectors in vectors of the mesh as it was given. Row i of
        the one comes to lie on row i of the other.
    film_multiple, substrate_multiple : int
        Mesh cells in the supercell, abs(det N) and abs(det M).
    area_A2 : float
        Area of the unstrained substrate supercell, Å2.
    stretches : tuple of float
        Principal stretches from film to substrate supercell, ascending; 1 is no strain.
    twist_deg : float
        Angle by which the film mesh as given is turned (counter-clockwise positive) to lie on the
        substrate mesh as given; the smallest among those that the rotation symmetries of the two
        meshes make equal.
    """

    film_transformation: Transformation
    substrate_transformation: Transformation
    film_multiple: int
    substrate_multiple: int
    area_A2: float
    stretches: tuple[float, float]
    twist_deg: float

    @property
    def strain(self) -> float:
        """Larger absolute principal strain if the film takes all of it."""
        return max(abs(stretch - 1) for stretch in self.stretches)

    def strains(self, substrate_share: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Principal strains of film and substrate in the common cell.

        Parameters
        ----------
        substrate_share : float
            Part f of the logarithmic strain that the substrate takes, 0 to 1.

        Returns
        -------
        tuple of tuple of float
            Film strains l^(1-f) - 1 and substrate strains l^(-f) - 1, in the order of
            `stretches`; positive is stretched, as fractions.

        Raises
        ------
        InputError
            If the share is not between 0 and 1.
        """
        f = _checked_share(substrate_share)
        low, high = self.stretches
        return (low ** (1 - f) - 1, high ** (1 - f) - 1), (low**-f - 1, high**-f - 1)


@dataclass(frozen=True)
class NearMiss:
    """The best match outside the limits, and the settings that would admit it.

    Attributes
    ----------
    match : Match
        The match.
    film_strain, substrate_strain : float
        Larger absolute principal strain of each side at the share asked for.
    settings : dict of str to float
        What to raise, and to which value at least: max_area_A2, strain.max_film,
        strain.max_substrate.
    """

    match: Match
    film_strain: float
    substrate_strain: float
    settings: dict[str, float]

    def __str__(self) -> str:
        changes = " and ".join(f"{key}: {value:g}" for key, value in self.settings.items())
        return (
            f"{changes} (film {self.film_strain:.2%}, substrate {self.substrate_strain:.2%} "
            f"at {self.match.area_A2:.1f} Å2)"
        )


class _Mesh(NamedTuple):
    """A mesh in its reduced, right-handed basis."""

    rows: Floats  # (2, 2), Å
    basis: Ints  # (2, 2): rows in vectors of the mesh as given
    rotations: Ints  # (g, 2, 2): proper symmetries R, rows of R @ rows are rows turned
    area: float


class _Candidates(NamedTuple):
    """Aligned supercells within the strain limits."""

    film: Ints  # (n, 2, 2)
    substrate: Ints  # (n, 2, 2)


def find_matches(
    film_mesh_A: ArrayLike,
    substrate_mesh_A: ArrayLike,
    *,
    max_area_A2: float,
    max_film_strain: float = 0.05,
    max_substrate_strain: float = 0.05,
    substrate_share: float = 0.0,
    substrate_multiple_of: int = 1,
) -> list[Match]:
    """Find every distinct common supercell within the limits.

    Two matches are the same if a change of the supercell's basis or a proper rotation symmetry of
    either mesh carries one into the other. Mirror images stay apart: a mesh cannot tell whether
    its crystal has the mirror. A supercell of a smaller match is left out, unless the smaller
    one has a forbidden substrate multiple.

    Parameters
    ----------
    film_mesh_A, substrate_mesh_A : array_like, shape (2, 2)
        Primitive in-plane vectors as rows, Å; any basis, orientation and handedness.
    max_area_A2 : float
        Limit on the area of the unstrained substrate supercell, Å2.
    max_film_strain, max_substrate_strain : float
        Limits on both principal strains of each side, by absolute value, as fractions.
    substrate_share : float
        Part of the logarithmic strain that the substrate takes: 0 strains the film alone.
    substrate_multiple_of : int
        Only substrate multiples divisible by this; 2 where a reconstruction needs even ones.

    Returns
    -------
    list of Match
        Ranked by area, then strain, then the length of the longer cell vector. May be empty.

    Raises
    ------
    InputError
        If a mesh or a limit makes no sense.
    """
    film, substrate = _mesh(film_mesh_A, "film_mesh_A"), _mesh(substrate_mesh_A, "substrate_mesh_A")
    _check_limits(max_area_A2, substrate_multiple_of)
    low, high = _stretch_limits(max_film_strain, max_substrate_strain, substrate_share)
    lattices = _superlattices(substrate, max_area_A2, substrate_multiple_of)
    parts = [
        _smallest(_aligned(film, substrate, some, low, high), substrate_multiple_of)
        for some in _chunks(film, substrate, lattices, low, high)
    ]
    if not parts:
        return []
    found = _Candidates(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    return _ranked(film, substrate, _distinct(film, substrate, found))


def common_cell(
    match: Match, film_mesh_A: ArrayLike, substrate_mesh_A: ArrayLike, substrate_share: float
) -> Floats:
    """Cell that both supercells are strained into, in the substrate's orientation.

    With D = A⁻¹ B = W diag(l) Vᵀ the cell is C = B V diag(l^(-f)) Vᵀ, so that A⁻¹ C has the
    principal stretches l^(1-f) and B⁻¹ C has l^(-f).

    Parameters
    ----------
    match : Match
        A match of these two meshes.
    film_mesh_A, substrate_mesh_A : array_like, shape (2, 2)
        The meshes it was found for, Å.
    substrate_share : float
        Part f of the logarithmic strain that the substrate takes, 0 to 1.

    Returns
    -------
    ndarray, shape (2, 2)
        Cell vectors as rows, Å, right-handed.

    Raises
    ------
    InputError
        If a mesh is none, or the share is not between 0 and 1.
    """
    film_mesh = _checked_mesh(film_mesh_A, "film_mesh_A")
    substrate_mesh = _checked_mesh(substrate_mesh_A, "substrate_mesh_A")
    return shared_cell(
        np.array(match.film_transformation) @ film_mesh,
        np.array(match.substrate_transformation) @ substrate_mesh,
        substrate_share,
    )


def shared_cell(film_cell_A: Floats, substrate_cell_A: Floats, substrate_share: float) -> Floats:
    """Cell between two supercells that belong together row by row; see `common_cell`."""
    f = _checked_share(substrate_share)
    _, stretches, axes = np.linalg.svd(np.linalg.solve(film_cell_A, substrate_cell_A))
    cell: Floats = substrate_cell_A @ axes.T @ np.diag(stretches**-f) @ axes
    return cell


def pareto(
    matches: Iterable[Match],
    *,
    cost: Callable[[Match], float] | None = None,
    strain: Callable[[Match], float] | None = None,
) -> list[Match]:
    """Keep the matches that no other beats in both cost and strain.

    Parameters
    ----------
    matches : iterable of Match
        From `find_matches`.
    cost : callable, optional
        What a match costs, for example its atoms; its area if left out.
    strain : callable, optional
        How strained it is; `Match.strain` if left out.

    Returns
    -------
    list of Match
        Rising cost, falling strain.
    """
    key = cost or (lambda match: match.area_A2)
    badness = strain or (lambda match: match.strain)
    front: list[Match] = []
    best = math.inf
    for match in sorted(matches, key=lambda m: (round(key(m), 6), badness(m))):
        if badness(match) < best - _SLACK:
            front.append(match)
            best = badness(match)
    return front


def one_per_strain(matches: Iterable[Match]) -> list[Match]:
    """Keep one match of each pair of multiples and strains, the least twisted, in the same order.

    What is left out differs only in its twist, shape or sense of rotation; it costs the same.

    Parameters
    ----------
    matches : iterable of Match
        From `find_matches`.

    Returns
    -------
    list of Match
        Part of them; equal means the same multiples and stretches to 1e-6.
    """
    kept: dict[tuple[float, ...], Match] = {}
    matches = list(matches)
    for match in sorted(matches, key=lambda m: abs(m.twist_deg)):
        low, high = (round(stretch, 6) for stretch in match.stretches)
        kept.setdefault((match.film_multiple, match.substrate_multiple, low, high), match)
    chosen = {id(match) for match in kept.values()}
    return [match for match in matches if id(match) in chosen]


def enlarged(matches: Iterable[Match], film_multiple_of: int, max_area_A2: float) -> list[Match]:
    """Return the matches with those enlarged whose film multiple is not allowed.

    Parameters
    ----------
    matches : iterable of Match
        From `find_matches`.
    film_multiple_of : int
        What the film multiple must be divisible by: 2 where a reconstructed film needs even ones.
    max_area_A2 : float
        Limit on the area, Å2; an enlarged match beyond it is left out.

    Returns
    -------
    list of Match
        Ranked by area as before; the shorter cell vector is multiplied.
    """
    found = []
    for match in matches:
        factor = film_multiple_of // math.gcd(film_multiple_of, match.film_multiple)
        if match.area_A2 * factor <= max_area_A2 * (1 + _SLACK):
            found.append(match if factor == 1 else _multiplied(match, factor))
    return sorted(found, key=lambda match: round(match.area_A2, 6))


def oriented(
    matches: Sequence[Match],
    film_mesh_A: ArrayLike,
    substrate_mesh_A: ArrayLike,
    film_operations: Sequence[ArrayLike],
    substrate_operations: Sequence[ArrayLike],
) -> list[Match]:
    """Return the orientations that the two crystals tell apart, each once.

    `find_matches` knows the meshes only. A face may have less symmetry than its mesh (a square
    mesh of a zincblende (001) has no fourfold axis): then one match stands for several
    interfaces. And it may have mirrors, which make twins of left and right equal: both faces
    need one.

    Parameters
    ----------
    matches : sequence of Match
        From `find_matches`.
    film_mesh_A, substrate_mesh_A : array_like, shape (2, 2)
        The meshes they were found for, Å.
    film_operations, substrate_operations : sequence of array_like, shape (2, 2)
        Point operations of each face as integer matrices that act on rows in mesh vectors, the
        identity and mirrors among them.

    Returns
    -------
    list of Match
        Those given, less their mirror twins, then other orientations of the same cells.
    """
    if not matches:
        return []
    meshes = _mesh(film_mesh_A, "film_mesh_A"), _mesh(substrate_mesh_A, "substrate_mesh_A")
    turns = [np.rint(np.linalg.inv(m.basis) @ m.rotations @ m.basis).astype(int) for m in meshes]
    pairs = [(on_low, on_high) for on_low in turns[1] for on_high in turns[0]]
    given = [
        np.array([getattr(m, f"{side}_transformation") for m in matches])
        for side in ("film", "substrate")
    ]
    film = np.concatenate([given[0] @ on_high for _, on_high in pairs])
    substrate = np.concatenate([given[1] @ on_low for on_low, _ in pairs])
    forms = _first_form(film, substrate, film_operations, substrate_operations)
    _, first = np.unique(forms, axis=0, return_index=True)
    order = np.sort(first)  # the identity comes first, so those given do
    cells = film @ np.asarray(film_mesh_A, float), substrate @ np.asarray(substrate_mesh_A, float)
    _, twist = _polar(*cells)
    return [
        matches[i]
        if i < len(matches)
        else replace(
            matches[i % len(matches)],
            film_transformation=_as_tuples(film[i]),
            substrate_transformation=_as_tuples(substrate[i]),
            twist_deg=float(twist[i].round(9)) + 0.0,
        )
        for i in order.tolist()
    ]


def _first_form(
    film: Ints,
    substrate: Ints,
    film_operations: Sequence[ArrayLike],
    substrate_operations: Sequence[ArrayLike],
) -> Ints:
    """First, in order of its numbers, of the Hermite forms that the operations make equal."""
    best: Ints | None = None
    for on_high in np.asarray(film_operations, dtype=np.int64):
        for on_low in np.asarray(substrate_operations, dtype=np.int64):
            if _det(on_high) != _det(on_low):
                continue  # a mirror image of one side alone is another crystal
            both = np.concatenate([substrate @ on_low, film @ on_high], axis=2)
            form = _hermite(both).reshape(len(both), 8)
            if best is None:
                best = form
                continue
            change = form - best
            leading = np.take_along_axis(change, (change != 0).argmax(axis=1)[:, None], axis=1)
            best = np.where(leading < 0, form, best)
    assert best is not None  # the identity is among the operations
    return best


def match_of(
    film_mesh_A: ArrayLike,
    substrate_mesh_A: ArrayLike,
    film_transformation: Sequence[Sequence[int]],
    substrate_transformation: Sequence[Sequence[int]],
) -> Match:
    """Return the match of two supercells that are known to belong together, row by row."""
    film = np.asarray(film_transformation, dtype=np.int64)
    substrate = np.asarray(substrate_transformation, dtype=np.int64)
    cells = film @ np.asarray(film_mesh_A, float), substrate @ np.asarray(substrate_mesh_A, float)
    stretches, twist = _polar(*cells)
    return Match(
        film_transformation=_as_tuples(film),
        substrate_transformation=_as_tuples(substrate),
        film_multiple=abs(int(_det(film))),
        substrate_multiple=abs(int(_det(substrate))),
        area_A2=abs(float(np.linalg.det(cells[1]))),
        stretches=(float(stretches[0]), float(stretches[1])),
        twist_deg=float(np.round(twist, 9)) + 0.0,
    )


def _multiplied(match: Match, factor: int) -> Match:
    """Multiply the first, shorter vector of a match."""
    (a, b), second = match.film_transformation
    (c, d), other = match.substrate_transformation
    return replace(
        match,
        film_transformation=((factor * a, factor * b), second),
        substrate_transformation=((factor * c, factor * d), other),
        film_multiple=factor * match.film_multiple,
        substrate_multiple=factor * match.substrate_multiple,
        area_A2=factor * match.area_A2,
    )


def nearest_misses(
    film_mesh_A: ArrayLike,
    substrate_mesh_A: ArrayLike,
    *,
    max_area_A2: float,
    max_film_strain: float = 0.05,
    max_substrate_strain: float = 0.05,
    substrate_share: float = 0.0,
    substrate_multiple_of: int = 1,
) -> list[NearMiss]:
    """Find the matches that come nearest where `find_matches` found none.

    One needs more strain at the same area (up to 30 %), one more area at the same strain (up to
    8 times). Parameters and errors are those of `find_matches`.

    Returns
    -------
    list of NearMiss
        At most two; empty if nothing lies that near.
    """

    def search(area: float, film_limit: float, substrate_limit: float) -> list[Match]:
        return find_matches(
            film_mesh_A,
            substrate_mesh_A,
            max_area_A2=area,
            max_film_strain=film_limit,
            max_substrate_strain=substrate_limit,
            substrate_share=substrate_share,
            substrate_multiple_of=substrate_multiple_of,
        )

    film_limit, substrate_limit = max_film_strain, max_substrate_strain
    strained: list[Match] = []
    while not strained and min(film_limit, substrate_limit) < _WIDEST_STRAIN:
        film_limit = min(max(1.4 * film_limit, 0.02), _WIDEST_STRAIN)
        substrate_limit = min(max(1.4 * substrate_limit, 0.02), _WIDEST_STRAIN)
        strained = search(max_area_A2, film_limit, substrate_limit)
    larger: list[Match] = []
    for factor in (2, 4, 8):
        larger = larger or search(factor * max_area_A2, max_film_strain, max_substrate_strain)
    nearest = [*sorted(strained, key=lambda match: match.strain)[:1], *larger[:1]]
    limits = (max_area_A2, max_film_strain, max_substrate_strain)
    return [_near_miss(match, limits, substrate_share) for match in nearest]


def no_match_error(
    film_mesh_A: ArrayLike,
    substrate_mesh_A: ArrayLike,
    *,
    max_area_A2: float,
    max_film_strain: float = 0.05,
    max_substrate_strain: float = 0.05,
    substrate_share: float = 0.0,
    substrate_multiple_of: int = 1,
    where: str = "",
) -> NoMatchError:
    """Make the error to raise where `find_matches` returned nothing.

    Parameters are those of `find_matches`, and `where`, the interface or study key it is about.

    Returns
    -------
    NoMatchError
        With the limits, and what to raise to reach the nearest misses.
    """
    misses = nearest_misses(
        film_mesh_A,
        substrate_mesh_A,
        max_area_A2=max_area_A2,
        max_film_strain=max_film_strain,
        max_substrate_strain=max_substrate_strain,
        substrate_share=substrate_share,
        substrate_multiple_of=substrate_multiple_of,
    )
    even = f" in multiples of {substrate_multiple_of}" if substrate_multiple_of > 1 else ""
    what = (
        f"no common cell of film and substrate up to {max_area_A2:g} Å2{even} with strains up to "
        f"{max_film_strain:.2%} (film) and {max_substrate_strain:.2%} (substrate)"
    )
    hint = "set " + ", or ".join(str(miss) for miss in misses) if misses else ""
    return NoMatchError(what, where=where, hint=hint or "nothing lies near; try another miller")


def _near_miss(match: Match, limits: tuple[float, float, float], share: float) -> NearMiss:
    """Say which limits keep a match out; the values are rounded up so that they admit it."""
    film, substrate = (max(map(abs, strains)) for strains in match.strains(share))
    reached = (
        ("max_area_A2", match.area_A2, limits[0], 1),
        ("strain.max_film", film, limits[1], 4),
        ("strain.max_substrate", substrate, limits[2], 4),
    )
    settings = {
        key: math.ceil(value * 10**digits) / 10**digits
        for key, value, limit, digits in reached
        if value > limit * (1 + _SLACK) + _SLACK
    }
    return NearMiss(match, film, substrate, settings)


def _checked_mesh(mesh_A: ArrayLike, name: str) -> Floats:
    mesh = np.asarray(mesh_A, dtype=float)
    if mesh.shape != (2, 2) or not np.isfinite(mesh).all():
        raise InputError(
            "is no mesh", where=name, hint="give two finite in-plane vectors as rows, shape (2, 2)"
        )
    if abs(np.linalg.det(mesh)) <= 1e-6 * np.sum(mesh**2):
        raise InputError("the two vectors are (nearly) parallel", where=name)
    return mesh


def _checked_share(share: float) -> float:
    if not 0 <= share <= 1:
        raise InputError(f"{share} is not between 0 and 1", where="substrate_share")
    return share


def _check_limits(max_area_A2: float, substrate_multiple_of: int) -> None:
    if not 0 < max_area_A2 < math.inf:
        raise InputError(f"{max_area_A2} is no area limit", where="max_area_A2")
    if substrate_multiple_of < 1:
        raise InputError(f"{substrate_multiple_of} is below 1", where="substrate_multiple_of")


def _stretch_limits(film: float, substrate: float, share: float) -> tuple[float, float]:
    """Interval of stretches l for which l^(1-f) and l^(-f) keep within the strain limits."""
    for name, limit in (("max_film_strain", film), ("max_substrate_strain", substrate)):
        if not 0 <= limit < 1:
            raise InputError(f"{limit} is not between 0 and 1", where=name)
    f = _checked_share(share)
    low, high = -math.inf, math.inf  # of ln l
    if f < 1:
        low, high = math.log1p(-film) / (1 - f), math.log1p(film) / (1 - f)
    if f > 0:
        low = max(low, -math.log1p(substrate) / f)
        high = min(high, -math.log1p(-substrate) / f)
    return math.exp(low) * (1 - _SLACK), math.exp(high) * (1 + _SLACK)


def _mesh(mesh_A: ArrayLike, name: str) -> _Mesh:
    """Reduce a mesh and find its rotation symmetries."""
    mesh = _checked_mesh(mesh_A, name)
    basis = np.eye(2, dtype=np.int64)
    if np.linalg.det(mesh) < 0:
        basis = basis[::-1]
    basis = _reduced(basis[None], mesh)[0]
    rows = basis @ mesh
    return _Mesh(rows, basis, _rotations(rows), float(np.linalg.det(rows)))


def _rotations(rows: Floats) -> Ints:
    """Proper rotation symmetries of a reduced mesh: the powers of a 6-, 4- or 2-fold rotation.

    Taken as powers so that they form a group even where a symmetry holds only nearly.
    """
    metric = rows @ rows.T
    turns = {6: [[[0, 1], [-1, 1]], [[1, 1], [-1, 0]]], 4: [[[0, 1], [-1, 0]]]}
    for order, generators in turns.items():
        for turn in np.array(generators, dtype=np.int64):
            change = turn @ metric @ turn.T - metric
            if np.abs(change).max() <= SYMMETRY_TOLERANCE * metric.max():
                return np.array([np.linalg.matrix_power(turn, i) for i in range(order)])
    return np.array([np.eye(2), -np.eye(2)], dtype=np.int64)


def _reduced(cells: Ints, mesh: Floats) -> Ints:
    """Lagrange-Gauss reduction of supercells (n, 2, 2), keeping the sense of rotation.

    Afterwards |b1| <= |b2| and |b1·b2| <= |b1|²/2, up to round-off; a reduced cell is left as it
    is.
    """
    cells = cells.copy()
    todo = np.arange(len(cells))
    while len(todo):
        first, second = cells[todo, 0], cells[todo, 1]
        b1, b2 = first @ mesh, second @ mesh
        steps = np.rint(_dot(b1, b2) / _dot(b1, b1) * (1 - _SLACK)).astype(np.int64)
        second = second - steps[:, None] * first
        b2 = second @ mesh
        swap = _dot(b2, b2) < _dot(b1, b1) * (1 - _SLACK)
        cells[todo, 0] = np.where(swap[:, None], second, first)
        cells[todo, 1] = np.where(swap[:, None], -first, second)
        todo = todo[swap]
    return cells


def _dot(a: Floats, b: Floats) -> Floats:
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]


def _det(a: Ints) -> Ints:
    return a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]


def _hermite(pairs: Ints) -> Ints:
    """Row-style Hermite form of (n, 2, k) integer matrices, by their first two columns.

    The first two columns become [[a, b], [0, c]] with a, c > 0 and 0 <= b < c; the other columns
    follow. Unique for the rows' lattice, since the first two columns have full rank.
    """
    top, bottom = pairs[:, 0].copy(), pairs[:, 1].copy()
    while (todo := np.flatnonzero(bottom[:, 0])).size:
        steps = top[todo, 0] // bottom[todo, 0]
        top[todo], bottom[todo] = bottom[todo], top[todo] - steps[:, None] * bottom[todo]
    top *= np.sign(top[:, :1])
    bottom *= np.sign(bottom[:, 1:2])
    top -= (top[:, 1] // bottom[:, 1])[:, None] * bottom
    return np.stack([top, bottom], axis=1)


def _ranges(starts: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Concatenate the integer ranges start, start + 1, … with the index of the range of each."""
    owner = np.repeat(np.arange(len(counts)), counts)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, starts[owner] + offset


def _superlattices(substrate: _Mesh, max_area_A2: float, multiple_of: int) -> Ints:
    """Every superlattice up to the area as reduced cells (n, 2, 2), one of each symmetric set."""
    largest = math.floor(max_area_A2 / substrate.area * (1 + _SLACK))
    a = np.arange(1, largest + 1)
    owner, c = _ranges(np.ones_like(a), largest // a)
    a = a[owner]
    keep = (a * c) % multiple_of == 0
    a, c = a[keep], c[keep]
    owner, b = _ranges(np.zeros_like(c), c)
    a, c = a[owner], c[owner]
    cells = np.stack([np.stack([a, b], -1), np.stack([0 * a, c], -1)], axis=1)
    code = _code(cells, largest)
    keep = np.ones(len(cells), dtype=bool)
    for rotation in substrate.rotations[1 : len(substrate.rotations) // 2]:
        keep &= code <= _code(_hermite(cells @ rotation), largest)
    return _reduced(cells[keep], substrate.rows)


def _code(cells: Ints, largest: int) -> Ints:
    """One number for each Hermite form."""
    return (cells[:, 0, 0] * (largest + 1) + cells[:, 0, 1]) * (largest + 1) + cells[:, 1, 1]


def _film_vectors(film: _Mesh, longest: float) -> tuple[Ints, Floats]:
    """Film lattice vectors (n, 2) by length, one of each set that rotations make equal."""
    reach = (np.linalg.norm(np.linalg.inv(film.rows), axis=0) * longest).astype(np.int64) + 1
    x, y = np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij")
    vectors = np.stack([x.ravel(), y.ravel()], axis=1)
    lengths = np.linalg.norm(vectors @ film.rows, axis=1)
    keep = (lengths <= longest) & vectors.any(axis=1)
    vectors, lengths = vectors[keep], lengths[keep]
    weights = np.array([4 * reach.sum() + 4, 1])
    code = vectors @ weights
    for rotation in film.rotations[1:]:
        keep = code >= vectors @ rotation @ weights
        vectors, lengths, code = vectors[keep], lengths[keep], code[keep]
    order = np.argsort(lengths, kind="stable")
    return vectors[order], lengths[order]


def _chunks(
    film: _Mesh, substrate: _Mesh, lattices: Ints, low: float, high: float
) -> Iterator[Ints]:
    """Split the superlattices so that each part makes a bounded number of candidates."""
    if not len(lattices):
        return
    cells = lattices @ substrate.rows
    first, second = np.linalg.norm(cells, axis=2).T
    spread = 1 / low**2 - 1 / high**2
    in_ring = 1 + np.pi * first**2 * spread / film.area
    multiples = 1 + _det(lattices) * substrate.area * spread / film.area
    total = np.cumsum(in_ring * multiples * (1 + spread * second / first))
    cuts = np.flatnonzero(np.diff(total // _BUDGET)) + 1
    yield from np.split(lattices, cuts)


def _aligned(film: _Mesh, substrate: _Mesh, lattices: Ints, low: float, high: float) -> _Candidates:
    """All film cells that lie on the given substrate cells with stretches in [low, high]."""
    cells = lattices @ substrate.rows
    squared = _dot(cells[:, 0], cells[:, 0])
    vectors, lengths = _film_vectors(film, float(np.sqrt(squared.max())) / low)
    start = np.searchsorted(lengths, np.sqrt(squared) / high)
    stop = np.searchsorted(lengths, np.sqrt(squared) / low, side="right")
    lattice, vector = _ranges(start, stop - start)

    # the film multiple n = det N, by area
    area = _det(lattices) * substrate.area / film.area
    least = np.ceil(area / high**2).astype(np.int64)
    count = np.floor(area / low**2).astype(np.int64) - least + 1
    owner, n = _ranges(least[lattice], count[lattice])
    lattice, vector = lattice[owner], vector[owner]
    divisor, s, t = _bezout(vectors)
    keep = n % divisor[vector] == 0
    lattice, vector, n = lattice[keep], vector[keep], n[keep]

    # second vectors q = q0 + k p/gcd(p): all with det(p, q) = n, bounded by a1·a2
    g = divisor[vector]
    p = vectors[vector]
    q0 = np.stack([-t[vector], s[vector]], axis=1) * (n // g)[:, None]
    b1, b2 = cells[lattice, 0], cells[lattice, 1]
    middle = (1 / low**2 + 1 / high**2) / 2 * _dot(b1, b2)
    margin = (1 / low**2 - 1 / high**2) / 2 * np.sqrt(_dot(b1, b1) * _dot(b2, b2))
    pitch = lengths[vector] ** 2 / g
    offset = middle - _dot(p @ film.rows, q0 @ film.rows)
    first = np.ceil((offset - margin) / pitch - _SLACK).astype(np.int64)
    last = np.floor((offset + margin) / pitch + _SLACK).astype(np.int64)
    owner, k = _ranges(first, np.maximum(last - first + 1, 0))
    q = q0[owner] + k[:, None] * (p // g[:, None])[owner]
    found = _Candidates(np.stack([p[owner], q], axis=1), lattices[lattice[owner]])
    stretches, _ = _polar(found.film @ film.rows, cells[lattice[owner]])
    keep = (stretches[:, 0] >= low) & (stretches[:, 1] <= high)
    return _Candidates(found.film[keep], found.substrate[keep])


def _bezout(vectors: Ints) -> tuple[Ints, Ints, Ints]:
    """Greatest common divisor g > 0 of each (x, y), with s x + t y = g."""
    x, y = vectors.T
    unit = np.stack([np.ones_like(x), np.zeros_like(x)], axis=1)
    top = np.column_stack([x, unit])
    bottom = np.column_stack([y, unit[:, ::-1]])
    while (todo := np.flatnonzero(bottom[:, 0])).size:
        steps = top[todo, 0] // bottom[todo, 0]
        top[todo], bottom[todo] = bottom[todo], top[todo] - steps[:, None] * bottom[todo]
    g, s, t = (top * np.sign(top[:, :1])).T
    return g, s, t


def _polar(film_cells: Floats, substrate_cells: Floats) -> tuple[Floats, Floats]:
    """Principal stretches (n, 2), ascending, and twist (n,) in degrees of D = A⁻¹ B."""
    (a, b), (c, d) = np.moveaxis(film_cells, (-2, -1), (0, 1))
    (e, f), (g, h) = np.moveaxis(substrate_cells, (-2, -1), (0, 1))
    det = a * d - b * c
    xx, xy = (d * e - b * g) / det, (d * f - b * h) / det
    yx, yy = (a * g - c * e) / det, (a * h - c * f) / det
    # D = R P with a row vector turned by R first; half sum and half difference of the stretches
    total, difference = np.hypot(xx + yy, xy - yx) / 2, np.hypot(xx - yy, xy + yx) / 2
    stretches = np.stack([total - difference, total + difference], axis=-1)
    return stretches, np.degrees(np.arctan2(xy - yx, xx + yy))


def _smallest(found: _Candidates, multiple_of: int) -> _Candidates:
    """Leave out supercells of smaller matches whose substrate multiple is allowed too.

    The index of [N|M] in the smallest common cell of the same alignment is the greatest common
    divisor of its 2 x 2 minors; a cell with m/prime mesh cells lies between for each prime in it.
    """
    columns = np.concatenate([found.substrate, found.film], axis=2)
    index = np.zeros(len(columns), dtype=np.int64)
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        index = np.gcd(index, _det(columns[:, :, [i, j]]))
    multiple = _det(found.substrate)
    keep = np.ones(len(columns), dtype=bool)
    for factor in range(2, int(index.max(initial=1)) + 1):
        keep &= (index % factor != 0) | (multiple % (factor * multiple_of) != 0)
    return _Candidates(found.film[keep], found.substrate[keep])


def _distinct(film: _Mesh, substrate: _Mesh, found: _Candidates) -> _Candidates:
    """Take one of each set that rotations make equal: the one with the smallest twist."""
    if not len(found.film):
        return found
    half = film.rotations[: len(film.rotations) // 2]  # a turn of both by 180° changes no lattice
    turned = [
        np.concatenate([found.substrate @ on_substrate, found.film @ on_film], axis=2)
        for on_film in half
        for on_substrate in substrate.rotations
    ]
    forms = _hermite(np.concatenate(turned))
    flat = forms.reshape(len(forms), 8)
    order = np.lexsort(flat.T[::-1])
    rank = np.empty(len(flat), dtype=np.int64)
    rank[order] = np.cumsum((np.diff(flat[order], axis=0, prepend=flat[order[:1]]) != 0).any(1))
    kind = np.tile(rank.reshape(len(turned), -1).min(axis=0), len(turned))
    _, twist = _polar(forms[:, :, 2:] @ film.rows, forms[:, :, :2] @ substrate.rows)
    order = np.lexsort((rank, twist < 0, np.abs(twist).round(4), kind))
    first = order[np.diff(kind[order], prepend=-1) != 0]
    substrate_cells, film_cells = forms[first, :, :2], forms[first, :, 2:]
    reduced = _reduced(substrate_cells, substrate.rows)
    # the change of basis U = M' M⁻¹ that reduced the substrate cell acts on the film cell too
    (a, b), (c, d) = np.moveaxis(substrate_cells, (-2, -1), (0, 1))
    adjugate = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], axis=-2)
    change = reduced @ adjugate // _det(substrate_cells)[:, None, None]
    return _Candidates(change @ film_cells, reduced)


def _ranked(film: _Mesh, substrate: _Mesh, found: _Candidates) -> list[Match]:
    """Matches by area, strain and longer cell vector, in the bases that were given."""
    substrate_cells = found.substrate @ substrate.rows
    stretches, twist = _polar(found.film @ film.rows, substrate_cells)
    n, m = _det(found.film), _det(found.substrate)
    length = np.linalg.norm(substrate_cells, axis=2).max(axis=1, initial=0)
    strain = np.abs(stretches - 1).max(axis=1, initial=0)
    order = np.lexsort((twist, length.round(6), strain.round(9), m))
    on_film, on_substrate = found.film @ film.basis, found.substrate @ substrate.basis
    return [
        Match(
            film_transformation=_as_tuples(on_film[i]),
            substrate_transformation=_as_tuples(on_substrate[i]),
            film_multiple=int(n[i]),
            substrate_multiple=int(m[i]),
            area_A2=float(m[i] * substrate.area),
            stretches=(float(stretches[i, 0]), float(stretches[i, 1])),
            twist_deg=float(twist[i].round(9)) + 0.0,  # no -0.0
        )
        for i in order
    ]


def _as_tuples(cell: Ints) -> Transformation:
    (a, b), (c, d) = cell.tolist()
    return (a, b), (c, d)
