"""The same study gives the same hashes and energies, wherever and however it is run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tally import SCALE, count

from adhesion.planning import plan_study
from adhesion.study import Study

INTERFACES = [{"film": "Ag", "substrate": "Au"}, {"film": "Ag", "substrate": "Pd"}]
GPAW = {
    "ecut_eV": 200, "functional": "PBE", "width_eV": 0.2, "scf": "plain", "setups": {},
}  # fmt: skip
SMALL = {
    "calculator": {"name": "gpaw", "settings": GPAW},
    "lattice": {"metal": "given", "layered": "given", "compound": "given"},
    "layers": {"film": 1, "metal": 1, "layered": 1, "compound": 1},
    "vacuum_A": 5, "kpoint_length_A": 6, "relax_slabs": [], "relax_interface": False,
    "n_gaps": 1, "n_registries": 1, "dispersion": False,
}  # fmt: skip
needs_processes = pytest.mark.skipif(SCALE == "test", reason="minutes of processes")
needs_gpaw = pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="needs GPAW")


def run(folder: Path, interfaces, level, changes=None, workers=1, **environment):
    """Energies of a run by hash and place in the document."""
    folder.mkdir(parents=True)
    study = {"name": "t", "interfaces": interfaces, "levels": {level: changes or {}}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    done = subprocess.run(
        [sys.executable, "-m", "adhesion", "run", "study.yaml", "--level", level,
         "--workers", str(workers)],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done
    found = {}
    for path in (folder / "adhesion-store" / "results").glob("*.json"):
        output = json.loads(path.read_text())["output"]
        if "hash" in output:
            found |= {(path.stem, *place): e for place, e in energies(output)}
    return found


def energies(value, place=()):
    """All that ends in energy_eV, with its place."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if key == "energy_eV" and inner is not None:
            yield (*place, key), inner
        elif isinstance(inner, dict | list):
            yield from energies(inner, (*place, key))


def compared(what, one, other, tolerance_eV):
    assert one.keys() == other.keys()
    worst = max(abs(one[k] - other[k]) for k in one)
    count(
        f"{what}: same hashes, energies", len(one), worst > tolerance_eV, f"within {worst:.0e} eV"
    )
    assert worst <= tolerance_eV


@needs_processes
def test_emt_in_other_surroundings(tmp_path):
    first = run(tmp_path / "first", INTERFACES, "smoke")
    other = {
        "again": {},
        "other order of interfaces": {"interfaces": INTERFACES[::-1]},
        "two workers": {"workers": 2},
        "another locale and time zone": {"LC_ALL": "C", "LANG": "tr_TR.UTF-8",
                                         "TZ": "Pacific/Apia", "PYTHONHASHSEED": "7"},
    }  # fmt: skip
    for name, how in other.items():
        folder = tmp_path / "in another folder of a longer name" / name
        again = run(folder, how.pop("interfaces", INTERFACES), "smoke", **how)
        compared(f"EMT, {name}", first, again, 1e-9)


@needs_processes
@needs_gpaw
def test_gpaw_again(tmp_path):
    pair = [{"film": "Al", "substrate": "Al"}]
    first = run(tmp_path / "a", pair, "quick", SMALL)
    compared(
        "GPAW, again", first, run(tmp_path / "b", pair, "quick", SMALL, TZ="Asia/Kolkata"), 1e-5
    )


def test_hashes_know_no_order_of_interfaces():
    both = [
        {p.spec.label: p.hashes for p in plan_study(Study(name=name, interfaces=order), "smoke")}
        for name, order in (("one", INTERFACES), ("two", INTERFACES[::-1]))
    ]
    assert both[0] == both[1]
