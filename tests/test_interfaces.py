"""Two slabs together: touching, straining, registries, and ready-made interfaces."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bcc100, fcc100
from ase.data import covalent_radii
from ase.geometry import get_distances
from hypothesis import given, settings
from hypothesis import strategies as st

from adhesion.errors import InputError
from adhesion.interfaces import (
    cell_area,
    contact_gap,
    deepest_first,
    from_file,
    registries,
    stack,
    strained,
    wrap_in_plane,
)

ONE = ((1, 0), (0, 1))
FRACTION = st.floats(0, 1, exclude_max=True)


@st.composite
def slab(draw, cell=None):
    """A few atoms in an in-plane cell between 60° and 120°."""
    if cell is None:
        a, b = draw(st.floats(4, 9)), draw(st.floats(4, 9))
        angle = np.radians(draw(st.floats(60, 120)))
        cell = np.array([[a, 0], [b * np.cos(angle), b * np.sin(angle)]])
    n = draw(st.integers(1, 4))
    fractions = np.array(draw(st.lists(st.tuples(FRACTION, FRACTION), min_size=n, max_size=n)))
    heights = draw(st.lists(st.floats(0, 3), min_size=n, max_size=n))
    numbers = draw(st.lists(st.sampled_from([6, 8, 11, 82]), min_size=n, max_size=n))
    full = np.zeros((3, 3))
    full[:2, :2] = cell
    full[2, 2] = 20
    positions = np.column_stack([fractions @ cell, heights])
    return Atoms(numbers, positions, cell=full, pbc=(True, True, False))


@st.composite
def pair(draw):
    low = draw(slab())
    return low, draw(slab(low.cell[:2, :2])), (draw(FRACTION), draw(FRACTION))


def nearness(interface):
    """Distance over sum of covalent radii, of the nearest film-substrate pair."""
    film, rest = interface.film_atoms(), interface.substrate_atoms()
    cell = interface.atoms.cell.array
    # Images by hand: ASE's minimum image would leave out the second nearest cell.
    shifts = np.array([(i, j, 0) for i in range(-3, 4) for j in range(-3, 4)]) @ cell
    delta = (film.positions[:, None] - rest.positions)[:, :, None] + shifts
    reach = covalent_radii[film.numbers][:, None] + covalent_radii[rest.numbers]
    return (np.linalg.norm(delta, axis=-1).min(-1) / reach).min()


@given(pair(), st.floats(0.7, 1.2))
@settings(max_examples=60, deadline=None)
def test_nearest_pair_touches_exactly(sides, fraction):
    low, high, shift = sides
    try:
        gap = contact_gap(low, high, shift, fraction)
    except InputError:  # the atoms pass each other by
        far = stack(low, high, gap_A=-1.5, registry=shift, height_A=60)
        assert nearness(far) > fraction
        return
    touching = stack(low, high, gap_A=gap, registry=shift, height_A=60)
    assert nearness(touching) == pytest.approx(fraction, abs=1e-6)
    apart = stack(low, high, gap_A=gap + 0.2, registry=shift, height_A=60)
    assert nearness(apart) > fraction


@given(pair(), st.integers(-3, 3), st.integers(-3, 3))
@settings(max_examples=40, deadline=None)
def test_shift_by_a_lattice_vector_changes_nothing(sides, i, j):
    low, high, (x, y) = sides
    try:
        gap = contact_gap(low, high, (x, y), 1.2)
    except InputError:
        return
    assert contact_gap(low, high, (x + i, y + j), 1.2) == pytest.approx(gap, abs=1e-6)


def test_deepest_registry_comes_first_and_equal_ones_once():
    layer = fcc100("Al", (1, 1, 1), a=4.0, vacuum=5)
    shifts = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.25), (0.75, 0.75)]
    assert deepest_first(layer, layer, shifts) == [(0.5, 0.5), (0.5, 0.0), (0.25, 0.25), (0.0, 0.0)]


@given(pair(), st.floats(2, 12))
@settings(max_examples=40, deadline=None)
def test_stack_adds_up_and_leaves_the_substrate_in_place(sides, gap):
    low, high, shift = sides
    near = stack(low, high, gap_A=gap, registry=shift, height_A=60)
    far = stack(low, high, gap_A=gap + 1, registry=(0.0, 0.0), height_A=60)
    assert len(near.atoms) == len(low) + len(high)
    assert near.film == tuple(range(len(low), len(low) + len(high)))
    film, rest = near.film_atoms(), near.substrate_atoms()
    assert film.positions[:, 2].min() - rest.positions[:, 2].max() == pytest.approx(gap)
    assert np.allclose(rest.positions, far.substrate_atoms().positions, atol=1e-9)
    assert near.area_A2 == pytest.approx(cell_area(low.cell.array))
    assert near.atoms.pbc.tolist() == [True, True, False]
    assert (near.atoms.positions[:, 2] > 0).all()
    assert (near.atoms.positions[:, 2] < 60).all()


def test_registry_is_a_fraction_of_the_cell():
    low, high = fcc100("Al", (2, 1, 2), a=4.0, vacuum=5), fcc100("Al", (2, 1, 2), a=4.0, vacuum=5)
    at = stack(low, high, gap_A=2, registry=(0.0, 0.0), height_A=30).film_atoms()
    moved = stack(low, high, gap_A=2, registry=(0.5, 0.25), height_A=30).film_atoms()
    moved.positions -= 0.5 * low.cell[0] + 0.25 * low.cell[1]
    wrap_in_plane(moved)
    assert np.allclose(moved.positions, at.positions)


def test_stack_refuses_unlike_cells_and_too_short_a_box():
    low, high = fcc100("Al", (1, 1, 2), vacuum=5), fcc100("Ag", (1, 1, 2), vacuum=5)
    with pytest.raises(InputError, match="different cells"):
        stack(low, high, gap_A=2, height_A=30)
    with pytest.raises(InputError, match="holds no interface"):
        stack(low, low, gap_A=2, height_A=5)


def test_an_empty_side_is_refused():
    low = fcc100("Al", (1, 1, 2), vacuum=5)
    with pytest.raises(InputError, match="empty"):
        contact_gap(low, low[[]])


def test_no_pair_within_reach_is_refused():
    cell = np.diag([12.0, 12.0, 20.0])
    low = Atoms("C", [(0, 0, 0)], cell=cell)
    high = Atoms("C", [(6, 6, 0)], cell=cell)
    with pytest.raises(InputError, match="pass by"):
        contact_gap(low, high)


def test_contact_on_top_and_in_the_hollow():
    layer = fcc100("Al", (1, 1, 1), a=4.0, vacuum=5)
    reach = 2 * covalent_radii[13]
    d = 4.0 / np.sqrt(2)
    assert contact_gap(layer, layer) == pytest.approx(reach)
    hollow = contact_gap(layer, layer, (0.5, 0.5))
    assert hollow == pytest.approx(np.sqrt(reach**2 - d**2 / 2))


@given(slab(), st.floats(0.85, 1.15), st.floats(0.85, 1.15), st.floats(-0.5, 0.5))
@settings(max_examples=40, deadline=None)
def test_strain_keeps_fractions_and_heights(atoms, x, y, shear):
    wanted = np.array(atoms.cell[:2, :2]) @ np.array([[x, shear], [0, y]])
    result = strained(atoms, wanted)
    before = atoms.cell.scaled_positions(atoms.positions)
    assert np.allclose(result.cell.scaled_positions(result.positions)[:, :2], before[:, :2])
    assert np.array_equal(result.positions[:, 2], atoms.positions[:, 2])
    (a, b), (c, d) = wanted
    assert cell_area(result.cell.array) == pytest.approx(abs(a * d - b * c))
    assert cell_area(result.cell.array) == pytest.approx(x * y * cell_area(atoms.cell.array))


class TestRegistries:
    def test_like_on_like_covers_the_mesh(self):
        shifts = registries(ONE, ONE, np.diag([3.0, 3.0]), spacing_A=0.8)
        assert shifts[0] == (0.0, 0.0)
        assert len(shifts) == 16
        assert (0.5, 0.5) in shifts

    @pytest.mark.parametrize("n", [2, 3])
    def test_supercell_has_those_of_the_mesh_it_repeats(self, n):
        repeated = ((n, 0), (0, n))
        small = registries(ONE, ONE, np.diag([3.0, 3.0]))
        large = registries(repeated, repeated, n * np.diag([3.0, 3.0]))
        assert np.allclose(np.array(large) * n, small)

    def test_coprime_meshes_have_one(self):
        assert registries(((4, 0), (0, 4)), ((5, 0), (0, 5)), np.diag([20.0, 20.0])) == [(0.0, 0.0)]

    def test_reconstructed_substrate_has_more(self):
        two, cell = ((2, 0), (0, 2)), np.diag([6.0, 6.0])
        both = registries(two, two, cell)
        film_only = registries(two, two, cell, substrate_periodic=False)
        assert len(film_only) == len(both)  # the film's own mesh still cuts it down
        assert len(registries(ONE, two, cell, substrate_periodic=False)) > len(both)

    @given(st.tuples(*[st.integers(-3, 3)] * 4), st.tuples(*[st.integers(-3, 3)] * 4))
    @settings(max_examples=60, deadline=None)
    def test_no_two_are_the_same(self, film, substrate):
        n, m = (np.array(t).reshape(2, 2) for t in (film, substrate))
        if not (np.linalg.det(n) and np.linalg.det(m)):
            return
        cell = np.diag([9.0, 9.0])
        shifts = np.array(registries(n, m, cell))
        assert np.allclose(shifts[0], 0)
        delta = shifts[1:]  # from (0, 0): a lattice vector of either mesh would be the same
        for t in (n, m):
            in_mesh = delta @ t
            assert (np.abs(in_mesh - np.rint(in_mesh)).max(axis=1) > 1e-6).all()


class TestReadyMade:
    @pytest.fixture
    def atoms(self):
        low = bcc100("Na", (1, 1, 3), a=4.2, vacuum=5)
        return stack(low, low, gap_A=2.5, height_A=40).atoms

    def test_splits_where_it_was_put_together(self, atoms):
        low, high, gap = from_file(atoms, [3, 4, 5])
        assert len(low) == len(high) == 3
        assert gap == pytest.approx(2.5)

    @pytest.mark.parametrize(
        "film", [[], [0, 0], [6], [-1], list(range(6))], ids=["none", "twice", "6", "-1", "all"]
    )
    def test_indices_that_name_no_film(self, atoms, film):
        with pytest.raises(InputError, match="film_atoms must name some"):
            from_file(atoms, film)

    def test_film_below(self, atoms):
        with pytest.raises(InputError, match="must be on top"):
            from_file(atoms, [0, 1, 2])

    def test_cell_out_of_the_plane(self, atoms):
        atoms.rotate(90, "x", rotate_cell=True)
        with pytest.raises(InputError, match="plane of its first two"):
            from_file(atoms, [3, 4, 5])

    def test_no_cell(self, atoms):
        atoms.cell[:] = 0
        with pytest.raises(InputError, match="plane of its first two"):
            from_file(atoms, [3, 4, 5])


def test_stacked_metals_do_not_overlap(emt):
    curve = emt("Ag", "Au")["curve"]
    atoms = curve.geometry.to_ase()
    _, distances = get_distances(atoms.positions, cell=atoms.cell, pbc=(True, True, False))
    reach = covalent_radii[atoms.numbers][:, None] + covalent_radii[atoms.numbers]
    off_diagonal = ~np.eye(len(atoms), dtype=bool)
    assert (distances / reach)[off_diagonal].min() > 0.85
    assert len(atoms) == 12
    assert len(curve.film_indices) == 6
