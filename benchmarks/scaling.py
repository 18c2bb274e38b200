"""CPU time and memory of GPAW against number of atoms and k-points.

``python benchmarks/scaling.py`` runs a few SCF iterations of slabs and interfaces of 10 to 126
atoms, each in a process of its own, and fits seconds per iteration and peak memory to the size
that `adhesion.calculators.size` computes for them. The constants of the estimates printed by
`adhesion plan` come from here. About 15 minutes on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from scipy.optimize import nnls

from adhesion.calculators.gpaw import GpawSettings, LadderGPAW
from adhesion.calculators.size import size_of
from adhesion.interfaces import Interface, contact_gap, stack
from adhesion.planning import Plan, plan_study
from adhesion.study import data_path, load_study

ITERATIONS = 4  # the first has the start in it and is not counted

# Interface, what of it, times along the first vector, k-points.
CASES: dict[str, tuple[str, str, int, tuple[int, int, int]]] = {
    "Na film": ("Na/NZSP", "film", 1, (1, 1, 1)),
    "Na film, 4 k-points": ("Na/NZSP", "film", 1, (4, 2, 1)),
    "Pb slab": ("Na/Pb", "substrate", 1, (2, 2, 1)),
    "Na/Pb": ("Na/Pb", "interface", 1, (2, 2, 1)),
    "Na/Pb, 3 x 3": ("Na/Pb", "interface", 1, (3, 3, 1)),
    "Na/Pb, 4 x 4": ("Na/Pb", "interface", 1, (4, 4, 1)),
    "Na/Pb, twice as large": ("Na/Pb", "interface", 2, (1, 2, 1)),
    "Na/C": ("Na/C", "interface", 1, (4, 2, 1)),
    "Na/C, twice as large": ("Na/C", "interface", 2, (2, 2, 1)),
    "NZSP slab": ("Na/NZSP", "substrate", 1, (1, 1, 1)),
    "NZSP slab, 2 x 2": ("Na/NZSP", "substrate", 1, (2, 2, 1)),
    "Na2CO3 slab": ("Na/Na2CO3", "substrate", 1, (1, 1, 1)),
    "Na/NZSP": ("Na/NZSP", "interface", 1, (1, 1, 1)),
    "Na/Na2CO3": ("Na/Na2CO3", "interface", 1, (1, 1, 1)),
    "Na/Na2CO3, twice as large": ("Na/Na2CO3", "interface", 2, (1, 1, 1)),
}


class EnoughError(Exception):
    """All iterations that are timed were done."""


def interface_of(plan: Plan) -> Interface:
    """Build the unrelaxed interface, a little beyond the gap where atoms touch."""
    low, high = plan.pairings[0].slabs
    gap_A = contact_gap(low, high, (0.0, 0.0)) + 0.3
    extent_A = float(np.ptp(low.positions[:, 2]) + np.ptp(high.positions[:, 2]))
    return stack(low, high, gap_A=gap_A, height_A=extent_A + gap_A + plan.level.vacuum_A)


def atoms_of(plan: Plan, part: str, times: int) -> Atoms:
    """Build one side or both in the cell of the interface, so many times side by side."""
    both = interface_of(plan)
    parts = {"film": both.film_atoms, "substrate": both.substrate_atoms}
    return (parts[part]() if part in parts else both.atoms) * (times, 1, 1)


def measure(name: str) -> dict[str, Any]:
    """Run a few iterations of one case in this process."""
    interface, part, times, kpoints = CASES[name]
    study = load_study(data_path("configs", "studies", "na_anode.yaml"))
    (plan,) = plan_study(study, "quick", [interface])
    atoms = atoms_of(plan, part, times)
    settings = GpawSettings.model_validate(
        {k: v for k, v in plan.settings.items() if k != "name"} | {"kpoints": kpoints}
    )
    marks: list[float] = []

    def mark(_: Any) -> None:
        marks.append(time.process_time())
        if len(marks) == ITERATIONS:
            raise EnoughError

    with tempfile.TemporaryDirectory() as folder:
        calculator = LadderGPAW(settings, Path(folder))
        calculator.atoms = atoms
        gpaw = calculator._new(settings.scf)
        gpaw.hooks["scf_step"] = mark
        start = time.process_time()
        copy = atoms.copy()
        copy.calc = gpaw
        with contextlib.suppress(EnoughError):
            copy.get_potential_energy()
    size = size_of(settings.model_dump(), atoms)
    iteration = (marks[-1] - marks[0]) / (len(marks) - 1)
    return {
        "atoms": len(atoms),
        "kpoints": size.kpoints,
        "electrons": size.electrons,
        "bands": size.bands,
        "waves": size.waves,
        "grid": size.grid,
        "scf": settings.scf,
        "seconds_per_iteration": iteration,
        "seconds_start": marks[0] - start - iteration,
        "memory_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "transforms": size.transforms,
        "products": size.products,
        "arrays_GB": size.arrays_GB,
    }


def fit(found: list[dict[str, Any]]) -> None:
    """Print exponents, and the constants of `adhesion.estimates` and of the memory check."""
    for scf in sorted({f["scf"] for f in found}):
        own = [f for f in found if f["scf"] == scf]
        terms = np.array([[f["grid"], f["transforms"], f["products"]] for f in own])
        seconds = np.array([f["seconds_per_iteration"] for f in own])
        constants, _ = nnls(terms / seconds[:, None], np.ones(len(own)))
        off = _worst(terms @ constants, seconds)
        print(
            f"{scf}: {', '.join(f'{c:.2g}' for c in constants)} s, a factor {off:.2f} off at most"
        )
    one = [f for f in found if f["kpoints"] == 1 and f["atoms"] > 20]
    logs = np.log([[f["atoms"], f["seconds_per_iteration"], f["memory_GB"]] for f in one])
    for column, name in ((1, "seconds per iteration"), (2, "memory")):
        exponent = np.polyfit(logs[:, 0], logs[:, column], 1)[0]
        print(f"{name} ~ atoms^{exponent:.2f} at one k-point, from {len(one)} cases")
    terms = np.array([[1.0, f["arrays_GB"], f["grid"] / 1e6] for f in found])
    memory = np.array([f["memory_GB"] for f in found])
    constants, _ = nnls(terms / memory[:, None], np.ones(len(found)))
    off = _worst(terms @ constants, memory)
    base, arrays, grid = constants
    print(f"memory: {base:.2f} GB + {arrays:.2f} x arrays + {grid:.2f} GB for 10^6 grid points, "
          f"a factor {off:.2f} off at most")  # fmt: skip


def _worst(estimate: Any, measured: Any) -> float:
    return float(np.max(np.maximum(estimate / measured, measured / estimate)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, help="this one only, as JSON")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case)))
        return
    found = []
    print(f"{'':28}{'atoms':>6}{'k':>4}{'s/iter':>8}{'start s':>8}{'GB':>6}{'arrays':>8}")
    for name in options.only:
        words = [sys.executable, __file__, "--case", name]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        one = json.loads(done.stdout.splitlines()[-1])
        found.append(one)
        print(
            f"{name:28}{one['atoms']:6}{one['kpoints']:4}{one['seconds_per_iteration']:8.2f}"
            f"{one['seconds_start']:8.1f}{one['memory_GB']:6.2f}"
            f"{one['arrays_GB']:8.2f}",
            flush=True,
        )
    fit(found)


if __name__ == "__main__":
    main()
