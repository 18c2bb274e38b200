"""Each example runs at smoke, by the very lines that stand at its top."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from adhesion import cli

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
COMMAND = re.compile(r"^#   adhesion (.+?)(?: +#.*)?$", re.M)
MAY_END_WITH = {0, 3}  # a ladder that does not hold still yet is no fault of the example
STUDIES = sorted(p.name for p in EXAMPLES.glob("*.yaml"))


def commands(name):
    return COMMAND.findall((EXAMPLES / name).read_text(encoding="utf-8"))


def adhesion(line, *more):
    words = [*shlex.split(line), *more]
    if words[0] in ("run", "converge"):
        words += ["--workers", "1"]
    return cli.main(words)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples")
    return tmp_path / "examples"


@pytest.fixture
def row(folder, capsys):
    """The row of an example after all its commands that need no further package."""

    def run(name):
        lines = [line for line in commands(name) if "--level chgnet" not in line]
        assert any(line.startswith("run") for line in lines)
        for line in lines:
            assert adhesion(line) in MAY_END_WITH, f"{line}\n{capsys.readouterr().err}"
        capsys.readouterr()
        adhesion(f"report {name} --level smoke --format json")
        return json.loads(capsys.readouterr().out)[0]

    return run


def test_the_readme_lists_every_example():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in STUDIES if f"`{name}`" not in text] == []


def test_own_crystals_give_a_latex_table(row, folder):
    found = row("own_crystals.yaml")
    assert found["W_curve_J_m2"] < found["W_ad_J_m2"] < found["W_rigid_J_m2"]
    assert not found["proxy"]
    sigma, theta = (found["contact_angles"][0][k] for k in ("sigma_J_m2", "theta_deg"))
    assert sigma == 1.3
    assert 0 < theta < 180
    table = (folder / "table.tex").read_text(encoding="utf-8")
    assert r"\toprule" in table
    assert f"& {found['W_ad_J_m2']:.2f} &" in table


@pytest.mark.parametrize("name", ["metal_on_nzsp.yaml", "own_substrate.yaml", "force_field.yaml"])
def test_with_elements_that_stand_in_it_is_no_number(row, name):
    found = row(name)
    assert found["status"] == "done"
    assert found["proxy"]
    assert found["contact_angles"] == []


def test_the_ladder_gives_an_error_bar(row):
    found = row("convergence.yaml")
    parts = [found[f"error_{p}_J_m2"] for p in ("film_layers", "substrate_layers", "vacuum")]
    assert all(0 <= part < 0.1 for part in parts)
    assert found["W_ad_error_J_m2"] >= max(parts)


@pytest.mark.parametrize("name", STUDIES)
def test_a_plan_of_an_example_needs_no_study_of_the_code(folder, capsys, name):
    """At the level with real elements, which a reader tries next."""
    level = "chgnet" if name == "force_field.yaml" else "quick"
    assert adhesion(f"plan {name} --level {level}") == 0, capsys.readouterr().err
    assert "calculations" in capsys.readouterr().out


@pytest.mark.skipif(
    importlib.util.find_spec("chgnet") is None, reason="the force field CHGNet is not installed"
)
def test_the_force_field_itself(folder, capsys):
    assert adhesion("run force_field.yaml --level chgnet") == 0
    capsys.readouterr()
    adhesion("report force_field.yaml --level chgnet --format json")
    found = json.loads(capsys.readouterr().out)[0]
    assert found["calculator"] == "CHGNet"
    assert 0.2 < found["W_ad_J_m2"] < 0.8
