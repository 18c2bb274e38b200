"""`kill -9` of a GPAW run within a curve's SCF and within a relaxation's: one SCF is repeated."""

from __future__ import annotations

import importlib.util
import json
import re
import sys

import pytest
import yaml
from tally import SCALE, count
from test_kills import Driver, kill

STUDY = {
    "name": "killed",
    "interfaces": [{"film": "Na", "substrate": "Na"}],
    "levels": {
        "quick": {
            "calculator": {
                "name": "gpaw",
                "settings": {"ecut_eV": 250, "width_eV": 0.2, "setups": {"Na": "1"}},
            },
            "lattice": {"metal": "given", "layered": "given", "compound": "given"},
            "layers": {"film": 2, "metal": 2, "layered": 1, "compound": 1},
            "vacuum_A": 12, "kpoint_length_A": 5, "relax_slabs": ["metal"],
            "relax_interface": True, "fmax_eV_A": 0.01, "n_gaps": 5, "dispersion": False,
        }
    },
}  # fmt: skip
MOMENTS = {
    "curve": r"gap .*\n(iter:.*\n)+.*gap .*\n(iter:.*\n){3}",
    "interface": r"step 1: .*\n(iter:.*\n){3}",
}
"""What the progress of a calculation has come to when the run is killed."""
TOLERANCE_J_M2 = 1e-4

pytestmark = [
    pytest.mark.skipif(SCALE == "test", reason="minutes of GPAW"),
    pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="needs GPAW"),
]


class Run:
    """A study with a store in a folder."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))

    def start(self):
        line = [sys.executable, "-m", "adhesion", "run", "study.yaml", "--workers", "1"]
        return Driver(line, self.folder, {"OMP_NUM_THREADS": "1"})

    def row(self):
        line = [sys.executable, "-m", "adhesion", "report", "study.yaml", "--format", "json",
                "--output", "rows.json"]  # fmt: skip
        assert Driver(line, self.folder, {}).wait(300) == 0, (self.folder / "said").read_text()
        (row,) = json.loads((self.folder / "rows.json").read_text())
        return row

    def progress(self, kind):
        """What the calculation of a kind has told so far."""
        for path in (self.folder / "adhesion-store" / "calculations").glob("*/progress.txt"):
            text = path.read_text()
            found = "curve" if "gap" in text or "film: " in text else "interface"
            if found == kind and ("density of" in text) == (kind == "interface"):
                return text
        return ""

    def scfs(self):
        """How many SCFs were begun, in all runs."""
        paths = (self.folder / "adhesion-store" / "calculations").glob("*/progress.txt")
        return sum(len(re.findall(r"^iter: +1\|", p.read_text(), re.M)) for p in paths)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("gpaw") / "undisturbed")
    assert run.start().wait(1800) == 0, (run.folder / "said").read_text()
    return run


def test_one_scf_is_repeated_and_the_numbers_are_the_same(undisturbed, tmp_path):
    run, kills = Run(tmp_path / "killed"), 0
    for kind, moment in MOMENTS.items():
        driver = run.start()
        driver.wait(1800, lambda k=kind, m=moment: bool(re.search(m, run.progress(k))))
        assert driver.poll() is None, (run.folder / "said").read_text()
        assert kill(driver, "both")
        kills += 1
        driver.wait(60)
    assert run.start().wait(1800) == 0, (run.folder / "said").read_text()
    again = run.scfs() - undisturbed.scfs()
    names = ("W_curve_J_m2", "W_ad_J_m2", "W_rigid_J_m2")
    row, wanted = run.row(), undisturbed.row()
    worst = max(abs(row[n] - wanted[n]) for n in names)
    count("kill -9 within an SCF of GPAW, one repeated each time", kills, max(0, again - kills),
          note=f"largest difference of W {1000 * worst:.3f} mJ/m2")  # fmt: skip
    assert again == kills
    assert worst < TOLERANCE_J_M2
