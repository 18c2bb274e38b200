"""Plans: cells of the four Na interfaces, hashes that hold, settings that change them."""

from __future__ import annotations

import json
import locale
import os
import subprocess
import sys

import pytest
from ase.io import write

from adhesion.errors import InputError, NoMatchError
from adhesion.flows import StudyMaker, WorkOfAdhesionMaker
from adhesion.interfaces import stack
from adhesion.planning import plan_interface, plan_study, substrate_share
from adhesion.schemas import Recipe
from adhesion.study import Study, data_path, load_study
from conftest import Finished, plan_of, study_of

NA_ANODE = data_path("configs", "studies", "na_anode.yaml")
ATOMS = {"Na/NZSP": 52, "Na/Na2CO3": 63, "Na/Pb": 22, "Na/C": 29}
AREAS_A2 = {"Na/NZSP": 72.2, "Na/Na2CO3": 92.8, "Na/Pb": 64.2, "Na/C": 52.6}


@pytest.fixture(scope="module")
def study():
    return load_study(NA_ANODE)


@pytest.fixture(scope="module")
def quick(study):
    return {plan.spec.short: plan for plan in plan_study(study, "quick")}


def hashes(study, level="smoke", only=None):
    return [plan.hashes for plan in plan_study(study, level, only)]


class TestNaAnode:
    @pytest.mark.parametrize("short", ATOMS)
    def test_cell(self, quick, short):
        summary, limits = quick[short].summary, quick[short].level.strain
        assert summary["n_atoms"] == ATOMS[short]
        assert summary["area_A2"] == pytest.approx(AREAS_A2[short], abs=0.05)
        assert max(map(abs, summary["film_strain_percent"])) <= 100 * limits.max_film
        assert max(map(abs, summary["substrate_strain_percent"])) <= 100 * limits.max_substrate

    @pytest.mark.parametrize("short", ATOMS)
    def test_atoms_are_those_of_the_slabs(self, quick, short):
        plan = quick[short]
        sides = [
            plan.film.slab(plan.match.film_transformation),
            plan.substrate.slab(plan.match.substrate_transformation),
        ]
        assert sum(map(len, sides)) == ATOMS[short]

    def test_oxygen_changes_the_level(self, quick):
        assert quick["Na/NZSP"].settings["ecut_eV"] == 450
        assert quick["Na/Pb"].settings["ecut_eV"] == 340
        assert quick["Na/C"].settings["setups"] == {"Na": "1"}

    def test_sodium_bulk_is_shared(self, quick):
        with_oxygen = {quick[s].hashes["bulk_film"] for s in ("Na/NZSP", "Na/Na2CO3")}
        without = {quick[s].hashes["bulk_film"] for s in ("Na/Pb", "Na/C")}
        assert len(with_oxygen) == len(without) == 1
        assert with_oxygen != without  # another cutoff

    def test_shared_calculations_stand_in_the_flow_once(self, study, quick):
        flow = StudyMaker(level="quick").calculations(list(quick.values()))
        wanted = {h for plan in quick.values() for h in plan.hashes.values()}
        assert sorted(flow.job_uuids) == sorted(wanted)
        assert len(wanted) < sum(len(plan.hashes) for plan in quick.values())

    def test_parents_come_first(self, quick):
        for plan in quick.values():
            seen = set()
            for recipe in plan.recipes.values():
                assert set(recipe.parents.values()) <= seen
                seen.add(recipe.hash)


class TestHashes:
    def test_order_of_interfaces(self, study):
        turned = study.model_copy(update={"interfaces": study.interfaces[::-1]})
        assert hashes(turned) == hashes(study)[::-1]
        assert hashes(study, only=["Na/Pb"])[0] == hashes(study)[2]

    def test_names_and_comparisons_count_for_nothing(self):
        study = study_of("Ag", "Au")
        renamed = study.model_copy(update={"name": "other", "title": "T", "surface_tensions": []})
        assert hashes(renamed) == hashes(study)

    def test_other_folder_locale_and_hash_seed(self, tmp_path):
        code = (
            "import locale, json, sys; locale.setlocale(locale.LC_ALL, '');"
            "from adhesion.planning import plan_study; from adhesion.study import load_study;"
            "print(json.dumps([p.hashes for p in plan_study(load_study(sys.argv[1]), 'smoke',"
            " ['Na/Pb', 'Na/C'])]))"
        )
        environment = os.environ | {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "PYTHONHASHSEED": "7"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(NA_ANODE)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout) == hashes(load_study(NA_ANODE), only=["Na/Pb", "Na/C"])
        assert locale.setlocale(locale.LC_ALL)  # ours is untouched

    def test_relaxed_numbers_do_not_count(self, emt):
        """The flow relaxes Ag to 4.06 Å, the plan knows only the crystal files."""
        before = plan_of("Ag", "Au").hashes
        finished = emt("Ag", "Au")
        assert {d.hash for n, d in finished.documents.items() if not n.endswith("row")} == set(
            before.values()
        )
        for role in ("film_slab", "substrate_slab"):
            recipe = plan_of("Ag", "Au").recipes[role]
            floats = {k for k, v in recipe.parameters.items() if isinstance(v, float)}
            assert floats <= {"share", "vacuum_A", "fmax_eV_A"}

    @pytest.mark.parametrize(
        ("change", "unchanged"),
        [
            ({"layers": {"film": 7}}, {"bulk_film", "bulk_substrate", "substrate_slab"}),
            ({"layers": {"metal": 7}}, {"bulk_film", "bulk_substrate", "film_slab"}),
            ({"strain": {"share": "film"}}, {"bulk_film", "bulk_substrate"}),
            ({"vacuum_A": 9.0}, {"bulk_film", "bulk_substrate"}),
            ({"fmax_eV_A": 0.02}, {"bulk_film", "bulk_substrate"}),
            ({"lattice": {"metal": "given"}}, set()),
            ({"calculator": {"name": "ase.calculators.lj.LennardJones"}}, set()),
            ({"n_gaps": 6}, {"bulk_film", "bulk_substrate", "film_slab", "substrate_slab"}),
            ({"gap_step_A": 0.2}, {"bulk_film", "bulk_substrate", "film_slab", "substrate_slab"}),
            ({"n_registries": 2}, {"bulk_film", "bulk_substrate", "film_slab", "substrate_slab"}),
            (
                {"free_layers_A": 3.0},
                {"bulk_film", "bulk_substrate", "film_slab", "substrate_slab", "curve"},
            ),
        ],
        ids=str,
    )
    def test_settings_change_what_follows_from_them(self, change, unchanged):
        study = study_of("Ag", "Au", **change)
        old = plan_of("Ag", "Au").hashes
        new = plan_study(study, "smoke")[0].hashes
        assert {role for role in old if old[role] == new[role]} == unchanged

    @pytest.mark.parametrize("change", [{"ecut_eV": 350}, {"width_eV": 0.2}, {"functional": "RPBE"},
                                        {"setups": {"Na": ""}}, {"dipole": False}])  # fmt: skip
    def test_gpaw_settings_change_the_hash(self, study, quick, change):
        levels = {"quick": {"calculator": {"settings": change}}}
        changed = Study(name="x", interfaces=study.interfaces, levels=levels)
        new = plan_study(changed, "quick", ["Na/Pb"])[0]
        assert new.hashes["curve"] != quick["Na/Pb"].hashes["curve"]

    def test_scf_scheme_does_not(self, study, quick):
        levels = {"quick": {"calculator": {"settings": {"scf": "softer"}}}}
        changed = Study(name="x", interfaces=study.interfaces, levels=levels)
        new = plan_study(changed, "quick", ["Na/Pb"])[0]
        assert new.settings["scf"] == "softer"
        assert new.hashes == quick["Na/Pb"].hashes

    def test_hash_is_32_digits_of_the_contents(self):
        recipe = plan_of("Ag", "Au").recipes["curve"]
        assert len(recipe.hash) == 32
        again = Recipe.model_validate(json.loads(json.dumps(recipe.model_dump(mode="json"))))
        assert again.hash == recipe.hash
        assert recipe.model_copy(update={"protocol": 99}).hash != recipe.hash


class TestChoices:
    def test_softer_side_takes_the_strain(self, quick):
        plan = quick["Na/C"]
        assert plan.share == pytest.approx(7.8 / (7.8 + 500))
        film, substrate = plan.summary["film_strain_percent"], plan.summary[
            "substrate_strain_percent"
        ]  # fmt: skip
        assert max(map(abs, substrate)) < 0.1 * max(map(abs, film))

    @pytest.mark.parametrize(("share", "part"), [("film", 0.0), ("substrate", 1.0), (0.3, 0.3)])
    def test_share_as_told(self, share, part):
        study = study_of("Ag", "Au", strain={"share": share})
        plan = plan_study(study, "smoke")[0]
        assert plan.share == part
        strained = plan.summary["film_strain_percent"], plan.summary["substrate_strain_percent"]
        assert (strained[0] == (0.0, 0.0)) == (share == "substrate")
        assert (strained[1] == (0.0, 0.0)) == (share == "film")

    def test_sharing_by_stiffness_needs_both_moduli(self):
        plan = plan_of("Ag", "Au")
        unknown = plan.film.material.with_structure(plan.film.material.structure)
        object.__setattr__(unknown, "bulk_modulus_GPa", None)
        with pytest.raises(InputError, match="bulk modulus of Ag is not known"):
            substrate_share(plan.level, unknown, plan.substrate.material)

    def test_limits_that_nothing_meets(self):
        study = study_of("Ag", "Cu", strain={"max_film": 0.001, "max_substrate": 0.001})
        with pytest.raises(NoMatchError, match=r"levels\.smoke"):
            plan_study(study, "smoke")

    def test_unknown_termination(self):
        study = study_of("Ag", {"material": "Au", "termination": "Ag"})
        with pytest.raises(InputError, match="no usable termination 'Ag'"):
            plan_study(study, "smoke")

    def test_dispersion_of_a_functional_without_parameters(self):
        study = study_of("Ag", "Au", dispersion=True)
        with pytest.raises(InputError, match=r"no parameters for 'EMT'.*\n.*dispersion to false"):
            plan_study(study, "smoke")

    def test_dispersion_of_a_proxy_is_left_out(self):
        proxy = {"name": "emt", "proxy": {"species": {"Na": "Al"}, "scale": 0.775}}
        study = study_of("Na", "Na", dispersion=True, calculator=proxy)
        assert plan_study(study, "smoke")[0].settings["proxy"]


@pytest.fixture(scope="module")
def folder(emt, tmp_path_factory):
    """The lowest Ag/Au of the flow, as a file."""
    curve = emt("Ag", "Au")["curve"]
    folder = tmp_path_factory.mktemp("ready")
    write(folder / "ready.json", curve.geometry.to_ase())
    return folder


class TestReadyMade:
    def study(self, path, film_atoms, **changes):
        interface = {
            "film": "Ag", "substrate": "Au", "structure": str(path), "film_atoms": film_atoms,
        }  # fmt: skip
        return Study(name="ready", interfaces=[interface], levels={"smoke": changes})

    def run(self, study, folder):
        return Finished(WorkOfAdhesionMaker(level="smoke").make("Ag", "Au", study), folder)

    def test_gives_the_W_of_the_flow_that_made_it(self, folder, emt, tmp_path):
        curve = emt("Ag", "Au")["curve"]
        study = self.study(folder / "ready.json", curve.film_indices, gap_step_A=0.15)
        done = self.run(study, tmp_path)
        assert done.row.status == "done"
        assert done.row.W_curve_J_m2 == pytest.approx(emt("Ag", "Au").row.W_curve_J_m2, abs=1e-6)
        assert done.row.termination == "as given"
        assert done.row.n_atoms == 12
        assert done.row.W_ad_J_m2 is None

    def test_doubled_cell_and_moved_origin_change_nothing(self, folder, emt, tmp_path):
        curve = emt("Ag", "Au")["curve"]
        atoms = curve.geometry.to_ase()
        doubled = atoms * (2, 1, 1)
        moved = atoms.copy()
        moved.positions += [0.7, 0.4, 0.5]
        moved.wrap(pbc=(True, True, False))
        n = len(atoms)
        found = []
        for i, (atoms, film) in enumerate(
            [
                (doubled, [*curve.film_indices, *(k + n for k in curve.film_indices)]),
                (moved, curve.film_indices),
            ]
        ):
            write(tmp_path / f"{i}.json", atoms)
            study = self.study(tmp_path / f"{i}.json", film, n_gaps=1)
            found.append(self.run(study, tmp_path).row.W_curve_J_m2)
        expected = emt("Ag", "Au").row.W_curve_J_m2
        assert found == pytest.approx([expected, expected], abs=1e-6)

    def test_W_vanishes_far_apart(self, emt, tmp_path):
        film, rest = (emt("Ag", "Au")[f"{s} slab"].geometry.to_ase() for s in ("film", "substrate"))
        far = stack(rest, film, gap_A=12.0, height_A=60)
        write(tmp_path / "far.json", far.atoms)
        study = self.study(tmp_path / "far.json", list(far.film), n_gaps=1)
        assert self.run(study, tmp_path).row.W_curve_J_m2 == pytest.approx(0, abs=1e-9)

    def test_hash_follows_the_geometry_not_the_file(self, folder, emt, tmp_path):
        curve = emt("Ag", "Au")["curve"]
        atoms = curve.geometry.to_ase()
        write(tmp_path / "other.json", atoms)
        atoms.positions[0, 2] += 0.01
        write(tmp_path / "third.json", atoms)
        first, second, third = (
            plan_study(self.study(p, curve.film_indices), "smoke")[0].hashes["curve"]
            for p in (folder / "ready.json", tmp_path / "other.json", tmp_path / "third.json")
        )
        assert first == second != third

    def test_file_that_is_no_structure(self, tmp_path):
        (tmp_path / "x.cif").write_text("no crystal")
        with pytest.raises(InputError, match="cannot be read as a structure"):
            plan_study(self.study(tmp_path / "x.cif", [0]), "smoke")

    def test_wrong_indices_name_the_file(self, folder):
        with pytest.raises(InputError, match=r"ready\.json.*film_atoms must name some"):
            plan_study(self.study(folder / "ready.json", [99]), "smoke")


def test_plan_interface_of_one_spec(study):
    spec = study.interfaces[2]
    assert plan_interface(spec, study.level("smoke"), study).hashes == hashes(study)[2]
