from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise, product
from math import gcd, pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhesion.errors import InputError, NoMatchError
from adhesion.matching import (
    common_cell,
    enlarged,
    find_matches,
    match_of,
    nearest_misses,
    no_match_error,
    one_per_strain,
    oriented,
    pareto,
)

NA = 4.2906 * np.eye(2)
PB = 4.9508 / np.sqrt(2) * np.eye(2)
GRAPHITE = 2.464 * np.array([[1, 0], [-0.5, np.sqrt(3) / 2]])
RECTANGLE = np.array([[4.55, 0], [0, 2.85]])
OBLIQUE = np.array([[3.1, 0.2], [0.9, 3.7]])
NA2CO3 = np.array([[8.92, 5.245], [8.92, -5.245]]) / 2
NZSP = np.array([[15.8028, 9.1594], [15.8028, -9.1594]]) / 2

MESHES = {
    "square on square": (NA, PB * 0.9),
    "square on hexagonal": (0.8 * NA, 1.3 * GRAPHITE),
    "rectangle on hexagonal": (RECTANGLE, 1.2 * GRAPHITE),
    "oblique on square": (OBLIQUE, PB),
    "oblique on oblique": (OBLIQUE, np.array([[3.4, 0], [-1.3, 3.2]])),
    "square on centred": (NA, 0.8 * NA2CO3),
}


def turned(mesh, angle):
    return mesh @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def numbers(matches):
    return sorted(
        (m.film_multiple, m.substrate_multiple, *(round(s, 6) for s in m.stretches))
        for m in matches
    )


def order_of(mesh):
    return len(symmetries(mesh))


def symmetries(mesh):
    """Proper rotations by trying every small integer matrix."""
    metric = mesh @ mesh.T
    tried = (np.array(e).reshape(2, 2) for e in product(range(-2, 3), repeat=4))
    return [
        r
        for r in tried
        if np.linalg.det(r) > 0.5 and np.abs(r @ metric @ r.T - metric).max() < 1e-6
    ]


def fractional(film_cell, substrate_cell):
    """N⁻¹ M in exact fractions: the alignment, whatever the supercell."""
    (a, b), (c, d) = (tuple(int(x) for x in row) for row in film_cell)
    det = a * d - b * c
    inverse = ((d, -b), (-c, a))
    columns = tuple(zip(*substrate_cell, strict=True))
    return tuple(
        Fraction(sum(int(x) * int(y) for x, y in zip(row, column, strict=True)), det)
        for row in inverse
        for column in columns
    )


def kind(film_cell, substrate_cell, film_symmetries, substrate_symmetries):
    return min(
        fractional(film_cell @ f, substrate_cell @ s)
        for f in film_symmetries
        for s in substrate_symmetries
    )


def brute_force(film, substrate, max_area, low, high, multiple_of=1, box=18):
    """Every pair of film vectors of a box on every superlattice, with numpy's SVD.

    Returns the smallest allowed substrate multiple of each distinct alignment.
    """
    whole = range(-box, box + 1)
    vectors = np.array([v for v in product(whole, whole) if any(v)])
    lengths = np.linalg.norm(vectors @ film, axis=1)
    films, substrates = symmetries(film), symmetries(substrate)
    smallest = defaultdict(lambda: 10**9)
    for m in range(multiple_of, int(max_area / abs(np.linalg.det(substrate))) + 1, multiple_of):
        for a in (a for a in range(1, m + 1) if m % a == 0):
            for b in range(a):
                cell = np.array([[m // a, b], [0, a]])
                target = cell @ substrate
                rows = [
                    vectors[(lengths <= n / low) & (lengths >= n / high)]
                    for n in np.linalg.norm(target, axis=1)
                ]
                assert all(not len(r) or np.abs(r).max() < box for r in rows)  # the box holds all
                pairs = np.stack(
                    [np.repeat(rows[0], len(rows[1]), 0), np.tile(rows[1], (len(rows[0]), 1))], 1
                )
                pairs = pairs[np.linalg.det(pairs @ film) * np.linalg.det(target) > 1e-6]
                if not len(pairs):
                    continue
                stretches = np.linalg.svd(np.linalg.inv(pairs @ film) @ target)[1]
                for pair in pairs[(stretches.max(1) <= high) & (stretches.min(1) >= low)]:
                    key = kind(pair, cell, films, substrates)
                    smallest[key] = min(smallest[key], m)
    return dict(smallest)


@pytest.mark.parametrize("name", MESHES)
def test_complete_and_each_once(name):
    film, substrate = MESHES[name]
    matches = find_matches(film, substrate, max_area_A2=100, max_film_strain=0.08)
    films, substrates = symmetries(film), symmetries(substrate)
    kinds = [
        kind(
            np.array(m.film_transformation), np.array(m.substrate_transformation), films, substrates
        )
        for m in matches
    ]
    expected = brute_force(film, substrate, 100, 0.92, 1.08)
    assert expected
    assert dict(zip(kinds, (m.substrate_multiple for m in matches), strict=True)) == expected
    assert len(set(kinds)) == len(kinds)


def test_even_multiples_are_judged_among_themselves():
    limits = {"max_area_A2": 62, "max_film_strain": 0.08}
    matches = find_matches(OBLIQUE, PB, substrate_multiple_of=2, **limits)
    expected = brute_force(OBLIQUE, PB, 62, 0.92, 1.08, multiple_of=2)
    cells = [
        (np.array(m.film_transformation), np.array(m.substrate_transformation)) for m in matches
    ]
    kinds = [kind(*pair, symmetries(OBLIQUE), symmetries(PB)) for pair in cells]
    assert dict(zip(kinds, (m.substrate_multiple for m in matches), strict=True)) == expected
    # an odd alignment is doubled in each of the three ways, if both sides' symmetry leaves three
    odd = find_matches(OBLIQUE, OBLIQUE, max_area_A2=12)
    even = find_matches(OBLIQUE, OBLIQUE, max_area_A2=24, substrate_multiple_of=2)
    assert [m.substrate_multiple for m in odd] == [1]
    untwisted = [m for m in even if m.strain < 1e-9]
    assert [m.substrate_multiple for m in untwisted] == [2, 2, 2]


def test_sodium_on_lead():
    """An enumeration made elsewhere: 43 different multiples and strains up to 400 Å2 and 5 %."""
    matches = find_matches(NA, PB, max_area_A2=400)
    best = min(matches, key=lambda m: m.strain)
    assert best.strain == pytest.approx(0.00903, abs=1e-5)
    assert best.area_A2 == pytest.approx(318.6, abs=0.1)
    assert (best.film_multiple, best.substrate_multiple) == (17, 26)
    assert matches[0].stretches == pytest.approx((1.03205, 1.03205), abs=1e-5)
    assert abs(matches[0].twist_deg) == pytest.approx(18.4349, abs=1e-4)
    assert all(m.strain <= 0.05 for m in matches)
    different = set(numbers(matches))
    assert len(different) == len(one_per_strain(matches)) == 41
    # the enumeration keeps supercells and limits the film's area too
    whole = {(k * n, k * m, *s) for n, m, *s in different for k in range(1, 33)}
    whole = {
        x for x in whole if x[0] * np.linalg.det(NA) <= 400 and x[1] * np.linalg.det(PB) <= 400
    }
    assert len(whole) == 43
    primitive = {
        (n, m, *s)
        for n, m, *s in whole
        if not any((n / k, m / k, *s) in whole for k in range(2, 33))
    }
    assert len(primitive) == 43 - 6


@pytest.mark.parametrize("mesh", [NA, GRAPHITE, RECTANGLE, OBLIQUE, NZSP])
def test_itself_is_the_identity(mesh):
    first = find_matches(mesh, mesh, max_area_A2=1.5 * abs(np.linalg.det(mesh)))[0]
    assert first.film_transformation == first.substrate_transformation
    assert first.film_multiple == first.substrate_multiple == 1
    assert first.stretches == pytest.approx((1, 1), abs=1e-12)
    assert first.twist_deg == pytest.approx(0, abs=1e-9)


def test_zero_tolerance_finds_the_coincidence_lattices():
    """Σ = 1, 5, 13, 17, 25 of the square lattice: rotations by 2 arctan of a rational."""
    square = 3 * np.eye(2)
    matches = find_matches(square, square, max_area_A2=9 * 25, max_film_strain=0)
    found = sorted({(m.substrate_multiple, round(abs(m.twist_deg), 2)) for m in matches})
    assert found == [(1, 0.0), (5, 36.87), (13, 22.62), (17, 28.07), (25, 16.26)]
    assert {m.twist_deg > 0 for m in matches if m.substrate_multiple == 5} == {True, False}


def test_rutile_kin_match_cell_on_cell():
    """VO2 on TiO2(110)-like rectangles: one cell on one cell, strained along both edges."""
    vo2, tio2 = np.diag([2.8514, 6.4413]), np.diag([2.9587, 6.4967])
    (match,) = find_matches(vo2, tio2, max_area_A2=20)
    assert match.stretches == pytest.approx((6.4967 / 6.4413, 2.9587 / 2.8514))
    assert match.area_A2 == pytest.approx(2.9587 * 6.4967)
    assert match.twist_deg == pytest.approx(0, abs=1e-9)
    (film, substrate) = match.strains(0)
    assert film == pytest.approx((0.0086, 0.0376), abs=1e-4)
    assert substrate == pytest.approx((0, 0))


def test_strain_is_principal_not_by_edges():
    """A sheared square keeps its edge lengths; its principal strains are ± half the shear."""
    sheared = 4 * np.array([[1, 0], [np.sin(0.06), np.cos(0.06)]])
    near = find_matches(4 * np.eye(2), sheared, max_area_A2=17, max_film_strain=0.031)
    assert near[0].stretches == pytest.approx((0.97, 1.03), abs=1e-3)
    assert not find_matches(4 * np.eye(2), sheared, max_area_A2=17, max_film_strain=0.029)


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_common_cell_shares_the_strain(share):
    limits = {"max_film_strain": 0.06, "max_substrate_strain": 0.06, "substrate_share": share}
    matches = find_matches(NA, OBLIQUE, max_area_A2=120, **limits)
    assert matches
    for match in matches:
        cell = common_cell(match, NA, OBLIQUE, share)
        film = np.array(match.film_transformation) @ NA
        substrate = np.array(match.substrate_transformation) @ OBLIQUE
        film_strains, substrate_strains = match.strains(share)
        of_film = np.linalg.svd(np.linalg.solve(film, cell))[1] - 1
        to_substrate = np.linalg.solve(substrate, cell)
        assert sorted(of_film) == pytest.approx(sorted(film_strains), abs=1e-12)
        assert sorted(np.linalg.svd(to_substrate)[1] - 1) == pytest.approx(
            sorted(substrate_strains), abs=1e-12
        )
        assert to_substrate == pytest.approx(to_substrate.T, abs=1e-12)  # not rotated
        assert max(map(abs, (*film_strains, *substrate_strains))) <= 0.06 + 1e-9


def test_common_cell_is_a_supercell_of_the_twisted_film():
    for match in find_matches(NA, GRAPHITE, max_area_A2=120):
        film = turned(np.array(match.film_transformation) @ NA, np.radians(match.twist_deg))
        stretch = np.linalg.solve(film, common_cell(match, NA, GRAPHITE, 0))
        assert stretch == pytest.approx(stretch.T, abs=1e-9)
        assert np.linalg.eigvalsh(stretch) == pytest.approx(match.stretches)


def test_each_side_has_its_own_limit():
    limits = {"max_area_A2": 400, "substrate_share": 0.4}
    wide = find_matches(NA, PB, max_film_strain=0.09, max_substrate_strain=0.09, **limits)
    tight = find_matches(NA, PB, max_film_strain=0.02, max_substrate_strain=0.01, **limits)

    def within(match):
        film, substrate = match.strains(0.4)
        return max(map(abs, film)) <= 0.02 and max(map(abs, substrate)) <= 0.01

    assert tight == [m for m in wide if within(m)]
    assert 0 < len(tight) < len(wide)


@pytest.mark.parametrize(("film", "substrate"), [(NA, GRAPHITE), (NZSP, PB), (OBLIQUE, NA2CO3)])
def test_cells_are_reduced_primitive_and_ranked(film, substrate):
    matches = find_matches(film, substrate, max_area_A2=420)
    assert matches
    for match in matches:
        n, m = np.array(match.film_transformation), np.array(match.substrate_transformation)
        assert round(abs(np.linalg.det(n))) == match.film_multiple
        assert round(abs(np.linalg.det(m))) == match.substrate_multiple
        first, second = m @ substrate
        assert first @ first <= second @ second * (1 + 1e-6)
        assert 2 * abs(first @ second) <= first @ first * (1 + 1e-6)
        both = np.hstack([n, m])
        minors = (round(np.linalg.det(both[:, [i, j]])) for i in range(4) for j in range(i + 1, 4))
        assert gcd(*minors) == 1
    ranks = [(m.area_A2, round(m.strain, 8)) for m in matches]
    assert ranks == sorted(ranks)


unimodular = st.lists(st.integers(-2, 2), min_size=1, max_size=3).flatmap(
    lambda shears: st.booleans().map(lambda mirror: basis_change(shears, mirror))
)


def basis_change(shears, mirror):
    change = np.array([[0, 1], [1, 0]]) if mirror else np.eye(2, dtype=int)
    for i, shear in enumerate(shears):
        change = np.array([[1, shear], [0, 1]] if i % 2 else [[1, 0], [shear, 1]]) @ change
    return change


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    names=st.sampled_from(sorted(MESHES)),
    on_film=unimodular,
    on_substrate=unimodular,
    film_angle=st.floats(-pi, pi),
    substrate_angle=st.floats(-pi, pi),
)
def test_no_basis_or_orientation_matters(names, on_film, on_substrate, film_angle, substrate_angle):
    film, substrate = MESHES[names]
    before = find_matches(film, substrate, max_area_A2=90)
    new_film = turned(on_film @ film, film_angle)
    new_substrate = turned(on_substrate @ substrate, substrate_angle)
    after = find_matches(new_film, new_substrate, max_area_A2=90)
    assert numbers(after) == numbers(before)
    # the twists move by the angles, up to the symmetries of both meshes
    period = 360 / np.lcm(order_of(film), order_of(substrate))
    shift = np.degrees(substrate_angle - film_angle)

    def on_circle(angles):
        return np.sum(np.exp(2j * pi * np.array(angles) / period))

    moved = on_circle([m.twist_deg + shift for m in before])
    assert moved == pytest.approx(on_circle([m.twist_deg for m in after]), abs=1e-3)
    for match in after:
        assert abs(match.twist_deg) <= period / 2 + 1e-4
        cell = np.array(match.substrate_transformation) @ new_substrate
        strained = np.linalg.solve(np.array(match.film_transformation) @ new_film, cell)
        assert np.sort(np.linalg.svd(strained)[1]) == pytest.approx(match.stretches, abs=1e-9)
        assert np.linalg.det(strained) > 0


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1.2, 1.2), min_size=4, max_size=4), st.floats(0.0, 1.0))
def test_every_match_of_random_meshes_is_within_the_limits(changes, share):
    film = OBLIQUE + np.array(changes).reshape(2, 2)
    limits = {"max_film_strain": 0.07, "max_substrate_strain": 0.03, "substrate_share": share}
    for match in find_matches(film, GRAPHITE, max_area_A2=100, **limits):
        on_film, on_substrate = match.strains(share)
        assert max(map(abs, on_film)) <= 0.07 + 1e-7
        assert max(map(abs, on_substrate)) <= 0.03 + 1e-7
        assert match.area_A2 <= 100 + 1e-6


def test_pareto_front():
    matches = find_matches(NA, PB, max_area_A2=400)
    front = pareto(matches)
    assert front[-1].strain == pytest.approx(0.00903, abs=1e-5)
    for a, b in pairwise(front):
        assert a.area_A2 < b.area_A2
        assert a.strain > b.strain
    for match in matches:
        assert any(
            f.area_A2 <= match.area_A2 + 1e-6 and f.strain <= match.strain + 1e-9 for f in front
        )
    (largest, *_) = pareto(matches, cost=lambda m: -m.area_A2)
    assert largest.area_A2 == max(m.area_A2 for m in matches)


SQUARE = [((0, 1), (-1, 0)), ((-1, 0), (0, -1)), ((0, -1), (1, 0)), ((1, 0), (0, 1))]
MIRROR = ((-1, 0), (0, 1))
IDENTITY = ((1, 0), (0, 1))


def test_mirrors_of_both_faces_make_twins_one():
    twins = find_matches(NA, PB, max_area_A2=100)
    assert [m.film_multiple for m in twins] == [5, 5]
    full = [np.array(r) @ m for r in SQUARE for m in (np.eye(2, dtype=int), np.array(MIRROR))]
    one_sided = oriented(twins, NA, PB, full, SQUARE)
    both = oriented(twins, NA, PB, full, full)
    assert (len(one_sided), len(both)) == (2, 1)
    assert both[0] in twins


def test_a_face_without_its_meshs_symmetry_has_more_orientations():
    """Two faces of twofold symmetry on square meshes: cell on cell, and turned by 90°."""
    mesh = 4.0 * np.eye(2)
    found = find_matches(mesh, mesh, max_area_A2=20, max_film_strain=1e-6)
    half = [IDENTITY, ((-1, 0), (0, -1))]
    assert len(found) == len(oriented(found, mesh, mesh, SQUARE, half)) == 1
    turned = oriented(found, mesh, mesh, half, half)
    assert [abs(m.twist_deg) for m in turned] == pytest.approx([0, 90])
    assert turned[0] is found[0]
    for m in turned:
        film = np.array(m.film_transformation) @ mesh
        assert abs(np.linalg.det(film)) == pytest.approx(16)
        assert m.stretches == pytest.approx((1, 1))


def test_enlarged_matches_have_the_multiple_that_a_film_needs():
    found = find_matches(NA, PB, max_area_A2=200)
    even = enlarged(found, 2, 200)
    assert all(m.film_multiple % 2 == 0 for m in even)
    assert {(m.film_multiple, m.substrate_multiple) for m in even} >= {(8, 13), (10, 16)}
    assert (18, 26) not in {(m.film_multiple, m.substrate_multiple) for m in even}
    for m in even:
        again = match_of(NA, PB, m.film_transformation, m.substrate_transformation)
        assert (again.film_multiple, again.substrate_multiple) == (
            m.film_multiple, m.substrate_multiple
        )  # fmt: skip
        assert again.stretches == pytest.approx(m.stretches)
        assert again.area_A2 == pytest.approx(m.area_A2)


def test_nearest_misses_say_what_to_raise():
    limits = {"max_area_A2": 90, "max_film_strain": 0.05, "max_substrate_strain": 0.02}
    assert find_matches(NA, PB, **limits) == []
    strained, larger = nearest_misses(NA, PB, **limits)
    assert list(strained.settings) == ["strain.max_film"]
    assert list(larger.settings) == ["max_area_A2"]
    assert larger.settings["max_area_A2"] == 98.1  # the 5 on 8 cell of 98.04 Å2
    assert find_matches(
        NA, PB, **limits | {"max_film_strain": strained.settings["strain.max_film"]}
    )
    assert find_matches(NA, PB, **limits | {"max_area_A2": 98.1})
    error = no_match_error(NA, PB, where="Na(001)/Pb(001)", **limits)
    assert isinstance(error, NoMatchError)
    assert str(error).startswith("Na(001)/Pb(001): no common cell")
    assert "max_area_A2: 98.1" in error.hint
    assert "strain.max_film: " in error.hint


def test_nearest_miss_names_the_side_that_is_too_tight():
    shared = {"max_film_strain": 0.05, "max_substrate_strain": 0.0, "substrate_share": 0.5}
    strained, *_ = nearest_misses(NA, PB, max_area_A2=100, **shared)
    assert list(strained.settings) == ["strain.max_substrate"]
    limit = strained.settings["strain.max_substrate"]
    assert find_matches(NA, PB, max_area_A2=100, **shared | {"max_substrate_strain": limit})


def test_area_below_one_substrate_cell_gives_nothing():
    assert find_matches(NA, PB, max_area_A2=5) == []
    error = no_match_error(NA, PB, max_area_A2=0.01)
    assert error.hint == "nothing lies near; try another miller"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"film_mesh_A": np.eye(3)}, "film_mesh_A"),
        ({"film_mesh_A": [[1, 2], [2, 4]]}, "film_mesh_A"),
        ({"substrate_mesh_A": [[1, 0], [0, np.nan]]}, "substrate_mesh_A"),
        ({"max_area_A2": -1}, "max_area_A2"),
        ({"max_area_A2": np.inf}, "max_area_A2"),
        ({"max_film_strain": 1.0}, "max_film_strain"),
        ({"max_substrate_strain": np.nan}, "max_substrate_strain"),
        ({"substrate_share": 1.5}, "substrate_share"),
        ({"substrate_multiple_of": 0}, "substrate_multiple_of"),
    ],
)
def test_nonsense_is_refused(changes, where):
    arguments = {"film_mesh_A": NA, "substrate_mesh_A": PB, "max_area_A2": 50} | changes
    with pytest.raises(InputError, match=where):
        find_matches(**arguments)
