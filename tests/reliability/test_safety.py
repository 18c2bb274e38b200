"""What a study file may not do: run code, reach a shell, write elsewhere, break a page."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import corpus
import pytest
from tally import SCALE, count

from adhesion import cli
from adhesion.errors import InputError
from adhesion.planning import plan_study
from adhesion.study import load_study

SOURCE = Path(cli.__file__).resolve().parents[1]
FORBIDDEN = {"eval", "exec", "compile", "__import__"}
UNPICKLE = {"pickle", "shelve", "marshal", "dill", "joblib"}
OWN_PICKLES = {"runner.py", "slurm.py", "script.py", "remote.py", "driver.py", "status.py"}
"""Jobs that the driver itself hands to its workers."""


def calls(file: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(file.read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(ast.unparse(node.func), node) for node in found]


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: f.name)
def test_no_code_is_run_that_a_file_brings_along(file):
    for name, node in calls(file):
        assert name not in FORBIDDEN, f"{file}:{node.lineno}"
        assert not name.startswith(("os.system", "os.popen", "yaml.load(", "yaml.unsafe"))
        assert name not in ("yaml.load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader")
        shell = [k for k in node.keywords if k.arg == "shell"]
        assert not shell, f"{file}:{node.lineno} reaches a shell"
        if name.split(".")[0] in UNPICKLE or name == "cloudpickle.load":
            raise AssertionError(f"{file}:{node.lineno} unpickles")
        if name == "cloudpickle.loads":
            assert file.name in OWN_PICKLES, f"{file}:{node.lineno}"


def write(folder: Path, text: str, **files: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    for name, body in files.items():
        (folder / name.replace("_", ".")).write_text(body)
    return path


def test_a_calculator_is_imported_only_when_the_user_allows_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "evil.py").write_text("open('owned', 'w').close()\nclass C: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    study = corpus.changed(("levels", "smoke", "calculator"), {"name": "evil.C"})
    write(tmp_path, study, x_cif=corpus.CIF)
    for command in ("check", "plan", "run", "report", "verify"):
        cli.main([command, "study.yaml", "--level", "smoke"])
        assert not (tmp_path / "owned").exists(), command
    (tmp_path / "machine.yaml").write_text("allow_calculators: [evil.Other]\n")
    line = ["run", "study.yaml", "--level", "smoke", "--machine", "machine.yaml"]
    assert cli.main(line) == 2
    assert not (tmp_path / "owned").exists()
    assert cli.main([*line[:4], "--allow-calculator", "evil.C"]) == 2  # imported, no calculator
    assert (tmp_path / "owned").exists()
    count("calculators by import path that nobody allowed", 6, note="not imported")


def test_a_ready_made_interface_is_not_unpickled(tmp_path):
    """ASE reads a folder as a bundle, whose parts may be pickles."""
    folder = tmp_path / "i.bundle"
    folder.mkdir()
    (folder / "metadata.json").write_text('{"format": "BundleTrajectory", "backend": "pickle"}')
    path = write(
        tmp_path,
        "name: t\ninterfaces: [{film: Ag, substrate: Au, structure: i.bundle, film_atoms: [0]}]\n",
    )
    with pytest.raises(InputError, match="is a folder"):
        plan_study(load_study(path), "smoke")
    count("pickles named by a study", note="not read")


def test_advice_quotes_what_comes_from_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "a b;touch owned;$(touch owned).yaml"
    (tmp_path / name).write_text("name: t\ninterfaces: [{film: Ag, substrate: Au}]\n")
    assert cli.main(["report", name, "--level", "smoke", "--format", "csv"]) == 3
    out = capsys.readouterr().out
    assert f"'{name}'" in out
    advice = out.split("type: ")[1].split(" --level")[0]
    subprocess.run(["sh", "-c", advice.replace("adhesion", "true", 1)], cwd=tmp_path, check=True)
    assert not (tmp_path / "owned").exists()
    count("advice with hostile names pasted into a shell", note="quoted")


@pytest.mark.skipif(SCALE == "test", reason="a process of some seconds")
def test_a_run_writes_only_into_its_store(tmp_path):
    folders = {name: tmp_path / name for name in ("home", "work", "tmp")}
    for folder in folders.values():
        folder.mkdir()
    (folders["work"] / "study.yaml").write_text(
        "name: t\ninterfaces: [{film: Ag, substrate: Au}]\n"
    )
    environment = os.environ | {
        "HOME": str(folders["home"]), "TMPDIR": str(folders["tmp"]), "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folders["home"]), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "adhesion", "run", "study.yaml", "--level", "smoke"],
        cwd=folders["work"], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    outside = {f for f in found if not f.startswith("work/adhesion-store/")} - {"work/study.yaml"}
    outside = {f for f in outside if "matplotlib" not in f and "fontlist" not in f}
    count("run in an empty home", lost=len(outside), note="writes into its store only")
    assert not outside
