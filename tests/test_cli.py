from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from adhesion import cli
from adhesion.study import data_path

STUDY = """\
name: t
interfaces:
  - film: Ag
    substrate: Au
"""
HOPELESS = """\
levels:
  smoke:
    layers: {film: 2, metal: 2}
    fmax_eV_A: 1.0e-9
    max_steps: 1
"""
CIF = """\
data_x
_cell_length_a 4.2
_cell_length_b 4.2
_cell_length_c 4.2
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""
ROCK_SALT = CIF + "".join(
    f"{s}{i} {s} {x} {y} {z} 1\n"
    for s, sites in (
        ("Mg", ("0 0 0", "0 .5 .5", ".5 0 .5", ".5 .5 0")),
        ("O", (".5 .5 .5", ".5 0 0", "0 .5 0", "0 0 .5")),
    )
    for i, (x, y, z) in enumerate(site.split() for site in sites)
)
TI = CIF + "Ti1 Ti 0 0 0 1\n"
NA_ANODE = data_path("configs", "studies", "na_anode.yaml")


@pytest.fixture
def adhesion(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, study: str | None = None) -> tuple[int, str, str]:
        if study is not None:
            Path("study.yaml").write_text(study, encoding="utf-8")
        status = cli.main(list(arguments))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def refused(result: tuple[int, str, str], *parts: str) -> None:
    """Exit status 2, nothing on stdout, one sentence and perhaps a hint on stderr."""
    status, out, err = result
    assert status == 2
    assert out == ""
    assert "Traceback" not in err
    said = [line for line in err.splitlines() if not line.startswith("results in ")]
    assert 1 <= len(said) <= 2
    assert said[0].startswith("adhesion: ")
    assert all(line.startswith("  -> ") for line in said[1:])
    for part in parts:
        assert part in err


# A whole study: init, check, plan, run, report


def test_init_check_plan_run_report(adhesion):
    status, out, err = adhesion("init")
    assert (status, out) == (0, "")
    assert "adhesion plan study.yaml --level smoke" in err
    assert adhesion("check", "study.yaml", "--level", "smoke")[0] == 0
    assert adhesion("plan", "study.yaml", "--level", "smoke")[0] == 0

    status, out, err = adhesion("report", "study.yaml", "--level", "smoke")
    assert status == 3
    assert "type: adhesion run study.yaml --level smoke --only Ag/Au" in " ".join(out.split())
    assert not Path("adhesion-store").exists()

    status, out, err = adhesion("run", "study.yaml", "--level", "smoke", "--workers", "1")
    assert status == 0
    assert out.startswith("Work of adhesion W in J/m2")
    assert f"results in {Path('adhesion-store').absolute()}\n" in err
    row = re.search(
        r"^row +Ag\(001\)/Au\(001\): W_curve (\S+), W_ad (\S+), W_rigid (\S+) J/m2$", err, re.M
    )
    assert row is not None
    curve, adhesion_energy, rigid = map(float, row.groups())
    # Relaxing the interface gains energy, pulling it apart frozen costs it.
    assert 0 < curve <= adhesion_energy <= rigid
    assert rigid == pytest.approx(1.3, abs=0.1)

    status, out, _ = adhesion("report", "study.yaml", "--format", "json")
    assert status == 0
    (found,) = json.loads(out)
    assert (found["level"], found["status"]) == ("smoke", "done")
    assert found["W_ad_J_m2"] == pytest.approx(adhesion_energy, abs=5e-4)
    (angle,) = found["contact_angles"]
    cosine = found["W_ad_J_m2"] / angle["sigma_J_m2"] - 1
    assert angle["theta_deg"] == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-6)

    status, _, err = adhesion("run", "study.yaml", "--level", "smoke", "--workers", "1")
    assert status == 0
    assert "started" not in err
    assert err.count("reused") == 6


def test_init_refuses_what_is_there_and_what_is_unknown(adhesion):
    assert adhesion("init", "a.yaml", "--from", "na_anode")[0] == 0
    refused(adhesion("init", "a.yaml"), "a.yaml: is already there")
    refused(adhesion("init", "b.yaml", "--from", "na_anod"), "did you mean 'na_anode'?")
    assert not Path("b.yaml").exists()


def test_only_sodium_on_lead(adhesion):
    arguments = ("report", str(NA_ANODE), "--level", "smoke", "--only", "Na/Pb", "--format", "json")
    status, out, _ = adhesion(*arguments)
    (row,) = json.loads(out)
    assert (status, row["interface"], row["proxy"]) == (3, "Na(001)/Pb(001)", True)


def test_only_one_interface_and_what_does_not_converge(adhesion):
    study = STUDY + "  - {film: Ag, substrate: Pd}\n" + HOPELESS
    arguments = ("study.yaml", "--level", "smoke", "--store", "s")
    only = ("--workers", "1", "--only", "Ag/Pd")
    status, out, err = adhesion("run", *arguments, *only, study=study)
    assert status == 3
    assert "unconverged" in out
    assert "Ag(001)/Pd(001) film slab: unconverged: " in err
    assert "Au" not in out + err

    status, out, _ = adhesion("report", *arguments, "--format", "json")
    assert status == 3
    rows = json.loads(out)
    assert [(r["interface"], r["status"]) for r in rows] == [
        ("Ag(001)/Au(001)", "missing"),
        ("Ag(001)/Pd(001)", "unconverged"),
    ]
    assert "adhesion run study.yaml --level smoke --only Ag/Au --store s" in rows[0]["reason"]
    assert [r["W_ad_J_m2"] for r in rows] == [None, None]

    # A result that cannot be read is a failure to tell, not one to hide.
    for path in Path("s/results").iterdir():
        path.write_text('{"cut')
    status, out, _ = adhesion("report", *arguments)
    assert status == 1
    assert "failed" in out


def test_an_interface_without_a_cell_at_one_level_is_reported_at_another(adhesion):
    study = STUDY + "levels: {smoke: {max_area_A2: 3}}\n"
    refused(adhesion("report", "study.yaml", "--level", "smoke", study=study), "max_area_A2: 8")
    status, out, _ = adhesion("report", "study.yaml", "--format", "json")
    assert status == 3
    assert json.loads(out)[0]["level"] == "quick"  # the cheapest, as nothing was computed


# plan --json and match --json


def test_plan_json_holds_the_cell_and_the_calculations(adhesion):
    status, out, err = adhesion("plan", "study.yaml", "--level", "quick", "--json", study=STUDY)
    assert (status, err) == (0, "")
    (plan,) = json.loads(out)
    assert plan["area_A2"] == pytest.approx(abs(np.linalg.det(plan["cell_A"])), rel=1e-5)
    assert plan["n_atoms"] == 5
    assert plan["terminations"] == {"film": ["Ag"], "substrate": ["Au"]}
    assert len(plan["film_strain_percent"]) == len(plan["substrate_strain_percent"]) == 2
    roles = [c["role"] for c in plan["calculations"]]
    assert roles == ["bulk_film", "bulk_substrate", "film_slab", "substrate_slab", "curve"]
    assert all(re.fullmatch("[0-9a-f]{32}", c["hash"]) for c in plan["calculations"])
    costs = {c["role"]: c["estimated_cpu_seconds"] for c in plan["calculations"]}
    assert costs["film_slab"] == 0.0  # as cut
    assert costs["curve"] > 1


def test_plan_says_in_words_what_json_holds(adhesion):
    _, out, _ = adhesion("plan", "study.yaml", "--level", "quick", study=STUDY)
    assert "5 atoms, 8.3 Å2" in out
    assert "as cut" in out
    assert max(map(len, out.splitlines())) <= 100


def test_match_json_has_no_cell_twice(adhesion):
    arguments = ("match", "Na", "Pb", "--max-area", "200", "--json")
    status, out, _ = adhesion(*arguments)
    rows = json.loads(out)
    assert status == 0
    keys = {"area_A2", "film_multiple", "substrate_multiple", "principal_strains", "twist_deg"}
    assert keys | {"n_atoms"} <= set(rows[0])
    seen = [(r["film_multiple"], r["substrate_multiple"], *r["principal_strains"]) for r in rows]
    assert len(seen) == len(set(seen))
    assert [r["area_A2"] for r in rows] == sorted(r["area_A2"] for r in rows)
    # bcc Na(001) a x a on fcc Pb(001) a/sqrt2 x a/sqrt2: 5 on 8 meshes at +3.2 %.
    na, pb = 4.2906, 4.9505
    assert (rows[0]["film_multiple"], rows[0]["substrate_multiple"]) == (5, 8)
    expected = (8 * pb**2 / 2 / (5 * na**2)) ** 0.5 - 1
    np.testing.assert_allclose(rows[0]["principal_strains"], expected, atol=1e-6)
    _, out, _ = adhesion(*arguments[:-1])
    assert len(out.splitlines()) == len(rows) + 1


QUARTZ = """data_quartz
_symmetry_space_group_name_H-M 'P 32 2 1'
_cell_length_a 4.9134
_cell_length_b 4.9134
_cell_length_c 5.4052
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 Si 0.4699 0 0.66666667
O1 O 0.4141 0.2681 0.7854
"""


def test_cells_of_a_plane_that_every_cut_breaks(adhesion):
    """The cells are there all the same; faces says which bonds every cut goes through."""
    Path("q.cif").write_text(QUARTZ)
    status, out, _ = adhesion("match", "Na", "q.cif", "--max-area", "150", "--json")
    assert status == 0
    assert json.loads(out)[0]["area_A2"] == pytest.approx(4.9134**2 * 3**0.5 / 2 * 5, abs=1e-3)
    status, out, _ = adhesion("faces", "q.cif")
    assert status == 0
    assert out.startswith("Si3 O6; a, b, c 4.913, 4.913, 5.405 Å; angles 90, 90, 120°")
    assert "charges O -2, Si +4; bonds kept: Si-O" in out
    assert "0 of 3 can be used" in out
    odd = QUARTZ.replace(" O 0.4141", " F 0.4141").replace(" Si 0.4699", " Na 0.4699")
    Path("x.cif").write_text(odd)  # NaF2
    assert "no oxidation states known, so dipoles are not judged" in adhesion("faces", "x.cif")[1]
    assert "dipoles" not in adhesion("faces", "Na")[1]


def test_match_takes_cif_files_by_relative_and_absolute_path(adhesion):
    Path("sub").mkdir()
    Path("sub/MgO.cif").write_text(ROCK_SALT)
    (relative, absolute) = (
        adhesion("match", "Ag", path, "--json")
        for path in ("sub/MgO.cif", str(Path("sub/MgO.cif").absolute()))
    )
    assert relative[0] == 0
    assert relative == absolute
    # Ag 4.09 on MgO 4.20: cube on cube, 3 %, one mesh on one.
    first = json.loads(relative[1])[0]
    assert (first["film_multiple"], first["substrate_multiple"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("Na", "Pbb"), ("unknown material 'Pbb'", "'Pb'")),
        (("Na", "no.cif"), ("no.cif", "No such file")),
        (("Na", "Pb", "--film-miller", "0,0,0"), ("--film-miller", "no plane")),
        (("Na", "Pb", "--film-miller", "1,1,99"), ("--film-miller", "no plane")),
        (("Na", "Pb", "--substrate-miller", "001"), ("--substrate-miller 0,0,1",)),
        (("Na", "Pb", "--max-area", "nan"), ("--max-area",)),
        (("Na", "Pb", "--max-area", "1e9"), ("--max-area", "5000")),
        (("Na", "Pb", "--max-area", "much"), ("--max-area",)),
        (("Na", "Pb", "--max-strain", "5"), ("--max-strain", "0.05 is 5 %")),
        (("Na", "Pb", "--substrate-share", "nan"), ("--substrate-share",)),
        (("Na", "Pb", "--max-area", "30"), ("up to 30 Å2", "--max-strain 0.15", "--max-area 98.")),
    ],
)
def test_match_refuses(adhesion, arguments, parts):
    refused(adhesion("match", *arguments), *parts)


def test_the_near_misses_of_match_are_admitted_by_what_is_said(adhesion):
    _, _, err = adhesion("match", "Na", "Pb", "--max-area", "30")
    for options in re.findall(r"((?:--max-\w+ [\d.]+ ?)+)\(", err):
        given = {"--max-area": "30"} | dict(zip(*[iter(options.split())] * 2, strict=True))
        assert adhesion("match", "Na", "Pb", *(x for pair in given.items() for x in pair))[0] == 0


# Bad input: status 2 and one sentence, before anything is computed

SMOKE = ("run", "study.yaml", "--level", "smoke")


@pytest.mark.parametrize(
    ("study", "parts"),
    [
        (STUDY.replace("Au", "Auu"), ("study.yaml, line 4, interfaces.0.substrate", "'Au'")),
        (STUDY.replace("Au", "../Au"), ("line 4, interfaces.0.substrate.material", "is no name")),
        (
            STUDY.replace("Au", "{material: Au, termination: Aux}"),
            ("line 4, interfaces.0.substrate.termination", "did you mean 'Au'?"),
        ),
        (STUDY + "levels: {smoke: {calculator: {name: gpwa}}}\n", ("line 5", "'gpaw'")),
        (
            STUDY + "levels: {smoke: {calculator: {settings: {ecut_eV: 1}}}}\n",
            ("line 5, levels.smoke.calculator.settings", "emt has none"),
        ),
        (
            STUDY + "levels:\n  smoke:\n    calculator: {name: os.system}\n",
            ("line 7, levels.smoke.calculator", "--allow-calculator os.system"),
        ),
        (STUDY.replace("Ag", "Na"), ("levels.smoke.calculator", "EMT has no parameters for Na")),
        (
            STUDY + "levels: {smoke: {max_area_A2: 3}}\n",
            ("line 3, interfaces.0", "up to 3 Å2", "max_area_A2: 8.4", "0.15%"),
        ),
        (
            STUDY + "surface_tensions: [{name: liquid Na, temperature_K: 120}]\n",
            ("line 5, surface_tensions.0", "add 273.15"),
        ),
        (STUDY + "    structure: no.xyz\n    film_atoms: [0]\n", ("line 5", "no.xyz")),
        (STUDY + "    structure: study.yaml\n    film_atoms: [0]\n", ("interfaces.0.structure",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_bad_study_is_refused(adhesion, study, parts):
    refused(adhesion(*SMOKE, study=study), *parts)
    assert not Path("adhesion-store").exists()


@pytest.mark.parametrize(
    ("film_atoms", "words"), [("[0, 7]", "atoms 0 to 3"), ("[]", "film_atoms"), ("[0, 1]", "below")]
)
def test_a_ready_made_interface_with_wrong_atoms_is_refused(adhesion, film_atoms, words):
    xyz = '4\nLattice="3 0 0 0 3 0 0 0 20"\nAu 0 0 0\nAu 0 0 2\nAg 0 0 5\nAg 0 0 7\n'
    Path("i.xyz").write_text(xyz)
    study = STUDY + f"    structure: i.xyz\n    film_atoms: {film_atoms}\n"
    refused(adhesion(*SMOKE, study=study), "study.yaml, line ", words)


@pytest.mark.parametrize(
    ("cif", "words"),
    [
        (None, "No such file"),
        ("", "the file is empty"),
        ("<html><body>404</body></html>\n", "is no CIF"),
        (CIF + "Mg1 Mg 0 0 0 .5\nNi1 Ni 0 0 0 .5\n", "is disordered"),
        (CIF + "Mg1 Mg 0 0 0 1\nO1 O .01 0 0 1\n", "Å apart"),
        (ROCK_SALT + ROCK_SALT.replace("data_x", "data_y"), "holds 2 crystals"),
    ],
    ids=["missing", "empty", "html", "disordered", "overlapping", "two"],
)
def test_a_bad_cif_is_refused_by_its_place_in_the_study(adhesion, cif, words):
    if cif is not None:
        Path("x.cif").write_text(cif)
    study = STUDY.replace("Au", "X") + "materials:\n  X: {cif: x.cif, kind: metal}\n"
    refused(adhesion(*SMOKE, study=study), "study.yaml, line 6, materials.X: x.cif", words)


def test_a_crystal_of_ones_own_without_a_bulk_modulus_says_what_to_do(adhesion):
    Path("x.cif").write_text(TI)
    study = STUDY.replace("Au", "X") + "materials:\n  X: {cif: x.cif, kind: metal}\n"
    result = adhesion(*SMOKE, study=study)
    refused(result, "line 6, materials.X.bulk_modulus_GPa", "strain.share to film")
    # Mended, the next thing is said: EMT has no titanium.
    study = study.replace("metal}", "metal, bulk_modulus_GPa: 110}")
    refused(adhesion(*SMOKE, study=study), "EMT has no parameters for Ti", "proxy")


needs_gpaw = pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="needs GPAW")


@needs_gpaw
def test_a_missing_paw_dataset_is_refused(adhesion):
    study = STUDY + "levels: {quick: {calculator: {settings: {setups: {Ag: '99'}}}}}\n"
    refused(adhesion("run", "study.yaml", study=study), "no PAW dataset Ag.99", "levels.quick")


def test_gpaw_that_is_not_installed_is_refused(adhesion, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "gpaw" else find(name, *a)
    )
    refused(adhesion("run", "study.yaml", study=STUDY), "GPAW is not installed", "make install")
    status, out, _ = adhesion("check")
    assert status == 0
    assert "NO  GPAW is not installed" in out
    status, out, _ = adhesion("check", "study.yaml", "--level", "quick")
    assert status == 2


def test_unknown_settings_of_gpaw_name_the_nearest(adhesion):
    study = STUDY + "levels:\n  quick:\n    calculator:\n      settings: {ecut_ev: 300}\n"
    result = adhesion("plan", "study.yaml", study=study)
    refused(
        result, "line 8, levels.quick.calculator.settings", "unknown key 'ecut_ev'", "'ecut_eV'"
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("run", "no.yaml"), ("no.yaml: no such file", "adhesion init")),
        (("plan", "."), ("is a folder",)),
        (("run", "study.yaml", "--level", "smok"), ("unknown level 'smok'", "'smoke'")),
        (("plan", "study.yaml", "--only", "Ag/Ax"), ("no interface 'Ag/Ax'", "'Ag/Au'")),
        (("report", "study.yaml", "--format", "jsn"), ("--format", "'json'")),
        (("report", "study.yaml", "--level", "quik"), ("'quick'",)),
        (("report", "study.yaml", "--figure", "a.xls"), ("a.xls",)),
        (("report", "study.yaml", "--store", "study.yaml"), ("is a file",)),
        (("run", "study.yaml", "--workers", "0"), ("--workers", "adhesion run --help")),
        (("run", "study.yaml", "--workers", "two"), ("--workers",)),
        (("run", "study.yaml", "--machine", "no.yaml"), ("no.yaml: no such file",)),
        (("run", "study.yaml", "--levl", "smoke"), ("--levl", "--level")),
        (("run",), ("STUDY",)),
        (("rnu", "study.yaml"), ("'rnu'", "run")),
        (("verify", "study.yaml", "--tolerance", "nan"), ("--tolerance",)),
        (("verify", "study.yaml", "--level", "smoke", "--kind", "slap"), ("'slab'",)),
        ((*SMOKE, "--store", "study.yaml"), ("--store", "study.yaml cannot be written")),
        ((*SMOKE, "--store", "study.yaml/sub"), ("--store", "cannot be written")),
        ((*SMOKE, "--store", "/proc/x"), ("--store", "/proc/x cannot be written")),
        ((*SMOKE, "--store", "x" * 300), ("--store", "cannot be written")),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_bad_command_line_is_refused(adhesion, arguments, parts):
    status, out, err = adhesion(*arguments, study=STUDY)
    # The table is printed before the figure is refused.
    refused((status, "" if "--figure" in arguments else out, err), *parts)
    assert [p.name for p in Path().iterdir()] == ["study.yaml"]


def test_a_dotted_calculator_needs_leave(adhesion):
    study = STUDY + "levels: {smoke: {calculator: {name: ase.calculators.emt.EMT}}}\n"
    refused(adhesion(*SMOKE, study=study), "--allow-calculator ase.calculators.emt.EMT")
    allow = ("--allow-calculator", "ase.calculators.emt.EMT")
    status, out, _ = adhesion("check", "study.yaml", "--level", "smoke", *allow)
    assert status == 0
    assert "NO " not in out


# Bugs, interrupts, pipes


def test_a_bug_ends_in_status_1_and_leaves_its_traceback(adhesion, monkeypatch):
    def broken(path):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("adhesion.study.load_study", broken)
    status, out, err = adhesion("plan", "study.yaml", study=STUDY)
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("adhesion: a bug, ZeroDivisionError")
    trace = Path(line.split()[-1])
    assert "oops" in trace.read_text()
    trace.unlink()


def test_an_interrupt_says_that_nothing_is_lost(adhesion, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("adhesion.study.load_study", interrupted)
    status, _, err = adhesion("plan", "study.yaml", study=STUDY)
    assert status == 130
    assert "the same command goes on" in err


def test_no_command_prints_the_help(adhesion):
    status, out, _ = adhesion()
    assert status == 0
    assert all(word in out for word in ("init", "check", "plan", "match", "run", "report"))


# Real processes


def process(*arguments: str, code: str = "", **options) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "adhesion"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, *start, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
        **options,
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from adhesion.cli import main; status = main(['run', '--help']);"
        "heavy = {'numpy', 'scipy', 'ase', 'pymatgen', 'jobflow', 'atomate2', 'pydantic_settings'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    result = process(code=code)
    assert (result.returncode, result.stderr) == (0, "[]\n")
    assert "--level" in result.stdout


def test_a_report_of_the_archive_needs_no_gpaw(tmp_path):
    code = (
        "import sys; sys.modules['gpaw'] = None; from adhesion.cli import main;"
        "sys.exit(main(sys.argv[1:]))"
    )
    study = Path(__file__).resolve().parents[1] / "configs/studies/na_anode.yaml"
    arguments = ("report", str(study), "--only", "Na/Pb", "--level", "quick", "--format", "json")
    more = ("--export", "export", "--figures", "figures")
    result = process(*arguments, *more, code=code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)
    assert (row["status"], row["source"], row["calculator"]) == ("done", "archive", "gpaw")
    assert "as implemented in GPAW" in (tmp_path / "export" / "methods.md").read_text("utf-8")
    assert (tmp_path / "figures" / "curve-na001-pb001.pdf").stat().st_size > 1000


def test_a_bad_study_as_a_process(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY + "levles: {}\n")
    result = process("run", "study.yaml", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "adhesion: study.yaml, line 5, levles: unknown key 'levles'",
        "  -> did you mean 'levels'?",
    ]


def test_a_reader_that_goes_away_is_no_failure(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "adhesion", "plan", "study.yaml"],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_studies_that_come_along_are_valid(adhesion):
    for path in data_path("configs", "studies").glob("*.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["interfaces"]
        assert adhesion("plan", str(path), "--level", "smoke")[0] == 0
