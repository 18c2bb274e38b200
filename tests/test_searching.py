"""The search as a job: what it spends, keeps and says, with EMT."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ase.calculators.emt import EMT
from pymatgen.io.ase import AseAtomsAdaptor

from adhesion import searching
from adhesion.cli import main
from adhesion.errors import InputError
from adhesion.materials import load_material
from adhesion.planning import plan_study
from adhesion.report.plans import plan_text
from adhesion.report.searches import search_text
from adhesion.schemas import SearchDocument, parse_document
from adhesion.search import candidates, distinct_registries
from adhesion.searching import Budget, _formula_units, search_flow
from adhesion.study import Study
from conftest import run_here, study_of

OXIDE = """data_MgO
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 4.21
_cell_length_b 4.21
_cell_length_c 4.21
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mg1 Mg 0 0 0
O1 O 0.5 0.5 0.5
"""
PROXY = {"name": "emt", "proxy": {"species": {"Mg": "Al", "O": "O"}, "scale": 1.0}}


def searched(study, folder, **budget):
    (plan,) = plan_study(study, "smoke")
    flow = search_flow(plan, plan, Budget(**budget))
    return plan, run_here(flow, folder)[flow.jobs[-1].uuid]


@pytest.fixture(scope="module")
def silver(tmp_path_factory):
    """Ag on Au in one job: the cell of one mesh, and a flat one."""
    study = study_of("Ag", "Au", layers={"film": 3, "metal": 3}, max_area_A2=45)
    return searched(study, tmp_path_factory.mktemp("search"), pairings=2, keep=1)


@pytest.fixture(scope="module")
def polar(tmp_path_factory):
    """Al on MgO(111), whose slabs are mended or not stoichiometric; through a proxy."""
    folder = tmp_path_factory.mktemp("oxide")
    (folder / "MgO.cif").write_text(OXIDE)
    study = Study.model_validate(
        {
            "name": "oxide",
            "interfaces": [
                {
                    "film": {"material": "Al", "miller": [1, 1, 1]},
                    "substrate": {"material": "MgO", "miller": [1, 1, 1]},
                }
            ],
            "materials": {
                "MgO": {
                    "cif": str(folder / "MgO.cif"),
                    "bulk_modulus_GPa": 160,
                    "oxidation_states": {"Mg": 2, "O": -2},
                }
            },
            "levels": {"smoke": {"calculator": PROXY, "max_area_A2": 40, "layers": {"film": 2}}},
        }
    )
    return searched(study, folder, pairings=4, energies=150)


def test_all_that_was_tried_kept_and_dropped_is_there(silver):
    plan, document = silver
    assert isinstance(document, SearchDocument)
    assert document.n_candidates == plan.n_candidates
    assert len(document.pairings) == document.n_pairings == len(plan.pairings)
    states = [p.state for p in document.pairings]
    assert states[:2] == ["kept", "dropped"]
    assert set(states[2:]) <= {"not tried"}
    assert sorted(p.rank for p in document.pairings) == [*range(1, len(plan.pairings) + 1)]
    assert all(p.reason for p in document.pairings)
    points = sum(len(p.points) for p in document.pairings)
    assert document.n_energies == points + 2 * 2 + 2  # slabs of two pairings, two bulks
    assert parse_document(json.loads(document.model_dump_json())) == document


def test_hollow_wins_and_every_registry_is_bracketed(silver):
    plan, document = silver
    first = next(p for p in document.pairings if p.rank == 1)
    assert first.n_registries == len(distinct_registries(plan.pairings[0]))
    curves = {}
    for point in first.points:
        curves.setdefault(point.registry, {})[point.gap_A] = point.W_J_m2
    assert len(curves) == first.n_registries
    for curve in curves.values():
        best = max(curve, key=lambda gap: curve[gap])
        assert min(curve) < best < max(curve)
    tops = {registry: max(curve.values()) for registry, curve in curves.items()}
    assert first.W_J_m2 == max(tops.values()) == tops[first.registry]
    assert first.spread_J_m2 == pytest.approx(max(tops.values()) - min(tops.values()))
    assert first.spread_J_m2 > 0.3  # hollow against on top


def test_the_geometric_score_ranks_registries_as_the_energy_does(silver):
    plan, document = silver
    first = next(p for p in document.pairings if p.rank == 1)
    tops = {}
    for point in first.points:
        tops[point.registry] = max(point.W_J_m2, tops.get(point.registry, -9))
    scored = candidates(plan.pairings[0])
    assert [c.registry for c in scored] == sorted(tops, key=lambda r: -tops[r])


def test_a_flat_registry_is_one_point(silver):
    plan, document = silver
    text = plan_text([replace(plan, spec=plan.spec.model_copy(update={"candidate": 2}))])
    assert "flat by construction (the two meshes span 2.1 Å2 together): one is computed" in text
    assert "flat by construction" not in plan_text([plan])
    flat = next(p for p in document.pairings if p.rank == 2)
    assert flat.flat_registry
    assert len({p.registry for p in flat.points}) == 1
    assert flat.spread_J_m2 == 0


def test_gamma_int_is_the_gammas_less_W(silver):
    """Silver on gold, cell on cell, binds; both as cut, so gamma_int lies below a third of W."""
    _, document = silver
    assert document.ranked_by == "gamma_int"
    first = next(p for p in document.pairings if p.rank == 1)
    assert first.state == "kept"
    assert -0.3 < first.gamma_int_J_m2 < first.W_J_m2 / 3
    assert document.chemical_potentials_eV.keys() == {"Ag"}


def test_plane_waves_get_bulks_at_kpoints_of_their_own(tmp_path, monkeypatch):
    """Slabs have one point across; each bulk has its own mesh, else there is no gamma_int."""
    made = []
    monkeypatch.setattr(searching, "maker_for", lambda settings: made.append(settings))
    monkeypatch.setattr(searching, "new_calculator", lambda *_: EMT())
    study = study_of("Ag", "Au")
    study.levels["quick"] = {
        "lattice": {"metal": "given"},
        "layers": {"film": 2, "metal": 2},
        "max_area_A2": 10,
        "kpoint_length_bulk_A": 20,
    }
    (plan,) = plan_study(study, "quick")
    flow = search_flow(plan, plan, Budget(pairings=1, energies=20))
    document = run_here(flow, tmp_path)[flow.jobs[-1].uuid]
    assert [tuple(settings["kpoints"]) for settings in made[:2]] == [(5, 5, 5)] * 2
    assert {tuple(settings["kpoints"]) for settings in made[2:]} == {(7, 7, 1)}
    assert document.ranked_by == "gamma_int"
    best = document.pairings[0]
    bulks = {}
    for name, slab in zip(("Ag", "Au"), plan.pairings[0].slabs[::-1], strict=True):
        atoms = AseAtomsAdaptor.get_atoms(load_material(name).structure)
        atoms.calc, slab.calc = EMT(), EMT()
        per_atom = atoms.get_potential_energy() / len(atoms)
        bulks[name] = (slab.get_potential_energy() - len(slab) * per_atom) / 2
    gamma = sum(bulks.values()) / best.area_A2 * 16.0217663
    assert best.gamma_int_J_m2 == pytest.approx(gamma - best.W_J_m2, abs=2e-4)
    assert "bulks at k-points of their own" in search_text(document, "quick")


def test_a_pair_that_stays_apart_is_said_to(silver):
    _, document = silver
    first, second = (p for p in document.pairings if p.state != "not tried")
    apart = second.model_copy(update={"W_J_m2": 0.001, "gamma_int_J_m2": -9.0})
    judged = searching._judged([first, apart], by_gamma=True, keep=1)
    assert [p.rank for p in judged] == [apart.rank, first.rank]
    assert judged[0].reason == "best gamma_int of 2, does not bind"
    assert "bind" not in judged[1].reason


def test_slabs_off_their_formula_need_a_chemical_potential(polar):
    _, document = polar
    tried = {p.substrate_termination: p for p in document.pairings if p.state != "not tried"}
    assert {"Mg half-occupied", "Mg symmetric"} <= tried.keys()
    assert tried["Mg half-occupied"].gamma_int_J_m2 is not None
    assert tried["Mg symmetric"].gamma_int_J_m2 is None
    assert "no chemical potential" in tried["Mg symmetric"].gamma_int_reason
    assert document.ranked_by == "W"
    assert document.proxy


def test_the_budget_holds(polar):
    _, document = polar
    assert document.n_energies <= 150
    text = search_text(document, "smoke")
    assert "not tried" in text
    assert "no number" in text
    assert max(map(len, text.splitlines())) <= 118


def test_surplus_atoms_are_those_of_the_film():
    units = {"Na": 2, "C": 1, "O": 3}
    assert _formula_units({"Na": 5, "C": 2, "O": 6}, units, {"Na"}) == (2, {"Na": 1})
    assert _formula_units({"Na": 3, "C": 2, "O": 6}, units, {"Na"}) == (2, {"Na": -1})
    assert _formula_units({"Na": 4, "C": 2, "O": 6}, units, set()) == (2, {})
    assert _formula_units({"Na": 4, "C": 2, "O": 7}, units, {"Na"}) is None


def test_another_candidate_is_computed_where_the_study_names_it():
    study = study_of("Ag", "Au")
    (first,) = plan_study(study, "smoke")
    study.interfaces[0].candidate = 2
    (second,) = plan_study(study, "smoke")
    assert second.match == first.pairings[1].match
    assert second.hashes["film_slab"] != first.hashes["film_slab"]
    study.interfaces[0].candidate = 10_000
    with pytest.raises(InputError, match=r"no candidate 10000: \d+ lie within the limits"):
        plan_study(study, "smoke")


STUDY = """name: t
interfaces: [{film: Ag, substrate: Au}]
surface_tensions: []
levels: {smoke: {max_area_A2: 20}}
"""


def test_command_searches_once_and_says_what_to_take(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(STUDY)
    arguments = ["search", "s.yaml", "--cells", "1", "--workers", "1"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "to compute the first at smoke: candidate: 1 in the study" in out
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert "reused" in captured.err
    (document,) = json.loads(captured.out)
    assert document["pairings"][0]["state"] == "kept"
    assert main(["search", "s.yaml", "--level", "quick"]) == 2
    assert "--energies" in capsys.readouterr().err


def test_faces_and_pareto_on_the_command_line(capsys):
    assert main(["faces", "Na2CO3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {r["name"] for r in rows if r["usable"]} > {"Na half-occupied", "Na symmetric"}
    assert all(r["cut_bonds_per_A2"] > 0 for r in rows)
    assert any(r["broken_bonds_per_mesh"] == {"C-O": 1} for r in rows)
    assert main(["match", "Na", "C", "--pareto", "--json"]) == 0
    front = json.loads(capsys.readouterr().out)
    strains = [max(map(abs, r["principal_strains"])) for r in front]
    assert strains == sorted(strains)[::-1]
    assert [r["n_atoms"] for r in front] == sorted(r["n_atoms"] for r in front)


def test_a_plane_that_cannot_be_cut_names_others(capsys):
    assert main(["plan", "nowhere.yaml"]) == 2
    capsys.readouterr()
    from adhesion.materials import load_material
    from adhesion.search import faces

    with pytest.raises(InputError, match=r"planes that can be cut: .*\[0, 0, 1\]"):
        faces(load_material("C"), (1, 0, 0), 1)
