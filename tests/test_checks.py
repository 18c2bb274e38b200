from __future__ import annotations

import importlib.util

import pytest

from adhesion.checks import (
    environment,
    must_be_computable,
    must_be_writable,
    planned,
    study_lines,
    tensions,
    writable,
)
from adhesion.errors import InputError, NoMatchError, SetupError
from adhesion.study import load_study

STUDY = """\
name: t
interfaces:
  - film: Ag
    substrate: Au
  - film: Ag
    substrate: Na
"""


@pytest.fixture
def study(tmp_path):
    def load(text: str = STUDY):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path)

    return load


def test_the_store_is_tried_by_writing_and_left_as_it_was(tmp_path):
    line = writable(tmp_path / "a" / "b")
    assert line.good
    assert "GB free" in line.what
    assert list(tmp_path.iterdir()) == []
    must_be_writable(tmp_path)


def test_a_file_in_place_of_the_store_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for store in (file, file / "sub"):
        assert not writable(store).good
        with pytest.raises(SetupError, match="cannot be written") as caught:
            must_be_writable(store)
        assert "--store" in caught.value.hint


def test_the_environment_names_what_is_missing_and_how_to_get_it(tmp_path, monkeypatch):
    assert all(line.fix for line in environment(tmp_path) if not line.good)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "gpaw" else find(name, *a)
    )
    (line,) = [line for line in environment(tmp_path) if not line.good]
    assert (line.what, line.needed) == ("GPAW is not installed", False)
    assert "make install" in line.fix


def test_gpaw_that_cannot_be_imported_is_a_line_not_a_crash(tmp_path, monkeypatch):
    import builtins

    original = builtins.__import__

    def no_gpaw(name, *rest, **more):
        if name == "gpaw":
            raise ImportError("libxc.so.9: cannot open shared object file")
        return original(name, *rest, **more)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: object())
    monkeypatch.setattr(builtins, "__import__", no_gpaw)
    (line,) = [line for line in environment(tmp_path) if not line.good]
    assert "libxc" in line.what


def test_a_study_is_checked_interface_by_interface(study, tmp_path):
    study()
    good, bad = study_lines(tmp_path / "study.yaml", "smoke", set())
    assert (good.good, good.what) == (True, "Ag(001)/Au(001): 6 atoms, Ag, Au")
    assert not bad.good
    assert "EMT has no parameters for Na" in bad.what
    assert "proxy" in bad.fix


def test_plans_are_those_of_the_planner_in_the_order_asked(study):
    loaded = study(STUDY.replace("Na", "Pd"))
    plans = planned(loaded, "smoke")
    assert [p.spec.label for p in plans] == ["Ag(001)/Au(001)", "Ag(001)/Pd(001)"]
    (one,) = planned(loaded, "smoke", ["Ag/Pd"])
    assert one.hashes == plans[1].hashes
    must_be_computable(loaded, plans, set())


def test_an_unknown_material_is_told_by_its_line(study):
    with pytest.raises(InputError, match="did you mean 'Au'") as caught:
        planned(study(STUDY.replace("Au", "Auu")), "smoke")
    assert caught.value.where.endswith("study.yaml, line 4, interfaces.0.substrate")


def test_the_kind_of_an_error_survives(study):
    text = STUDY + "levels:\n  smoke: {max_area_A2: 3}\n"
    with pytest.raises(NoMatchError, match=r"line 3, interfaces.0: Ag.*levels.smoke") as caught:
        planned(study(text), "smoke")
    assert caught.value.hint.startswith("set max_area_A2: 8.4")


def test_what_the_hint_says_is_enough(study):
    """The near miss of an interface without a cell becomes its cell."""
    with pytest.raises(NoMatchError) as caught:
        planned(study(STUDY + "levels: {smoke: {max_area_A2: 3}}\n"), "smoke", ["Ag/Au"])
    area = caught.value.hint.split()[2]
    (plan,) = planned(
        study(STUDY + f"levels: {{smoke: {{max_area_A2: {area}}}}}\n"), "smoke", ["Ag/Au"]
    )
    assert plan.summary["area_A2"] == pytest.approx(4.08**2 / 2, rel=0.01)


def test_a_calculator_by_import_path_needs_leave(study):
    loaded = study(
        STUDY + "levels:\n  smoke:\n    calculator:\n      name: ase.calculators.emt.EMT\n"
    )
    plans = planned(loaded, "smoke", ["Ag/Au"])
    with pytest.raises(InputError, match="--allow-calculator") as caught:
        must_be_computable(loaded, plans, {"os.system"})
    assert "line 9, levels.smoke.calculator" in caught.value.where
    must_be_computable(loaded, plans, {"ase.calculators.emt.EMT"})


def test_tensions_are_made_before_anything_is_computed(study):
    good = STUDY + "surface_tensions: [{sigma_J_m2: 0.9, source: a}, {name: paper}]\n"
    assert [t.sigma_J_m2 for t in tensions(study(good))] == [0.9, 0.2523]
    with pytest.raises(InputError, match=r"line 7, surface_tensions.1: .*not at 120 K"):
        tensions(study(good.replace("name: paper", "name: liquid Na, temperature_K: 120")))
