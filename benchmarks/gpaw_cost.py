"""CPU time of a binding curve at five gaps: this project beside a plain ASE script.

Na(001)/Pb(001) at the level quick, slabs as cut from the archive's lattices. The plain script
takes the same slabs, gaps and settings and starts every SCF from atoms; it is timed in the two
ways in which such scripts are written: three energies at every gap, or the two slabs once.
Prints CPU seconds, SCF iterations, W and the ratios, and how much of the wall time of
`adhesion run` GPAW did not have. Takes about 12 minutes on one core. ``--store`` prints the latter
alone, of the curves and relaxations that another run left in its store.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from adhesion.calculators.gpaw import GpawSettings, LadderGPAW
from adhesion.convergence import W_lowest_J_m2
from adhesion.energetics import work_of_adhesion
from adhesion.interfaces import stack
from adhesion.planning import plan_study
from adhesion.schemas import CurveDocument
from adhesion.store import Results, open_store
from adhesion.study import load_study

STUDY = """
name: cost
interfaces: [{film: Na, substrate: Pb}]
levels: {quick: {n_gaps: 5}}
"""


def ours(folder: Path) -> tuple[CurveDocument, float]:
    """Compute the curve by `adhesion run`, the lattices being archived; also its wall time, s."""
    study = folder / "study.yaml"
    study.write_text(STUDY, encoding="utf-8")
    start = time.monotonic()
    command = [sys.executable, "-m", "adhesion", "run", str(study), "--level", "quick"]
    subprocess.run([*command, "--store", str(folder), "--workers", "1"], check=True)
    wall = time.monotonic() - start
    (plan,) = plan_study(load_study(study), "quick")
    found = Results(open_store(folder)).finished(plan.hashes["curve"])
    assert found is not None
    assert isinstance(found.document, CurveDocument)
    return found.document, wall


def inside_gpaw(log: Path) -> float:
    """Sum the seconds that GPAW itself says it took, in a log of finished SCFs."""
    text = log.read_text(encoding="utf-8")
    started, ended = (len(re.findall(p, text, re.M)) for p in (r"^Date: ", r"^  SCF: "))
    if started != ended:
        raise ValueError(f"{started} calculations began, {ended} say how long they took: {log}")
    parts = re.findall(r"^(?:  Init|  SCF|Force computation time): +([0-9.]+)", text, re.M)
    return sum(map(float, parts))


def told(name: str, wall: float, inside: float) -> str:
    """Say what of a wall time GPAW did not have."""
    outside = wall - inside
    return f"{name}: wall {wall:.0f} s, outside GPAW {outside:.1f} s, {100 * outside / wall:.1f} %"


def overheads(store: Path) -> None:
    """Print what of the wall time of a store's calculations GPAW did not have."""
    results = Results(open_store(store))
    for folder in sorted((store / "calculations").glob("*")):
        found = results.finished(folder.name)
        logs = sorted(folder.rglob("gpaw.txt"))
        if found is not None and logs:
            document = found.document
            try:
                print(told(document.label, document.wall_seconds, sum(map(inside_gpaw, logs))))
            except ValueError as error:  # killed once
                print(f"{document.label}: {error}")


class Plain:
    """The plain script: every energy from atoms."""

    def __init__(self, curve: CurveDocument, folder: Path) -> None:
        self.curve, self.folder = curve, folder
        settings = {k: v for k, v in curve.recipe.calculator.items() if k != "name"}
        self.settings = GpawSettings.model_validate(settings)
        self.seconds: dict[str, float] = {}
        self.iterations: dict[str, int] = {}

    def energy(self, name: str, atoms: Any) -> float:
        atoms = atoms.copy()
        # GPAW itself, with the keywords of the level; nothing of the project's own start.
        atoms.calc = LadderGPAW(self.settings, self.folder)._new("plain")
        start = time.process_time()
        found = float(atoms.get_potential_energy())
        self.seconds[name] = time.process_time() - start
        self.iterations[name] = atoms.calc.get_number_of_iterations()
        return found

    def work(self) -> float:
        """W at the lowest of the project's gaps, each gap with its three energies."""
        assert self.curve.geometry is not None
        assert self.curve.area_A2 is not None
        lowest = self.curve.geometry.to_ase()
        film = self.curve.film_indices
        rest = [i for i in range(len(lowest)) if i not in set(film)]
        low, high = lowest[rest], lowest[film]
        E_film, E_rest = self.energy("film", high), self.energy("substrate", low)
        found = []
        for point in self.curve.points:
            # The curve's registry is in the positions already.
            together = stack(low, high, gap_A=point.gap_A, height_A=float(lowest.cell[2, 2]))
            E = self.energy(f"gap {point.gap_A:.2f}", together.atoms)
            found.append(work_of_adhesion(E_film, E_rest, E, self.curve.area_A2))
        return max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="store of a run that is finished")
    options = parser.parse_args()
    if options.store is not None:
        overheads(options.store)
        return
    with tempfile.TemporaryDirectory() as folder:
        curve, wall = ours(Path(folder))
        logs = Path(folder, "calculations").rglob("gpaw.txt")
        inside = sum(map(inside_gpaw, logs))
        plain = Plain(curve, Path(folder))
        W_plain = plain.work()
    gaps = len(curve.points)
    slabs = plain.seconds["film"] + plain.seconds["substrate"]
    points = sum(plain.seconds.values()) - slabs
    W = W_lowest_J_m2(curve)
    print(
        f"gaps {gaps}, W {W:.5f} and plainly {W_plain:.5f} J/m2: {1000 * (W - W_plain):+.2f} mJ/m2"
    )
    own = [p.energy.scf_iterations for p in curve.points]
    cold = [n for name, n in plain.iterations.items() if name.startswith("gap")]
    print(f"SCF iterations at the gaps {own}, plainly {cold}")
    print(f"{'':34} {'CPU s':>7} {'ratio':>6}")
    print(f"{'this project':34} {curve.cpu_seconds:7.0f}")
    for name, seconds in (
        ("plain, three energies at each gap", gaps * slabs + points),
        ("plain, the two slabs once", slabs + points),
    ):
        print(f"{name:34} {seconds:7.0f} {curve.cpu_seconds / seconds:6.2f}")
    print(told("adhesion run", wall, inside))


if __name__ == "__main__":
    main()
