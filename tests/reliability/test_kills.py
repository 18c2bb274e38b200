"""`kill -9` at random moments, of the driver, a worker, or both; then the same line again.

5 kills in `make test`, 40 in `make reliability`, 200 in `make soak`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tally import SCALE, count, scaled

from adhesion import cli

if TYPE_CHECKING:
    from collections.abc import Callable

KILLS = scaled(5, 40, 200)
LONGEST_S = 3600.0
HERE = Path(__file__).resolve().parent
PATHS = os.pathsep.join([str(HERE), str(Path(cli.__file__).resolve().parents[2])])
"""Drivers and workers are of the package that is tested, not of one that is installed."""
STUDY = {
    "name": "killed",
    "interfaces": [{"film": "Ag", "substrate": "Au"}, {"film": "Ag", "substrate": "Pd"}],
    "levels": {
        "smoke": {
            "calculator": {"name": "counted.CountedEMT"},
            "fmax_eV_A": 0.001, "n_registries": 3, "gap_step_A": 0.15, "free_layers_A": 50,
        }
    },
}  # fmt: skip
TOLERANCE_J_M2 = 1e-6
"""A relaxation goes on from its checkpoint with the same steps; positions are kept to 1e-10 Å."""


class Place:
    """A study with a store, and what was ever seen in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.store, self.side = folder, folder / "store", folder / "side"
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
        self.side.touch()
        self.documents: dict[str, bytes] = {}
        self.energies: dict[str, int] = {}

    def line(self, command: str, *more: str) -> list[str]:
        return [sys.executable, "-m", "adhesion", command, "study.yaml", "--level", "smoke",
                "--store", "store", *more]  # fmt: skip

    def start(self) -> Driver:
        workers = "1" if SCALE == "test" else "2"
        line = self.line("run", "--workers", workers, "--allow-calculator", "counted.CountedEMT")
        environment = {
            "OMP_NUM_THREADS": "1", "COUNTED": str(self.side), "PYTHONPATH": PATHS,
            "COUNTED_SECONDS": "0.02",
        }  # fmt: skip
        return Driver(line, self.folder, environment)

    @property
    def computed(self) -> int:
        """Energies computed so far, by all runs."""
        return len(self.side.read_text().split())

    def has_computed(self, number: float) -> bool:
        return self.computed >= number

    @property
    def text(self) -> str:
        return (self.folder / "said").read_text()

    def look(self) -> tuple[int, int]:
        """Documents that vanished or changed, and energies of finished ones computed again."""
        found = {p.stem: p.read_bytes() for p in (self.store / "results").glob("*.json")}
        for data in found.values():
            json.loads(data)  # whole, whenever the run was killed
        lost = sum(found.get(name) != data for name, data in self.documents.items())
        counted = Counter(self.side.read_text().split())
        again = sum(counted[name] - n for name, n in self.energies.items())
        done = [name for name in found if len(name) == 32]
        self.documents = {name: found[name] for name in done}
        self.energies = {name: counted[name] for name in done}
        return lost, again

    def rows(self) -> list[dict]:
        line = [*self.line("report", "--format", "json", "--output", "rows.json")]
        assert Driver(line, self.folder, {}).wait(300) == 0, self.text
        rows = json.loads((self.folder / "rows.json").read_text())
        return rows["rows"] if isinstance(rows, dict) else rows


class Driver:
    """`adhesion` as a process of its own; in `make test` a fork of this one, started at once."""

    def __init__(self, line: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.code: int | None = None
        self.pid = os.fork() if SCALE == "test" else self._started(line, folder, environment)
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update(environment)
            log = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            code = 99
            try:
                code = cli.main(line[3:])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    def _started(self, line: list[str], folder: Path, environment: dict[str, str]) -> int:
        with (folder / "said").open("w") as log:
            self.process = subprocess.Popen(
                line, cwd=folder, stdout=log, stderr=log, env=os.environ | environment
            )
        return self.process.pid

    def poll(self) -> int | None:
        """Exit status, -9 if it was killed; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> int | None:
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end and not until():
            time.sleep(0.01)
        return self.code


def children(pid: int) -> list[int]:
    """Worker processes of a driver (Linux)."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return [p for p in found if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]


def kill(driver: Driver, victim: str) -> bool:
    """Kill the driver, a worker or both; whether there was such a one."""
    workers = []
    try:
        workers = children(driver.pid)
    except OSError:
        return False
    if victim != "driver" and not workers:
        return False
    for pid in {"driver": [], "worker": workers[:1], "both": workers}[victim]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
    if victim != "worker":
        os.kill(driver.pid, signal.SIGKILL)
    return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("undisturbed") / "run")
    assert place.start().wait(LONGEST_S) == 0, place.text
    place.look()
    return place


def test_killed_again_and_again(undisturbed, tmp_path):
    chance = random.Random(int(os.environ.get("SEED", "1")))
    wanted, places, kills, worst = undisturbed.rows(), 0, 0, 0.0
    while kills < KILLS:
        places += 1
        place = Place(tmp_path / str(places))
        finished = False
        while not finished:
            driver = place.start()
            victim = chance.choice(["driver", "worker", "both"])
            if kills < KILLS:
                # By what was computed, not by the clock: the machine may be busy meanwhile.
                left = max(1, undisturbed.computed - place.computed)
                moment = place.computed + chance.uniform(0, 0.9) * left
                driver.wait(LONGEST_S, partial(place.has_computed, moment))
                time.sleep(chance.uniform(0, 0.05))
                if driver.poll() is None and kill(driver, victim):
                    kills += 1
                    count(f"kill -9 of {victim}", note="while a study runs")
            code = driver.wait(LONGEST_S)
            finished = code == 0
            assert code in (0, 1, -9), place.text
            assert "a bug" not in place.text, place.text
            lost, again = place.look()
            count("documents found whole and as they were after a kill", len(place.documents), lost)
            count("energies of finished calculations, not computed again",
                  sum(place.energies.values()), again)  # fmt: skip
            assert not lost
            assert not again
        rows = place.rows()
        worst = max(worst, compare(place, undisturbed, rows, wanted))
    note = f"largest difference of W {1000 * worst:.3f} mJ/m2"
    count("rows after kills equal to those of an undisturbed run", len(wanted) * places, note=note)


def compare(place, undisturbed, rows, wanted) -> float:
    """Same documents by name, same rows; the largest difference of W, J/m2."""
    assert set(place.documents) == set(undisturbed.documents)  # none lost, none doubled
    assert [same(row) for row in rows] == [same(row) for row in wanted]
    names = ("W_curve_J_m2", "W_ad_J_m2", "W_rigid_J_m2")
    worst = max(abs(r[n] - w[n]) for r, w in zip(rows, wanted, strict=True) for n in names)
    assert worst < TOLERANCE_J_M2
    return worst


def same(row):
    """What has to be equal to the last digit: all but energies and times of relaxations."""
    names = ("interface", "status", "calculator", "level", "n_atoms", "film_layers", "termination",
             "film_strain_percent", "n_gaps", "n_candidates", "calculations", "flags")  # fmt: skip
    return {name: row[name] for name in names}
