from __future__ import annotations

import json

import pytest

from adhesion import controls
from adhesion.cli import main

STUDY = """
name: silver
interfaces:
  - {film: Ag, substrate: Ag}
levels:
  smoke: {layers: {film: 2, metal: 2}, relax_interface: false, relax_slabs: []}
"""


@pytest.fixture(scope="module")
def silver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("silver")
    study = folder / "study.yaml"
    study.write_text(STUDY, encoding="utf-8")
    return [str(study), "--level", "smoke", "--store", str(folder / "store"), "--workers", "1"]


def test_controls_hold_and_are_kept(silver, capsys):
    assert main(["control", *silver]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok  Ag(001) on itself: W of the binding curve against 2 gamma")
    assert all(line.startswith("ok ") for line in lines)
    assert main(["control", *silver, "--json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == len(lines)
    assert "started" not in captured.err


def test_a_control_that_fails_is_an_exit_status(silver, capsys, monkeypatch):
    monkeypatch.setattr(controls, "SELF_PART", 0.0)
    monkeypatch.setattr(controls, "APART_J_m2", 1e-9)
    assert main(["control", *silver]) == 1
    assert "NO  Ag(001) on itself: W of the binding curve" in capsys.readouterr().out


def test_without_an_alloy_there_is_a_hint(silver, capsys):
    assert main(["alloys", *silver]) == 2
    assert "list its crystal under materials" in capsys.readouterr().err
