"""Candidates: all faces, cells and registries of two crystals, ranked and built by geometry."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from adhesion.errors import InputError
from adhesion.interfaces import contact_gap
from adhesion.materials import Material, load_material
from adhesion.search import (
    Limits,
    Pairing,
    bonds_per_area,
    build_ranked,
    candidates,
    distinct_registries,
    faces,
    find_pairings,
    n_candidates,
    nothing_found,
)
from adhesion.slabs import terminations

WIDE = Limits(max_area_A2=110, max_film_strain=0.09, max_substrate_strain=0.02, substrate_share=0.1)


@cache
def side(name, miller=(0, 0, 1), thickness=2, termination=None):
    return faces(crystal(name), miller, thickness, termination)


@cache
def crystal(name):
    if name == "MgO":
        structure = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        return Material(name, structure, "compound", oxidation_states={"Mg": 2.0, "O": -2.0})
    if name in ("VO2", "TiO2"):
        a, c, x = {"VO2": (4.554, 2.857, 0.3), "TiO2": (4.594, 2.959, 0.305)}[name]
        metal = name[:-2]
        structure = Structure.from_spacegroup(
            "P4_2/mnm", Lattice.tetragonal(a, c), [metal, "O"], [[0, 0, 0], [x, x, 0]]
        )
        return Material(name, structure, "compound", oxidation_states={metal: 4.0, "O": -2.0})
    return load_material(name)


@cache
def pairings(film, substrate, limits=WIDE):
    return find_pairings(side(film), side(substrate, thickness=1), limits)


def test_ranked_by_formula_then_moved_ions_then_atoms_then_strain():
    found = pairings("Na", "Na2CO3")
    keys = [(not p.stoichiometric, p.moved, p.n_atoms, p.match.strain) for p in found]
    assert keys == sorted(keys)
    assert {p.substrate.termination.name for p in found} > {
        "Na half-occupied", "Na half-occupied.2", "Na symmetric",
    }  # fmt: skip
    assert all(p.match.substrate_multiple % p.substrate.termination.cell_multiple == 0
               for p in found)  # fmt: skip


def test_both_faces_of_an_asymmetric_cut_are_candidates_of_their_own():
    names = {p.substrate.termination.name for p in pairings("Na", "Na2CO3")}
    assert {"Na symmetric", "O/C/Na symmetric"} <= names
    tops = {t.termination.top for t in side("MgO", (1, 1, 1))}
    assert tops == {"Mg", "O"}


def test_candidates_are_counted_registry_by_registry():
    found = pairings("Na", "Na2CO3")
    assert n_candidates(found) == sum(len(p.grid()) for p in found)
    assert n_candidates(pairings("Na", "Pb")) == len(pairings("Na", "Pb"))


@pytest.mark.parametrize("name", ["Pb", "C", "Na2CO3", "NZSP"])
def test_built_interfaces_hold_all_atoms_and_none_overlaps(name):
    for pairing, built in zip(
        pairings("Na", name)[:3], build_ranked(pairings("Na", name)[:3]), strict=True
    ):
        assert len(built.atoms) == pairing.n_atoms
        assert len(built.film) == pairing.match.film_multiple * pairing.film.atoms_per_mesh
        a, b = built.atoms.cell[:2]
        assert built.area_A2 == pytest.approx(np.linalg.norm(np.cross(a, b)))
        assert built.area_A2 == pytest.approx(pairing.area_A2)
        i, j, d = neighbor_list("ijd", built.atoms, 3.7)
        film = np.isin(np.arange(len(built.atoms)), built.film)
        across = film[i] != film[j]
        radii = covalent_radii[built.atoms.numbers]
        ratios = d[across] / (radii[i] + radii[j])[across]
        assert ratios.min() == pytest.approx(1, abs=1e-6)  # the first pair touches


def test_coprime_meshes_are_flat_and_cost_one_registry():
    flat = next(p for p in pairings("Na", "Pb") if p.match.film_multiple == 4)
    assert flat.match.substrate_multiple == 5
    assert flat.flat
    assert len(candidates(flat)) == len(flat.grid()) == 1
    low, high = flat.slabs
    gaps = [contact_gap(low, high, (x, y)) for x in (0, 0.13, 0.31) for y in (0, 0.21, 0.47)]
    assert np.ptp(gaps) < 0.35  # one atom's cell, over which W hardly changes


def test_registries_equal_by_symmetry_stand_once():
    (pairing, *_) = find_pairings(side("Ag"), side("Au"), WIDE)
    assert (pairing.match.film_multiple, pairing.match.substrate_multiple) == (1, 1)
    distinct = distinct_registries(pairing)
    grid = pairing.grid()
    assert sum(n for _, n in distinct) == len(grid) > 2 * len(distinct)
    high_symmetry = {(0.0, 0.0), (0.5, 0.5)}
    assert high_symmetry <= {shift for shift, _ in distinct}
    assert len({(0.5, 0.0), (0.0, 0.5)} & {shift for shift, _ in distinct}) == 1  # bridge
    low, high = pairing.slabs
    scores = {}
    for shift in grid:
        gap = contact_gap(low, high, shift)
        scores.setdefault(round(bonds_per_area(low, high, shift, gap), 6), shift)
    assert len(scores) == len(distinct)


def test_hollow_fits_best_and_on_top_worst():
    (pairing, *_) = find_pairings(side("Ag"), side("Au"), WIDE)
    ranked = candidates(pairing)
    assert [c.bonds_per_A2 for c in ranked] == sorted(c.bonds_per_A2 for c in ranked)[::-1]
    assert ranked[0].gap_A < ranked[-1].gap_A
    low, high = pairing.slabs
    neighbours = []
    for c in (ranked[0], ranked[-1]):
        built = c.build()
        i, _, d = neighbor_list("ijd", built.atoms, 3.6)
        film = np.isin(i, built.film)
        neighbours.append(int((film & (d < 3.2)).sum()))
    assert neighbours[0] > neighbours[1]
    assert len(low) == len(high)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(-2, 2), st.integers(-2, 2))
@settings(max_examples=15, deadline=None)
def test_bonds_do_not_see_lattice_vectors(x, y, i, j):
    low, high = pairings("Na", "C")[0].slabs
    a, b = (bonds_per_area(low, high, s, 2.5) for s in ((x, y), (x + i, y + j)))
    assert a == pytest.approx(b, rel=1e-9)


def test_bonds_per_area_do_not_depend_on_the_cell():
    """The same interface in a cell twice as large, and in a small one against a sum by hand."""
    (pairing, *_) = find_pairings(side("Ag"), side("Au"), WIDE)
    low, high = pairing.slabs
    small = bonds_per_area(low, high, (0.2, 0.1), 2.2)
    large = bonds_per_area(low * (2, 1, 1), high * (2, 1, 1), (0.1, 0.1), 2.2)
    assert large == pytest.approx(small, rel=1e-3)
    assert small > 0


def test_bulk_again_where_a_crystal_lies_on_itself():
    (pairing, *_) = find_pairings(side("Ag"), side("Ag"), WIDE)
    assert pairing.match.strain == pytest.approx(0, abs=1e-12)
    best = candidates(pairing)[0]
    a = load_material("Ag").structure.lattice.a
    built = pairing.at(best.registry, a / 2)
    _, d = neighbor_list("id", built.atoms, a * 0.75)
    assert d == pytest.approx(a / 2**0.5, abs=1e-6)  # twelve nearest neighbours, none nearer
    inner = np.bincount(neighbor_list("i", built.atoms, a * 0.75), minlength=len(built.atoms))
    assert sorted(inner) == [8, 8, 12, 12]


def test_vanadia_on_titania():
    """Cell on cell, the misfit of both axes as strain: an enumeration by hand."""
    film, substrate = (side(n, (1, 1, 0), 1) for n in ("VO2", "TiO2"))
    found = find_pairings(film, substrate, Limits(40, 0.05))
    first = found[0]
    assert (first.match.film_multiple, first.match.substrate_multiple) == (1, 1)
    strains = sorted(first.match.strains(0.0)[0])
    assert strains == pytest.approx([4.594 / 4.554 - 1, 2.959 / 2.857 - 1], abs=1e-6)


def test_a_reconstructed_film_gets_cells_that_fit_it():
    found = find_pairings(side("MgO", (1, 1, 1), 2), side("Ag", (1, 1, 1)), Limits(120, 0.09))
    mended = [p for p in found if p.moved]
    assert mended
    assert all(p.match.film_multiple % 2 == 0 for p in mended)
    built = mended[0].at()
    assert len(built.atoms) == mended[0].n_atoms


def test_named_face_only_and_unknown_name():
    (one,) = side("Na2CO3", termination="Na half-occupied.2")
    assert one.termination.name == "Na half-occupied.2"
    with pytest.raises(InputError, match=r"Na2CO3\(001\) has no usable termination 'O'"):
        side("Na2CO3", termination="O")


@pytest.fixture
def pyroelectric():
    """A crystal without any symmetry: each of its cuts has a dipole."""
    cell = Lattice.from_parameters(4.1, 4.9, 5.6, 81, 97, 104)
    sites = [[0, 0, 0], [0.53, 0.46, 0.1], [0.1, 0.58, 0.48], [0.62, 0.05, 0.57]]
    crystal = Structure(cell, ["Na", "Na", "Cl", "Cl"], sites)
    return Material("P1", crystal, "compound", oxidation_states={"Na": 1.0, "Cl": -1.0})


def test_a_polar_face_is_taken_only_by_name(pyroelectric):
    with pytest.raises(InputError, match=r"polar.*\n.*termination: '(.*)', to take it") as caught:
        faces(pyroelectric, (0, 0, 1), 1)
    (name,) = re.findall(r"termination: '(.*?)'", caught.value.hint)
    (face,) = faces(pyroelectric, (0, 0, 1), 1, name)
    dipole = abs(face.termination.dipole_per_area_e_A)
    every = [t for t in terminations(pyroelectric, (0, 0, 1)) if t.polar]
    assert dipole == min(abs(t.dipole_per_area_e_A) for t in every) > 1e-3
    assert f"{dipole:.4f} e/Å" in caught.value.hint


def test_a_network_says_that_its_bonds_must_be_cut():
    """Every plane of quartz cuts Si-O: only keep_bonds can help."""
    cell = Lattice.hexagonal(4.9134, 5.4052)
    sites = [[0.4699, 0, 2 / 3], [0.4141, 0.2681, 0.7854]]
    crystal = Structure.from_spacegroup("P3_221", cell, ["Si", "O"], sites)
    quartz = Material("quartz", crystal, "compound", keep_bonds=[("Si", "O")])
    for name in (None, "Si"):
        with pytest.raises(InputError, match=r"break bonds to keep \(Si-O\)(.|\n)*keep_bonds"):
            faces(quartz, (0, 0, 1), 1, name)
    assert faces(replace(quartz, keep_bonds=[]), (0, 0, 1), 1)


def test_nothing_found_says_what_to_raise():
    tight = Limits(30, 0.001, 0.001)
    assert find_pairings(side("Na"), side("Pb"), tight) == []
    error = nothing_found(side("Na"), side("Pb"), tight, where="here")
    assert "max_area_A2" in error.hint or "max_film" in error.hint


def test_pairing_is_the_same_from_a_turned_cell():
    (pairing, *_) = find_pairings(side("Ag"), side("Au"), WIDE)
    assert isinstance(pairing, Pairing)
    assert pairing.name.startswith("Ag | Au, 1 on 1")
