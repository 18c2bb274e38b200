from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adhesion import cli
from adhesion.alloys import (
    alloy_flow,
    alloys_of,
    formation_energy,
    formation_lines,
    formations,
    per_area,
)
from adhesion.checks import planned
from adhesion.errors import InputError
from adhesion.jobs import is_cubic_and_rigid
from adhesion.materials import load_material
from adhesion.runner import run_flow
from adhesion.store import Results, open_store
from adhesion.study import Study, data_path, load_study

STUDY = data_path("configs", "studies", "na_anode.yaml")


@pytest.fixture(scope="module")
def lead():
    study = load_study(STUDY)
    return study, planned(study, "smoke", ["Na/Pb"])


def test_the_alloys_of_sodium_and_lead(lead):
    study, (plan,) = lead
    found = {a.material.name: a for a in alloys_of(plan, study)}
    assert set(found) == {"Na15Pb4", "NaPb3"}
    assert found["Na15Pb4"].counts == (15, 4)
    assert found["Na15Pb4"].reaction("Na", "Pb") == "15 Na + 4 Pb -> Na15Pb4"
    assert found["NaPb3"].reaction("Na", "Pb") == "Na + 3 Pb -> NaPb3"
    assert len(found["Na15Pb4"].material.structure) == 38
    # Where only the lattice is free it is fitted; other crystals stay as given here.
    assert found["NaPb3"].recipe.parameters == {"lattice": "relaxed"}
    assert found["Na15Pb4"].recipe.parameters == {"lattice": "given", "energy": True}


def test_crystals_that_symmetry_leaves_only_a_lattice_constant():
    rigid = {n: is_cubic_and_rigid(load_material(n)) for n in ("Na", "Pb", "NaPb3", "Na15Pb4", "C")}
    assert rigid == {"Na": True, "Pb": True, "NaPb3": True, "Na15Pb4": False, "C": False}


def test_k_points_of_all_crystals_have_one_density(lead):
    study, _ = lead
    plans = planned(study, "quick", ["Na/Pb"])
    meshes = {a.material.name: a.settings["kpoints"] for a in alloys_of(plans[0], study)}
    assert meshes == {"Na15Pb4": (3, 3, 3), "NaPb3": (7, 7, 7)}


def test_formation_energies_are_energy_differences(lead, tmp_path):
    study, plans = lead
    results = Results(open_store(tmp_path))
    missing = formations(plans[0], study, results)
    assert {one.reason for one in missing} == {
        "Na15Pb4 bulk is not computed",
        "NaPb3 bulk is not computed",
    }
    run_flow(alloy_flow(plans, study), results, folder=tmp_path, workers=1)
    found = {f.reaction.split()[-1]: f for f in formations(plans[0], study, results)}
    one = found["Na15Pb4"]
    assert one.reason == ""
    assert one.proxy
    assert one.per_atom_eV == pytest.approx(one.per_formula_eV / 19)
    assert one.per_film_atom_eV == pytest.approx(one.per_formula_eV / 15)
    # One Pb in the mesh of Pb(001) makes a quarter of a formula unit.
    area = 4.9505**2 / 2
    assert one.per_area_J_m2 == pytest.approx(one.per_formula_eV / 4 / area * 16.0218, rel=1e-3)
    lines = formation_lines(list(found.values()))
    assert lines[0].startswith("PROXY")
    assert any("recalled" in line for line in lines)


@pytest.mark.parametrize("level", ["quick", "workstation"])
def test_the_report_has_those_of_the_archive(level, tmp_path, capsys):
    line = ["report", str(STUDY), "--level", level, "--only", "Na/Pb", "--format", "json"]
    assert cli.main([*line, "--store", str(tmp_path / "none")]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    found = {a["reaction"]: a for a in row["alloys"]}
    one = found["15 Na + 4 Pb -> Na15Pb4"]
    assert not one["proxy"]
    assert one["per_formula_eV"] == pytest.approx(19 * one["per_atom_eV"])
    # Both are known to form: exothermic, more so per atom where there is more sodium.
    assert one["per_atom_eV"] < found["Na + 3 Pb -> NaPb3"]["per_atom_eV"] < -0.05


def test_a_study_without_alloys_is_told_so():
    study = Study(name="t", interfaces=[{"film": "Ag", "substrate": "Au"}])
    with pytest.raises(InputError, match="no interface of two elements"):
        alloy_flow(planned(study, "smoke"), study)


@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(1, 20), st.integers(1, 20))
def test_a_mixture_that_gains_nothing_has_no_formation_energy(film, substrate, n, m):
    assert formation_energy(n * film + m * substrate, film, substrate, (n, m)) == pytest.approx(
        0, abs=1e-9
    )


def test_per_area_by_hand():
    assert per_area(-4.0, (15, 4), top_atoms=2, area_A2=20.0) == pytest.approx(
        -2 / 20 * 16.0218, 1e-4
    )
