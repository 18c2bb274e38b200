"""CPU time of a binding curve at five gaps: this project beside a plain ASE script.

Na(001)/Pb(001) at the level quick, slabs as cut from the archive's lattices. The plain script
takes the same slabs, gaps and settings and starts every SCF from atoms; it is timed in the two
ways in which such scripts are written: three energies at every gap, or the two slabs once.
Prints CPU seconds, SCF iterations, W and the ratios. Takes about 25 minutes on one core.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from adhesion.calculators.gpaw import GpawSettings, LadderGPAW
from adhesion.convergence import W_lowest_J_m2, without_interface
from adhesion.energetics import work_of_adhesion
from adhesion.flows import StudyMaker
from adhesion.interfaces import stack
from adhesion.planning import plan_study
from adhesion.runner import run_flow
from adhesion.schemas import CurveDocument
from adhesion.store import Results, open_store
from adhesion.study import data_path, load_study

GAPS = 5


def ours(folder: Path) -> CurveDocument:
    """Compute the curve as `adhesion run` does, the lattices being archived."""
    study = load_study(data_path("configs", "studies", "na_anode.yaml"))
    study.levels = {"quick": {"n_gaps": GAPS}}
    (plan,) = plan_study(study, "quick", ["Na/Pb"])
    results = Results(open_store(folder), data_path("results"))
    run_flow(StudyMaker(level="quick").calculations([without_interface(plan)]), results,
             folder=folder, workers=1)  # fmt: skip
    document = results.finished(plan.hashes["curve"])
    assert document is not None
    assert isinstance(document.document, CurveDocument)
    return document.document


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
    with tempfile.TemporaryDirectory() as folder:
        curve = ours(Path(folder))
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


if __name__ == "__main__":
    main()
