"""Terminations and slabs: meshes, whole bonds, dipoles, and mended polar cuts."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from ase.build import make_supercell
from ase.neighborlist import neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Composition, Lattice, Species, Structure
from pymatgen.io.cif import CifWriter

from adhesion import slabs
from adhesion.errors import InputError
from adhesion.materials import Material, load_material
from adhesion.slabs import Termination, build_slab, terminations, usable
from adhesion.study import MaterialSpec

PLANE = st.tuples(*[st.integers(-3, 3)] * 3).filter(any)
WIDE = ((1, 2), (-2, 0))
FCC = [[0, 0, 0], [0.5, 0.5, 0.5]]


@cache
def crystal(name: str) -> Material:
    if name == "MgO":
        structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], FCC)
        return Material(name, structure, "compound", oxidation_states={"Mg": 2.0, "O": -2.0})
    if name == "CaF2":
        structure = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25] * 3]
        )
        return Material(name, structure, "compound", oxidation_states={"Ca": 2.0, "F": -1.0})
    if name == "ZnS":
        structure = Structure.from_spacegroup(
            "F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]
        )
        return Material(name, structure, "compound", oxidation_states={"Zn": 2.0, "S": -2.0})
    if name == "TiO2":
        structure = Structure.from_spacegroup(
            "P4_2/mnm",
            Lattice.tetragonal(4.594, 2.959),
            ["Ti", "O"],
            [[0, 0, 0], [0.305, 0.305, 0]],
        )
        return Material(name, structure, "compound", oxidation_states={"Ti": 4.0, "O": -2.0})
    if name in ("Si", "Ge"):
        a = {"Si": 5.431, "Ge": 5.658}[name]
        structure = Structure.from_spacegroup("Fd-3m", Lattice.cubic(a), [name], [[0, 0, 0]])
        return Material(name, structure, "compound")
    if name == "quartz":  # chiral: no operation turns one face's mirror image into the other
        structure = Structure.from_spacegroup(
            "P3_121",
            Lattice.hexagonal(4.913, 5.405),
            ["Si", "O"],
            [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4524]],
        )
        return Material(name, structure, "compound", oxidation_states={"Si": 4.0, "O": -2.0})
    return load_material(name)


def only(name: str, miller=(0, 0, 1)) -> Termination:
    """The one usable termination that keeps the formula."""
    (found,) = (t for t in usable(terminations(crystal(name), miller)) if t.stoichiometric)
    return found


def mesh(t: Termination) -> tuple[float, float, float]:
    a, b = t.mesh_A
    lengths = np.linalg.norm(t.mesh_A, axis=1)
    angle_deg = np.degrees(np.arccos(a @ b / lengths.prod()))
    return float(lengths[0]), float(lengths[1]), float(angle_deg)


def dipole_per_area(slab, states) -> float:
    charges = np.array([states[s] for s in slab.get_chemical_symbols()])
    assert charges.sum() == pytest.approx(0)
    return float(charges @ slab.positions[:, 2] / area(slab))


def area(slab) -> float:
    return float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))


def coordination(slab, centre: str, cutoff_A: float) -> list[int]:
    """Oxygen neighbours of every atom of an element."""
    i, j = neighbor_list("ij", slab, cutoff_A)
    symbols = np.array(slab.get_chemical_symbols())
    counts = Counter(i[symbols[j] == "O"].tolist())
    return [counts[int(k)] for k in np.flatnonzero(symbols == centre)]


@pytest.mark.parametrize(
    ("name", "miller", "expected", "repeat_A", "units"),
    [
        ("Na", (0, 0, 1), (4.2906, 4.2906, 90), 4.2906 / 2, 1),
        ("Na", (1, 1, 0), (3.7158, 3.7158, 109.471), 4.2906 / 2**0.5, 1),
        ("Pb", (0, 0, 1), (4.9505 / 2**0.5, 4.9505 / 2**0.5, 90), 4.9505 / 2, 1),
        ("Pb", (1, 1, 1), (4.9505 / 2**0.5, 4.9505 / 2**0.5, 120), 4.9505 / 3**0.5, 1),
        ("C", (0, 0, 1), (2.464, 2.464, 120), 6.711, 2),
        ("MgO", (0, 0, 1), (4.21 / 2**0.5, 4.21 / 2**0.5, 90), 4.21 / 2, 1),
        ("TiO2", (1, 1, 0), (2.959, 6.4969, 90), 3.2484, 1),
    ],
)
def test_textbook_meshes(name, miller, expected, repeat_A, units):
    t = only(name, miller)
    assert mesh(t) == pytest.approx(expected, abs=2e-3)
    assert t.repeat_A[2] == pytest.approx(repeat_A, abs=1e-4)
    assert t.units_per_repeat == units
    assert t.mesh_A[0, 1] == pytest.approx(0, abs=1e-12)
    assert t.mesh_area_A2 > 0


@pytest.mark.parametrize(
    ("name", "miller", "tasker", "symmetry"),
    [
        ("MgO", (0, 0, 1), "I", "inversion"),
        ("TiO2", (1, 1, 0), "II", "inversion"),
        ("CaF2", (1, 1, 1), "II", "inversion"),
        ("Si", (0, 0, 1), "", "inversion"),
        ("Ge", (0, 0, 1), "", "inversion"),
        ("ZnS", (1, 1, 0), "I", "mirror"),
    ],
)
def test_tasker_types_of_textbook_faces(name, miller, tasker, symmetry):
    t = usable(terminations(crystal(name), miller))[0]  # plain cuts come before mended ones
    assert (t.tasker, t.symmetry, t.polar, t.mended) == (tasker, symmetry, False, False)
    assert t.dipole_per_area_e_A == pytest.approx(0, abs=1e-9)


def test_nasicon_has_one_cut_that_keeps_its_units_whole():
    found = terminations(crystal("NZSP"), (0, 0, 1))
    assert len(found) > 2
    assert len({t.name for t in found}) == len(found)
    t = only("NZSP")
    assert (t.symmetry, t.tasker, t.polar, t.cell_multiple) == ("inversion", "II", False, 1)
    # One lattice, two bases: 9.133 and 9.133 Å at 119.8°, or 9.133 and 9.159 Å at 120.1°.
    assert mesh(t) == pytest.approx((9.133, 9.133, 119.81), abs=5e-3)
    assert np.linalg.norm(t.mesh_A.sum(axis=0)) == pytest.approx(9.159, abs=1e-3)
    assert t.repeat_A[2] == pytest.approx(7.727, abs=1e-3)
    slab = build_slab(crystal("NZSP"), t, 1)
    assert slab.get_chemical_formula() == "Na6O24P2Si4Zr4"
    assert set(coordination(slab, "P", 2.0)) == {4}
    assert set(coordination(slab, "Si", 2.1)) == {4}
    assert dipole_per_area(slab, crystal("NZSP").oxidation_states) == pytest.approx(0, abs=1e-9)


def test_broken_bonds_are_those_that_the_slab_lacks():
    material = crystal("Na2CO3")
    for t in terminations(material, (0, 0, 1)):
        lacking = 3 * 2 - sum(coordination(build_slab(material, t, 1, ((2, 0), (0, 1))), "C", 1.7))
        assert t.broken_bonds.get("C-O", 0) * 2 == lacking + 3 * 2  # two meshes of 2 CO3
    assert any(t.broken_bonds for t in terminations(material, (0, 0, 1)))


def test_plain_carbonate_is_polar_and_its_dipole_grows():
    material = crystal("Na2CO3")
    plain = [t for t in terminations(material, (0, 0, 1)) if t.polar and not t.broken_bonds]
    assert len(plain) == 4  # two cuts, two faces each
    for t in plain:
        assert t.tasker == "III"
        grown = [abs(t.slab_dipole_per_area_e_A(n)) for n in (2, 3, 5)]
        assert grown == pytest.approx([0.254, 0.380, 0.634], abs=1e-3)
        for n in (1, 2):
            built = dipole_per_area(build_slab(material, t, n), material.oxidation_states)
            assert built == pytest.approx(t.slab_dipole_per_area_e_A(n), abs=1e-9)
    assert {t.top[0] for t in plain} == {"N", "O"}


@pytest.mark.parametrize("n_repeats", [1, 2])
@pytest.mark.parametrize("supercell", [((2, 0), (0, 1)), WIDE])
def test_mended_carbonate(n_repeats, supercell):
    material = crystal("Na2CO3")
    mended = [t for t in usable(terminations(material, (0, 0, 1))) if t.stoichiometric]
    assert [t.name for t in mended] == ["Na half-occupied", "Na half-occupied.2"]
    n_meshes = round(abs(np.linalg.det(supercell)))
    for t in mended:
        assert (t.mended, t.polar, t.cell_multiple) == (True, False, 2)
        assert t.mesh_area_A2 == pytest.approx(23.39, abs=0.01)
        assert t.repeat_A[2] == pytest.approx(5.932, abs=1e-3)
        slab = build_slab(material, t, n_repeats, supercell)
        units = 2 * n_meshes * n_repeats
        assert slab.get_chemical_formula() == f"C{units}Na{2 * units}O{3 * units}"
        assert coordination(slab, "C", 1.7) == [3] * units
        assert dipole_per_area(slab, material.oxidation_states) == pytest.approx(0, abs=1e-9)
        z = slab.positions[:, 2]
        assert (z > z.max() - 0.5).sum() == (z < 0.5).sum() == n_meshes // 2
        assert slabs._has_inversion(slab)


def test_mended_cut_refuses_an_odd_cell():
    material = crystal("Na2CO3")
    t = usable(terminations(material, (0, 0, 1)))[0]
    with pytest.raises(InputError, match="multiple of 2 surface meshes, not 3"):
        build_slab(material, t, 1, ((3, 0), (0, 1)))


def test_moved_ions_spread_out():
    """On a 2x2 cell of MgO(111), half of Mg leaves in rows: less repulsion than any other way."""
    material = crystal("MgO")
    t = next(t for t in usable(terminations(material, (1, 1, 1))) if t.name.startswith("Mg"))
    slab = build_slab(material, t, 2, ((2, 0), (0, 4)))
    top = slab[slab.positions[:, 2] > slab.positions[:, 2].max() - 0.1]
    assert set(top.get_chemical_symbols()) == {"Mg"}
    assert len(top) == 4
    neighbours = Counter(neighbor_list("i", top, 1.01 * 4.21 / 2**0.5).tolist())
    assert set(neighbours.values()) == {2}


def test_polar_magnesia_is_said_so_and_mended_by_half():
    found = terminations(crystal("MgO"), (1, 1, 1))
    plain = [t for t in found if not t.mended and t.stoichiometric]
    assert {(t.top, t.bottom, t.polar, t.tasker) for t in plain} == {
        ("Mg", "O", True, "III"),
        ("O", "Mg", True, "III"),
    }
    good = [t for t in usable(found) if t.stoichiometric]
    assert {(t.name, t.cell_multiple) for t in good} == {
        ("Mg half-occupied", 2),
        ("O half-occupied", 2),
    }
    for t in good:
        slab = build_slab(crystal("MgO"), t, 2, ((2, 0), (0, 1)))
        assert dipole_per_area(slab, {"Mg": 2, "O": -2}) == pytest.approx(0, abs=1e-9)


def test_zincblende_111_is_mended_by_a_quarter():
    good = usable(terminations(crystal("ZnS"), (1, 1, 1)))
    assert {(t.name, t.cell_multiple) for t in good} >= {
        ("Zn three-quarters-occupied", 4),
        ("S three-quarters-occupied", 4),
    }
    for t in good:
        slab = build_slab(crystal("ZnS"), t, 2, ((2, 0), (0, 2)))
        assert dipole_per_area(slab, {"Zn": 2, "S": -2}) == pytest.approx(0, abs=1e-9)


SYMMETRIC = {
    ("MgO", (1, 1, 1)): {"Mg symmetric": {"Mg": 1}, "O symmetric": {"O": 1}},
    ("Na2CO3", (0, 0, 1)): {
        "Na symmetric": {"Na": 1},
        "Na.2 symmetric": {"Na": 1},
        "O/C/Na symmetric": {"Na": -1},
        "O/Na/C symmetric": {"Na": -1},
    },
    ("TiO2", (1, 1, 0)): {"O.2 symmetric": {"Ti": -1}, "O/Ti symmetric": {"Ti": 1}},
    ("ZnS", (1, 1, 1)): {},  # no operation turns the plane upside down
}


@pytest.mark.parametrize(("name", "miller"), SYMMETRIC)
def test_symmetric_slabs_have_one_face_twice_and_say_what_is_too_much(name, miller):
    material = crystal(name)
    found = {t.name: t for t in terminations(material, miller) if "symmetric" in t.name}
    assert {n: t.excess for n, t in found.items()} == SYMMETRIC[name, miller]
    formula, _ = material.structure.composition.get_integer_formula_and_factor()
    units = Counter(Composition(formula).get_el_amt_dict())
    for t in found.values():
        assert not t.stoichiometric
        assert (t.polar, t.top) == (False, t.bottom)
        for thickness in (1, 2):
            slab = build_slab(material, t, thickness)
            z = slab.positions[:, 2]
            up = sorted(zip(np.round(z, 2), slab.symbols, strict=True))
            down = sorted(zip(np.round(z.max() - z, 2), slab.symbols, strict=True))
            assert [s for _, s in up] == [s for _, s in down]
            assert np.allclose([h for h, _ in up], [h for h, _ in down], atol=0.011)
            whole = Counter(slab.get_chemical_symbols())
            whole.subtract(t.excess)
            assert len({whole[e] / k for e, k in units.items()}) == 1
            assert set(units) <= set(slab.get_chemical_symbols())
            assert abs(z.max() / t.repeat_A[2] - thickness) < 1


def test_no_cut_left_says_why():
    with pytest.raises(InputError, match=r"C\(100\).*none of the 3 cuts.*3 break.*C-C"):
        usable(terminations(crystal("C"), (1, 0, 0)))
    with pytest.raises(InputError, match="no plane"):
        terminations(crystal("Na"), (0, 0, 0))


def test_layers_and_sheets():
    sodium = build_slab(crystal("Na"), only("Na"), 5, ((1, 1), (-1, 1)))
    assert np.unique(sodium.positions[:, 2].round(3)) == pytest.approx(
        np.arange(5) * 4.2906 / 2, abs=1e-3
    )
    graphite = build_slab(crystal("C"), only("C"), 1)
    assert len(graphite) == 2
    assert graphite.positions[:, 2] == pytest.approx(0)
    assert graphite.cell.rank == 3
    three = build_slab(crystal("C"), only("C"), 3)
    assert np.unique(three.positions[:, 2].round(4)) == pytest.approx([0, 3.3555, 6.711])
    a, b = usable(terminations(crystal("NaPb3"), (0, 0, 1)))
    assert (a.top, b.top) == ("Na/Pb", "Pb")
    assert build_slab(crystal("NaPb3"), a, 3).get_chemical_formula() == "Na2Pb4"
    assert build_slab(crystal("NaPb3"), b, 3).get_chemical_formula() == "NaPb5"


@pytest.mark.parametrize(("layers", "symbols"), [(1, "F"), (2, "CaF"), (3, "FCaF"), (4, "FFCaF")])
def test_surplus_layers_are_left_off_at_the_bottom(layers, symbols):
    fluorite = Material("CaF2", crystal("CaF2").structure, "metal")
    t = terminations(fluorite, (1, 1, 1))
    (t,) = [t for t in t if t.symmetry == "inversion" and t.top.startswith("F")]
    assert t.units_per_repeat == 3
    assert "".join(build_slab(fluorite, t, layers).get_chemical_symbols()) == symbols


@pytest.mark.parametrize("thickness", [0, -1])
def test_impossible_slabs(thickness):
    with pytest.raises(InputError, match="below 1"):
        build_slab(crystal("Na"), only("Na"), thickness)
    with pytest.raises(InputError, match="no area"):
        build_slab(crystal("Na"), only("Na"), 1, ((1, 1), (2, 2)))


def test_both_faces_of_an_asymmetric_cut_are_turned_not_mirrored():
    """The flipped slab of a chiral crystal holds the same crystal, not its mirror image."""
    quartz = crystal("quartz")
    found = terminations(quartz, (1, 2, 3))
    assert {t.flipped for t in found} == {False, True}
    for t in found:
        assert np.linalg.det(t.mesh_A) > 0
        plane = slabs._plane(quartz, [-i if t.flipped else i for i in t.miller])
        cell = np.vstack([np.pad(plane.mesh_A, ((0, 0), (0, 1))), plane.repeat_A])
        turned = Structure(
            Lattice(cell), plane.symbols, plane.positions_A, coords_are_cartesian=True
        )
        assert turned.get_space_group_info() == ("P3_121", 152)


@settings(deadline=None, max_examples=25)
@given(PLANE, st.sampled_from(["Na", "Pb", "MgO", "CaF2", "Si"]))
def test_a_primitive_file_gives_the_same_terminations(tmp_path_factory, miller, name):
    material = crystal(name)
    path = tmp_path_factory.mktemp("cif") / "p.cif"
    CifWriter(material.structure.get_primitive_structure()).write_file(path)
    spec = MaterialSpec(cif=path, kind=material.kind, oxidation_states=material.oxidation_states)
    again = load_material(name, {name: spec})
    expected = {t.name: t for t in terminations(material, miller)}
    found = {t.name: t for t in terminations(again, miller)}
    assert found.keys() == expected.keys()
    for name, t in found.items():
        other = expected[name]
        assert (t.symmetry, t.tasker, t.mended) == (other.symmetry, other.tasker, other.mended)
        assert mesh(t) == pytest.approx(mesh(other), abs=1e-5)
        assert t.repeat_A[2] == pytest.approx(other.repeat_A[2], abs=1e-5)
        assert t.dipole_per_area_e_A == pytest.approx(other.dipole_per_area_e_A, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(PLANE, st.sampled_from(["Na", "C", "Na2CO3", "MgO", "TiO2", "quartz", "NaPb3"]))
def test_every_cut_fills_the_crystal(miller, name):
    material = crystal(name)
    found = terminations(material, miller)
    assert len({t.name for t in found}) == len(found) > 0
    cell_atoms = len(material.structure)
    for t in found[:4]:
        volume = t.mesh_area_A2 * t.repeat_A[2]
        density = cell_atoms / material.structure.volume
        if not t.stoichiometric:  # a symmetric slab holds more, or less, than whole units
            continue
        slab = build_slab(material, t, 2 * t.units_per_repeat, ((2, 0), (0, t.cell_multiple)))
        assert len(slab) / (4 * t.cell_multiple) == pytest.approx(volume * density, rel=1e-6)
        assert area(slab) == pytest.approx(2 * t.cell_multiple * t.mesh_area_A2)
        assert slab.positions[:, 2].min() == pytest.approx(0, abs=1e-9)
        assert not np.any(neighbor_list("d", slab, 1.0))
        if material.oxidation_states and not t.mended:
            built = dipole_per_area(slab, material.oxidation_states)
            assert built == pytest.approx(2 * t.dipole_per_area_e_A, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(-3, 3)] * 4))
def test_supercell_area_is_its_determinant(entries):
    supercell = np.array(entries).reshape(2, 2)
    det = round(abs(np.linalg.det(supercell)))
    assume(det != 0)
    t = only("C")
    slab = build_slab(crystal("C"), t, 2, supercell)
    assert area(slab) == pytest.approx(det * t.mesh_area_A2)
    assert len(slab) == 4 * det
    np.testing.assert_allclose(slab.cell[:2, :2], supercell @ t.mesh_A, atol=1e-9)
    assert neighbor_list("d", slab, 1.5) == pytest.approx(1.4226, abs=1e-3)


def test_slabs_come_out_the_same_every_time():
    t = usable(terminations(crystal("Na2CO3"), (0, 0, 1)))[1]
    first, second = (build_slab(crystal("Na2CO3"), t, 1, WIDE) for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)
    assert first.get_chemical_symbols() == second.get_chemical_symbols()


def test_energy_matrix_agrees_with_a_plain_ewald_sum():
    """Differences between arrangements equal those of separate Ewald sums."""
    material = crystal("MgO")
    states = material.oxidation_states
    t = usable(terminations(material, (1, 1, 1)))[0]
    plane = slabs._plane(material, t.miller)
    cut_A = t.shift * plane.period_A
    unit = slabs._stack(material, plane, cut_A, 2, 2, t)
    slab = make_supercell(unit, np.diag([2, 3, 1]), wrap=False)
    magnesium = np.flatnonzero(slab.numbers == 12)
    movable = magnesium[np.argsort(-slab.positions[magnesium, 2])]  # two unlike heights
    assert len(movable) == 12
    picks = np.zeros((3, 12), dtype=bool)
    for row, chosen in zip(picks, ([0, 1, 6], [0, 2, 7], [0, 6, 7]), strict=True):
        row[chosen] = True
    down_A = 2 * plane.repeat_A
    energies = slabs._ewald_energies(slab, movable, picks, down_A, states)
    plain = []
    for pick in picks:
        moved = slab.copy()
        moved.positions[movable[pick]] -= down_A
        moved.positions[:, 2] -= moved.positions[:, 2].min()
        cell = moved.cell[:].copy()
        cell[2, 2] = moved.positions[:, 2].max() + 2 * slabs.VACUUM_A
        species = [Species(s, states[s]) for s in moved.get_chemical_symbols()]
        structure = Structure(Lattice(cell), species, moved.positions, coords_are_cartesian=True)
        plain.append(EwaldSummation(structure).total_energy)
    assert np.ptp(plain) > 0.01
    assert energies - energies[0] == pytest.approx(np.array(plain) - plain[0], abs=1e-4)
