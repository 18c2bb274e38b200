"""Calculators: settings, refusals, the proxy, and a small real GPAW calculation."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bcc100, bulk, fcc100
from ase.calculators.emt import EMT
from ase.io import write
from atomate2.ase.jobs import AseMaker
from atomate2.forcefields.utils import MLFF

from adhesion.calculators import check, identity, resolve
from adhesion.calculators import gpaw as ladder
from adhesion.calculators.emt import ProxyEMT
from adhesion.calculators.gpaw import (
    GpawSettings,
    LadderGPAW,
    check_gpaw,
    irreducible_kpoints,
)
from adhesion.calculators.imported import load_class
from adhesion.calculators.launched import matched_ranks, shares_kpoints
from adhesion.calculators.makers import EmtMaker, GpawMaker, maker_for
from adhesion.errors import InputError, NotConvergedError, SetupError
from adhesion.study import CalculatorSpec, Level, ProxySpec, builtin_levels

LENNARD_JONES = "ase.calculators.lj.LennardJones"


def spec(name="gpaw", **settings):
    return CalculatorSpec(name=name, settings=settings)


def quick(elements):
    return Level.model_validate(builtin_levels()["quick"]).for_elements(elements).calculator


class TestGpawSettings:
    def test_oxygen_takes_450_eV(self):
        assert resolve(quick({"Na", "Pb"}), {"Na", "Pb"}, (2, 2, 1), slab=True)["ecut_eV"] == 340
        elements = {"Na", "O"}
        assert resolve(quick(elements), elements, (2, 2, 1), slab=True)["ecut_eV"] == 450

    @pytest.mark.parametrize("slab", [True, False])
    def test_dipole_only_for_slabs(self, slab):
        assert resolve(spec(ecut_eV=300), {"Na"}, (2, 2, 1), slab=slab)["dipole"] is slab

    def test_dipole_can_be_left_out(self):
        assert not resolve(spec(ecut_eV=300, dipole=False), {"Na"}, (2, 2, 1), slab=True)["dipole"]

    def test_setups_of_elements_present(self):
        chosen = spec(ecut_eV=300, setups={"Na": "1", "Pb": "d"})
        assert resolve(chosen, {"Na", "C"}, (1, 1, 1), slab=True)["setups"] == {"Na": "1"}
        assert resolve(chosen, {"C"}, (1, 1, 1), slab=True)["setups"] == {}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"ecut_ev": 300}, "did you mean 'ecut_eV'"),
            ({"ecut_eV": 300, "kpoints": [8, 8, 1]}, "kpoint_length_A"),
            ({"ecut_eV": 300, "setups": {"NA": "1"}}, "'NA' is no element"),
            ({"ecut_eV": 20}, "ecut_eV"),
            ({}, "ecut_eV"),
            ({"ecut_eV": 300, "scf": "hard"}, "scf"),
        ],
    )
    def test_refusals_name_the_key(self, settings, message):
        with pytest.raises(InputError, match=message):
            resolve(spec(**settings), {"Na"}, (2, 2, 1), slab=True)

    def test_scf_scheme_is_no_part_of_the_identity(self):
        plain, soft = (
            resolve(spec(ecut_eV=300, scf=s), {"Na"}, (2, 2, 1), slab=True)
            for s in ("plain", "soft")
        )
        assert plain != soft
        assert identity(plain) == identity(soft)
        other = resolve(spec(ecut_eV=301), {"Na"}, (2, 2, 1), slab=True)
        assert identity(other) != identity(plain)


class TestNames:
    def test_nearest_name(self):
        with pytest.raises(InputError, match="did you mean 'gpaw'"):
            resolve(spec("gpa"), {"Na"}, (1, 1, 1), slab=True)
        with pytest.raises(InputError, match="did you mean 'CHGNet'"):
            resolve(spec("chgnett"), {"Na"}, (1, 1, 1), slab=True)

    def test_import_path_needs_permission(self):
        settings = resolve(spec(LENNARD_JONES, epsilon=0.1), {"Na"}, (1, 1, 1), slab=True)
        with pytest.raises(InputError, match=f"--allow-calculator {LENNARD_JONES}"):
            check(settings, {"Na"})
        check(settings, {"Na"}, allow_import=True)
        made = maker_for(settings)._get_calculator()
        assert made.parameters["epsilon"] == 0.1

    @pytest.mark.parametrize(
        "path",
        ["os.system", "no.such.Class", "ase.calculators.lj.Nothing", ".relative.Class", "lone",
         "pathlib.Path"],
    )  # fmt: skip
    def test_import_paths_that_are_no_calculator(self, path):
        with pytest.raises(InputError, match="calculator"):
            load_class(path)

    @pytest.mark.parametrize("field", sorted({m.value for m in MLFF} - {"Forcefield"}))
    def test_force_field_that_is_not_installed_is_refused(self, field):
        from adhesion.calculators.registry import _FORCE_FIELD_PACKAGES

        settings = resolve(spec(field.lower()), {"Na"}, (1, 1, 1), slab=True)
        assert settings["name"] == field
        module = next(
            m for s, (m, _) in _FORCE_FIELD_PACKAGES.items() if field.lower().startswith(s)
        )
        if importlib.util.find_spec(module.split(".")[0]) is not None:
            pytest.skip(f"{module} is installed here")
        with pytest.raises(SetupError, match=r"needs the package .*\n.*pip install"):
            check(settings, {"Na"})

    @pytest.mark.parametrize("name", ["gpaw", "emt", LENNARD_JONES, "CHGNet"])
    def test_every_maker_is_one_of_atomate2(self, name):
        settings = {"ecut_eV": 300} if name == "gpaw" else {}
        made = maker_for(resolve(spec(name, **settings), {"Al"}, (2, 2, 1), slab=True))
        assert isinstance(made, AseMaker)

    def test_maker_of_gpaw_carries_its_settings(self):
        made = maker_for(resolve(spec(ecut_eV=300), {"Na"}, (4, 2, 1), slab=True))
        assert isinstance(made, GpawMaker)
        calculator = made._get_calculator()
        assert calculator.settings == GpawSettings(ecut_eV=300, kpoints=(4, 2, 1))


class TestEmt:
    def test_has_no_settings(self):
        with pytest.raises(InputError, match="emt has none"):
            resolve(spec("emt", ecut=1), {"Al"}, (1, 1, 1), slab=True)

    def test_unknown_elements_are_named(self):
        settings = resolve(spec("emt"), {"Al", "Na", "Pb"}, (1, 1, 1), slab=True)
        with pytest.raises(InputError, match="no parameters for Na, Pb"):
            check(settings, {"Al", "Na", "Pb"})
        check(settings, {"Al"})

    def test_proxy_only_where_it_is_needed(self):
        proxy = ProxySpec(species={"Na": "Al"}, scale=0.775)
        chosen = CalculatorSpec(name="emt", proxy=proxy)
        assert resolve(chosen, {"Al", "Ag"}, (1, 1, 1), slab=True)["proxy"] is None
        found = resolve(chosen, {"Al"}, (1, 1, 1), slab=False, partners={"Na"})
        assert found["proxy"] == {"species": {"Na": "Al"}, "scale": 0.775}
        check(found, {"Al", "Na"})
        with pytest.raises(InputError, match="no parameters for Pb"):
            check(found, {"Na", "Pb"})

    def test_other_calculators_take_no_proxy(self):
        chosen = CalculatorSpec(name="chgnet", proxy=ProxySpec(species={"Na": "Al"}, scale=1.0))
        with pytest.raises(InputError, match="needs the calculator emt"):
            resolve(chosen, {"Na"}, (1, 1, 1), slab=True)

    def test_proxy_forces_are_the_derivative_of_its_energy(self):
        atoms = bcc100("Na", (1, 1, 3), a=4.2, vacuum=6)
        atoms.rattle(0.1, seed=1)
        atoms.calc = ProxyEMT({"Na": "Al"}, 0.775)
        forces, step = atoms.get_forces(), 1e-4
        for i, axis in [(0, 0), (1, 1), (2, 2), (2, 0)]:
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[i, axis] += sign * step
                moved.calc = ProxyEMT({"Na": "Al"}, 0.775)
                energies.append(moved.get_potential_energy())
            slope = (energies[0] - energies[1]) / (2 * step)
            assert forces[i, axis] == pytest.approx(-slope, abs=1e-6)
        assert np.abs(forces).max() > 0.01

    def test_proxy_energy_is_that_of_the_scaled_atoms(self):
        real = bulk("Na", "bcc", a=4.2, cubic=True)
        real.calc = ProxyEMT({"Na": "Al"}, 0.775)
        other = bulk("Al", "bcc", a=4.2 * 0.775, cubic=True)
        other.calc = EMT()
        assert real.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-9)

    def test_maker_with_and_without_proxy(self):
        assert isinstance(EmtMaker()._get_calculator(), EMT)
        proxy = {"species": {"Na": "Al"}, "scale": 0.775}
        made = maker_for({"name": "emt", "functional": "EMT", "proxy": proxy})._get_calculator()
        assert made.species == {"Na": "Al"}


# Where GPAW is not installed these fail: without it the project computes no real number.
SETTINGS = {"ecut_eV": 200, "setups": {"Na": "1"}, "width_eV": 0.1, "kpoints": (1, 1, 1)}


def sodium():
    atoms = bcc100("Na", (1, 1, 2), a=4.2, vacuum=4)
    atoms.pbc = (True, True, False)
    return atoms


def test_a_density_follows_its_atoms_as_far_as_they_stay_together(tmp_path):
    atoms = sodium()
    np.savez(tmp_path / "all.npz", positions_A=atoms.positions, cell_A=atoms.cell[:])
    whole = ladder.Fragment(tmp_path / "all.npz", (0, 1))

    def fits(*moved):
        other = atoms.copy()
        other.positions += moved
        return whole.fits(other)

    assert fits((0, 0, 0), (0, 0, 0))
    assert fits((2.1, 0.7, 0.37), (2.1, 0.7, 0.37))
    assert fits((4.2, 0, 0), (0, -4.2, 0))  # came back from the other side of the cell
    assert fits((0, 0, 0.3), (0, 0, 0))  # each 0.15 from the middle of both
    assert not fits((0, 0, 0.5), (0, 0, 0))
    stretched = atoms.copy()
    stretched.set_cell(atoms.cell[:] * 1.01)
    assert not whole.fits(stretched)
    kept = whole.read(atoms)
    assert kept is not None
    assert np.allclose(kept[1], 0)


class TestGpaw:
    def test_energy_and_forces_are_those_of_plain_gpaw(self, tmp_path):
        from gpaw import GPAW

        atoms, lines = sodium(), []
        atoms.calc = ours = LadderGPAW(GpawSettings(**SETTINGS), tmp_path, lines.append)
        energy = atoms.get_potential_energy()
        iterations = ours.iterations
        forces = atoms.get_forces()
        plain = sodium()
        plain.calc = GPAW(
            mode={"name": "pw", "ecut": 200},
            xc="PBE",
            setups={"Na": "1"},
            kpts=(1, 1, 1),
            occupations={"name": "fermi-dirac", "width": 0.1},
            poissonsolver={"dipolelayer": "xy"},
            convergence=ladder.CONVERGENCE,
            txt=None,
        )
        assert energy == pytest.approx(plain.get_potential_energy(), abs=1e-4)
        assert np.allclose(forces, plain.get_forces(), atol=1e-3)
        assert forces[:, 2].sum() == pytest.approx(0, abs=0.02)
        assert ours.tries == []
        assert len(lines) == iterations == ours.iterations > 3  # forces took none
        assert "iter:" in (tmp_path / "gpaw.txt").read_text(encoding="utf-8")

    @pytest.mark.parametrize("shift_A", [(0.0, 0.0, 0.0), (2.1, 0.7, 0.37)])
    def test_starts_from_the_densities_of_its_parts(self, tmp_path, shift_A):
        """The film's density is moved with its atoms; the energy is that of a cold start."""
        whole = sodium()
        whole.positions[1, 2] += 0.6
        for name, index in (("film", 1), ("substrate", 0)):
            part = whole[[index]]
            part.positions += shift_A if name == "film" else (0, 0, 0)
            part.calc = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
            part.get_potential_energy()
            part.calc.keep_density(tmp_path / f"{name}.npz")
        found = {}
        for start in ("atoms", "parts"):
            atoms = whole.copy()
            atoms.calc = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
            if start == "parts":
                atoms.calc.fragments = (
                    ladder.Fragment(tmp_path / "film.npz", (1,)),
                    ladder.Fragment(tmp_path / "substrate.npz", (0,)),
                )
            found[start] = atoms.get_potential_energy()
        assert found["parts"] == pytest.approx(found["atoms"], abs=1e-5)

    def test_a_moved_density_is_the_converged_one(self, tmp_path):
        atoms = sodium()
        atoms.calc = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
        energy = atoms.get_potential_energy()
        atoms.calc.keep_density(tmp_path / "all.npz")
        moved = sodium()
        moved.positions += (2.1, 0.7, 0.37)
        gpaw = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)._new("plain")
        assert ladder.start_from_fragments(
            gpaw, moved, (ladder.Fragment(tmp_path / "all.npz", (0, 1)),)
        )
        start = gpaw.dft.density.nt_sR.data.copy()
        moved.calc = gpaw
        assert moved.get_potential_energy() == pytest.approx(energy, abs=5e-3)  # egg box
        change = np.abs(gpaw.dft.density.nt_sR.data - start).sum() / start.sum()
        assert change < 0.01

    def test_parts_that_do_not_fit_are_left_aside(self, tmp_path):
        part = sodium()[[1]]
        part.calc = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
        part.get_potential_energy()
        part.calc.keep_density(tmp_path / "film.npz")
        film = ladder.Fragment(tmp_path / "film.npz", (1,))
        for other in (
            ladder.Fragment(tmp_path / "missing.npz", (0,)),  # no such file
            ladder.Fragment(tmp_path / "film.npz", (0, 1)),  # an atom twice
        ):
            gpaw = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)._new("plain")
            assert not ladder.start_from_fragments(gpaw, sodium(), (film, other))

    def test_next_scheme_takes_over(self, tmp_path, monkeypatch):
        monkeypatch.setitem(ladder.SCHEMES, "plain", {"maxiter": 2})
        atoms = sodium()
        atoms.calc = calculator = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
        energy = atoms.get_potential_energy()
        assert calculator.scheme == "soft"
        assert calculator.tries == ["plain: not converged in 2"]
        monkeypatch.undo()
        again = sodium()
        again.calc = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
        assert energy == pytest.approx(again.get_potential_energy(), abs=2e-4)
        # The scheme that worked is kept for the geometries that follow.
        atoms.positions[1, 2] += 0.05
        atoms.get_potential_energy()
        assert calculator.tries == ["plain: not converged in 2"]

    def test_an_energy_that_jumps_is_given_up_early(self, tmp_path, monkeypatch):
        told = []
        monkeypatch.setattr(ladder, "JUMP_EV", 1e-7)
        monkeypatch.setattr(ladder, "JUMP_FROM_ITERATION", 4)
        atoms = sodium()
        atoms.calc = calculator = LadderGPAW(GpawSettings(**SETTINGS), tmp_path, told.append)
        with pytest.raises(NotConvergedError, match="plain: the energy jumped by 0 eV at iter"):
            atoms.get_potential_energy()
        assert calculator.iterations == 3 * 4
        assert sum("SCF plain: the energy jumped" in line for line in told) == 1

    def test_all_schemes_failing_is_an_error(self, tmp_path, monkeypatch):
        for scheme in ladder.SCHEMES:
            monkeypatch.setitem(ladder.SCHEMES, scheme, {"maxiter": 1})
        atoms = sodium()
        atoms.calc = calculator = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
        with pytest.raises(NotConvergedError, match="softer: not converged in 1"):
            atoms.get_potential_energy()
        assert len(calculator.tries) == 3
        assert calculator.iterations == 3

    def test_atoms_on_top_of_each_other(self, tmp_path):
        atoms = sodium()
        atoms.positions[1] = atoms.positions[0] + 0.01
        atoms.calc = LadderGPAW(GpawSettings(**SETTINGS), tmp_path)
        with pytest.raises(Exception, match="too close"):
            atoms.get_potential_energy()

    def test_what_is_missing_is_named(self):
        settings = GpawSettings(**SETTINGS).model_dump()
        check_gpaw(settings, {"Na", "Pb", "C", "O", "Si", "P", "Zr"})
        check_gpaw(settings | {"functional": "PBE0"}, {"O"})  # uses PBE datasets
        with pytest.raises(SetupError, match=r"no PAW dataset Na\.7\.PBE"):
            check_gpaw(settings | {"setups": {"Na": "7"}}, {"Na"})
        with pytest.raises(SetupError, match=r"no PAW dataset Pu\.PBE"):
            check_gpaw(settings, {"Pu"})
        with pytest.raises(InputError, match="Unknown functional"):
            check_gpaw(settings | {"functional": "PBEE"}, {"Na"})

    def test_gpaw_that_is_not_installed(self, monkeypatch):
        monkeypatch.setattr(ladder.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(SetupError, match="GPAW is not installed"):
            check_gpaw(GpawSettings(**SETTINGS).model_dump(), {"Na"})


class TestRanks:
    @pytest.mark.parametrize(
        ("cores", "kpoints", "shared", "alone"),
        [(1, 3, 1, 1), (4, 1, 4, 1), (4, 2, 4, 2), (4, 3, 3, 3), (4, 5, 4, 3), (8, 3, 6, 3),
         (8, 8, 8, 8), (16, 5, 15, 5), (2, 3, 2, 2), (5, 6, 4, 3)],
    )  # fmt: skip
    def test_are_matched_to_kpoints(self, cores, kpoints, shared, alone):
        assert matched_ranks(cores, kpoints, shared=True) == shared
        assert matched_ranks(cores, kpoints, shared=False) == alone

    def test_a_gpaw_that_is_not_here_shares_no_kpoint(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "gpaw.utilities", None)
        assert not shares_kpoints()

    @pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no MPI here")
    @pytest.mark.parametrize(("kpoints", "count"), [((1, 1, 1), 1), ((2, 2, 1), 2)])
    def test_two_ranks_have_the_energy_of_one(self, tmp_path, kpoints, count):
        """Also where the second has no k-point: GPAW without ScaLAPACK cannot share one."""
        settings = GpawSettings(**SETTINGS | {"kpoints": kpoints})
        atoms = sodium()
        atoms.positions[1] += (0.1, 0.2, 0.0)
        assert irreducible_kpoints(settings, atoms) == count
        atoms.calc = LadderGPAW(settings, tmp_path)
        write(tmp_path / "atoms.json", atoms.copy())
        (tmp_path / "settings.json").write_text(settings.model_dump_json())
        environment = os.environ | {
            "ADHESION_GPAW_LAUNCHER": "mpiexec -n 2", "OMP_NUM_THREADS": "1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", ASK_RANKS], cwd=tmp_path, env=environment, check=False,
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / "answer.json").read_text())
        assert found["energy_eV"] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert np.allclose(found["forces_eV_A"], atoms.get_forces(), atol=1e-4)
        assert found["iterations"] == atoms.calc.iterations
        assert (tmp_path / "progress.txt").read_text().count("iter:") == found["iterations"]


ASK_RANKS = """
import json
from functools import partial
from pathlib import Path
from ase.io import read
from adhesion.calculators.gpaw import GpawSettings
from adhesion.calculators.launched import LaunchedGPAW
from adhesion.files import append_line

settings = GpawSettings.model_validate_json(Path("settings.json").read_text())
told = partial(append_line, Path("progress.txt").absolute())
atoms = read("atoms.json")
atoms.calc = LaunchedGPAW(settings, Path(), told)
answer = {"energy_eV": atoms.get_potential_energy(), "forces_eV_A": atoms.get_forces().tolist()}
Path("answer.json").write_text(json.dumps(answer | {"iterations": atoms.calc.iterations}))
"""


def test_log_goes_to_the_folder_given(tmp_path):
    atoms = fcc100("Al", (1, 1, 1), vacuum=4)
    assert not list(Path(tmp_path).iterdir())
    log = ladder._Log(tmp_path / "gpaw.txt", None)
    log.write(f"{atoms.get_chemical_formula()} iter: 1\nhalf")
    log.close()
    assert (tmp_path / "gpaw.txt").read_text() == "Al iter: 1\nhalf"
