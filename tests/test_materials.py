"""Crystals: provenance, settings, and every way a CIF can be wrong."""

from __future__ import annotations

import hashlib
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from adhesion.errors import InputError
from adhesion.materials import Material, known_materials, load_material, read_cif
from adhesion.study import MaterialSpec, data_path

ROOT = Path(__file__).resolve().parents[1]
ROCKSALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def write_cif(path: Path, structure: Structure) -> Path:
    path.write_text(str(CifWriter(structure)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "formula", "density_g_cm3"),
    [
        ("Na", "Na2", 0.967),
        ("Pb", "Pb4", 11.34),
        ("C", "C4", 2.26),
        ("Na2CO3", "Na8 C4 O12", 2.537),
        ("NZSP", "Na12 Zr8 Si8 P4 O48", 3.156),
        ("Na15Pb4", "Na60 Pb16", 3.299),
        ("NaPb3", "Na1 Pb3", 9.164),
    ],
)
def test_own_crystals_have_their_formula_and_density(name, formula, density_g_cm3):
    material = load_material(name)
    assert material.structure.formula == formula
    assert float(material.structure.density) == pytest.approx(density_g_cm3, rel=0.01)


def test_every_entry_of_the_index_says_where_it_comes_from():
    index = yaml.safe_load(data_path("structures", "index.yaml").read_text(encoding="utf-8"))
    assert sorted(index) == known_materials()
    for name, entry in index.items():
        text = data_path("structures", entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(text).hexdigest()
        assert entry["trust"] in {"measured", "computed", "recalled", "estimated"}
        assert entry["source"]
        assert entry["bulk_modulus_GPa"].keys() == {"value", "source", "trust"}
        material = load_material(name)
        assert material.bulk_modulus_GPa == entry["bulk_modulus_GPa"]["value"]
        states = material.oxidation_states
        assert (states is not None) == (name in {"Na2CO3", "NZSP"})


def test_build_writes_the_same_bytes(tmp_path):
    for name in ("build.py", "crystals.yaml"):
        shutil.copy(ROOT / "structures" / name, tmp_path)
    runpy.run_path(str(tmp_path / "build.py"), run_name="__main__")
    written = [*tmp_path.glob("*.cif"), tmp_path / "index.yaml"]
    assert len(written) == len(known_materials()) + 1
    for path in written:
        assert path.read_bytes() == (ROOT / "structures" / path.name).read_bytes()


def test_lattice_of_a_functional():
    sodium = load_material("Na").at_lattice("PBE")
    assert sodium.structure.lattice.abc == pytest.approx((4.199,) * 3)
    assert sodium.structure.lattice.angles == pytest.approx((90,) * 3)
    assert load_material("NZSP").at_lattice("PBE").checksum == load_material("NZSP").checksum
    graphite = load_material("C").structure
    hexagonal = Material("C", graphite, "layered", lattice_by_functional={"PBE": {"a": 2.5}})
    assert hexagonal.at_lattice("PBE").structure.lattice.abc == pytest.approx((2.5, 2.5, 6.711))


def test_a_structure_put_in_is_final():
    sodium = load_material("Na")
    relaxed = sodium.with_structure(sodium.structure.copy().scale_lattice(70.0))
    assert float(relaxed.at_lattice("PBE").structure.volume) == pytest.approx(70.0)
    assert relaxed.checksum != sodium.checksum


@given(st.permutations(range(8)), st.integers(-2, 2))
def test_checksum_is_of_the_crystal_not_of_its_file(order, turns):
    sites = [ROCKSALT[i] for i in order]
    frac = [s.frac_coords + turns + 1e-9 for s in sites]
    shuffled = Structure(ROCKSALT.lattice, [s.specie for s in sites], frac)
    assert (
        Material("a", shuffled, "compound").checksum == Material("b", ROCKSALT, "compound").checksum
    )


def test_checksum_sees_a_moved_atom():
    moved = ROCKSALT.copy()
    moved.translate_sites([0], [0.001, 0, 0])
    assert Material("a", moved, "compound").checksum != Material("a", ROCKSALT, "compound").checksum


def test_primitive_cif_becomes_the_conventional_cell(tmp_path):
    primitive = ROCKSALT.get_primitive_structure()
    assert len(primitive) == 2
    path = write_cif(tmp_path / "salt.cif", primitive)
    material = load_material("salt", {"salt": MaterialSpec(cif=path)})
    assert len(material.structure) == 8
    np.testing.assert_allclose(material.structure.lattice.matrix, 5.64 * np.eye(3), atol=1e-6)
    assert material.oxidation_states == {"Cl": -1.0, "Na": 1.0}
    assert material.keep_bonds == []


@pytest.mark.parametrize(
    "cell",
    [
        [[2, 0, 0], [0, 2, 0], [0, 0, 2]],  # as many atoms as twice the cubic cell
        [[2, 1, 0], [0, 2, 1], [1, 0, 1]],
        [[-1, 1, 1], [1, -1, 1], [1, 1, 0]],
        [[-2, 2, 2], [3, -3, 3], [1, 1, -1]],  # right angles, and (110) is (320) of the cubic cell
    ],
)
def test_a_supercell_becomes_the_conventional_cell(tmp_path, cell):
    """(001) of a supercell of primitive cells must not be (111)."""
    primitive = ROCKSALT.get_primitive_structure()
    structure, _ = read_cif(write_cif(tmp_path / "s.cif", primitive * cell))
    assert structure.lattice.abc == pytest.approx((5.64,) * 3, abs=1e-4)
    assert structure.lattice.angles == pytest.approx((90,) * 3, abs=1e-3)
    assert len(structure) == 8


def test_a_sheared_cell_becomes_the_conventional_cell(tmp_path):
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    sheared = perovskite * [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert len(sheared) == 5
    structure, _ = read_cif(write_cif(tmp_path / "s.cif", sheared))
    assert structure.lattice.angles == pytest.approx((90,) * 3, abs=1e-3)


def test_a_centred_triclinic_setting_stays_as_given(tmp_path):
    """Feldspars and kaolinite are described in C-1, a cell of two primitive ones."""
    cell = Lattice.from_parameters(5.15, 8.94, 7.39, 91.9, 105.0, 89.8)
    points = [[0.1, 0.2, 0.3], [0.6, 0.7, 0.3], [0, 0, 0], [0.5, 0.5, 0]]
    structure, _ = read_cif(
        write_cif(tmp_path / "c.cif", Structure(cell, ["Al", "Al", "O", "O"], points))
    )
    assert structure.lattice.abc == pytest.approx((5.15, 8.94, 7.39))


@pytest.mark.parametrize(
    ("group", "cell", "sites", "kept"),
    [
        # sulphate, brucite, dry ice, pyrite's S2, quartz's network by name, diamond, rock salt
        (
            "P-42m",
            Lattice.tetragonal(6.0, 5.0),
            {"Li": [0, 0.5, 0], "S": [0, 0, 0], "O": [0.143, 0.143, 0.171]},
            [("S", "O")],
        ),
        (
            "P-3m1",
            Lattice.hexagonal(3.142, 4.766),
            {"Mg": [0, 0, 0], "O": [1 / 3, 2 / 3, 0.22], "H": [1 / 3, 2 / 3, 0.43]},
            [("H", "O")],
        ),
        ("Pa-3", Lattice.cubic(5.624), {"C": [0, 0, 0], "O": [0.1185] * 3}, [("C", "O")]),
        ("Pa-3", Lattice.cubic(5.416), {"Fe": [0, 0, 0], "S": [0.385] * 3}, [("S", "S")]),
        (
            "P3_221",
            Lattice.hexagonal(4.9134, 5.4052),
            {"Si": [0.4699, 0, 2 / 3], "O": [0.4141, 0.2681, 0.7854]},
            [("Si", "O")],
        ),
        ("Fd-3m", Lattice.cubic(3.567), {"C": [0, 0, 0]}, []),
        ("Fm-3m", Lattice.cubic(5.64), {"Na": [0, 0, 0], "Cl": [0.5] * 3}, []),
    ],
)
def test_groups_of_nonmetals_are_kept_whole(tmp_path, group, cell, sites, kept):
    """Finite ones: a network such as diamond's could not be cut at all."""
    crystal = Structure.from_spacegroup(group, cell, list(sites), list(sites.values()))
    path = write_cif(tmp_path / "x.cif", crystal)
    assert load_material("x", {"x": MaterialSpec(cif=path)}).keep_bonds == kept
    named = MaterialSpec(cif=path, keep_bonds=[])
    assert load_material("x", {"x": named}).keep_bonds == []


def test_a_setting_with_all_atoms_stays_as_given(tmp_path):
    carbonate = load_material("Na2CO3").structure
    turned = carbonate.copy()
    turned.make_supercell([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    structure, states = read_cif(write_cif(tmp_path / "c.cif", turned))
    assert structure.lattice.abc == pytest.approx((6.050, 8.920, 5.245))
    assert states is None


def test_the_study_comes_before_structures(tmp_path):
    path = write_cif(tmp_path / "mine.cif", load_material("Na").structure.scale_lattice(80))
    spec = MaterialSpec(cif=path, kind="metal", bulk_modulus_GPa=5)
    material = load_material("Na", {"Na": spec})
    assert float(material.structure.volume) == pytest.approx(80)
    assert material.source == "CIF mine.cif"
    assert (material.trust, material.bulk_modulus_GPa) == ("given", 5)
    assert material.oxidation_states is None


def test_oxidation_states_written_in_the_cif_are_used(tmp_path):
    salt = ROCKSALT.copy()
    salt.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    structure, states = read_cif(write_cif(tmp_path / "s.cif", salt))
    assert states == {"Na": 1.0, "Cl": -1.0}
    assert {str(s.specie) for s in structure} == {"Na", "Cl"}


def test_unknown_name_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'Na2CO3'"):
        load_material("NaCO3")


@pytest.mark.parametrize("name", ["../Na", "a/b", "a\\b", "..", "", "/etc/passwd"])
def test_a_path_is_no_name(name):
    with pytest.raises(InputError, match="not the name of a material"):
        load_material(name)


def broken_cifs() -> dict[str, tuple[str, str]]:
    good = str(CifWriter(load_material("Na").structure, symprec=0.01))
    twice = Structure(Lattice.cubic(4.29), ["Na", "O"], [[0, 0, 0], [0.02, 0, 0]])
    close = Structure(Lattice.cubic(4.29), ["Na", "Na"], [[0, 0, 0], [0.2, 0, 0]])
    mixed = Structure(Lattice.cubic(4.29), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    partly = Structure(Lattice.cubic(4.29), [{"Na": 0.5}], [[0, 0, 0]])
    many = Structure(Lattice.cubic(4.0), ["Na"], [[0, 0, 0]]) * (13, 13, 13)
    return {
        "empty": (" \n", "empty"),
        "words": ("this is no cif", "no CIF"),
        "cut": (good[: len(good) // 2], "no CIF"),
        "overlap": (str(CifWriter(twice)), "0.09 Å apart"),
        "close": (str(CifWriter(close)), "0.86 Å apart"),
        "mixed": (str(CifWriter(mixed)), "disordered"),
        "partly": (str(CifWriter(partly)), "disordered"),
        "many": (str(CifWriter(many)), "2197 atoms"),
        "two": (good + good.replace("data_Na", "data_b"), "2 crystals"),
    }


@pytest.mark.parametrize("case", broken_cifs().items(), ids=lambda c: c[0])
def test_broken_cif_is_refused_by_name(tmp_path, case):
    name, (text, reason) = case
    path = tmp_path / f"{name}.cif"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_material("X1", {"X1": MaterialSpec(cif=path)})
    assert reason in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.hint


def test_missing_cif_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"gone\.cif: cannot be read"):
        load_material("X1", {"X1": MaterialSpec(cif=tmp_path / "gone.cif")})


@pytest.mark.parametrize(
    ("states", "reason"), [({"Na": 1}, "lacks Cl"), ({"Na": 1, "Cl": -2}, "charge of -4 e")]
)
def test_oxidation_states_must_fit(tmp_path, states, reason):
    path = write_cif(tmp_path / "s.cif", ROCKSALT)
    with pytest.raises(InputError, match=reason):
        load_material("s", {"s": MaterialSpec(cif=path, oxidation_states=states)})
