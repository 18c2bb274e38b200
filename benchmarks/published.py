"""W of metal pairs by EMT and GPAW beside published PBE values, with the rank correlation.

``python benchmarks/published.py`` prints the table: EMT is computed on the spot (half a
minute), GPAW read from ``published.json``. ``--gpaw Na Al`` computes those of GPAW again
(minutes each) and writes that file.

A metal on itself has W = 2 gamma, and gamma(001) is published. Of two metals on each
other no PBE value with all its settings was found; what stands beside them is 2 sqrt(gamma_A
gamma_B) of the published values (Girifalco & Good, J. Phys. Chem. 61, 904 (1957), with
their factor of 1), an estimate, and counted apart.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

from scipy.stats import spearmanr

from adhesion.checks import planned
from adhesion.energetics import surface_energy_of_slabs
from adhesion.files import read_json, write_json
from adhesion.flows import StudyMaker, WorkOfAdhesionMaker
from adhesion.report.collect import row_of
from adhesion.runner import run_flow
from adhesion.store import Results, open_store
from adhesion.study import Study
from adhesion.surfaces import own_surface, surface_job

DATA = Path(__file__).with_name("published.json")

TRAN = "Tran et al., Sci. Data 3, 160080 (2016), doi 10.1038/sdata.2016.80"
# PBE, J/m2, (001). Those of Na and Pb are rounded, as they were only recalled.
GAMMA_PBE_J_M2 = {
    "Al": 0.915,
    "Cu": 1.468,
    "Ag": 0.810,
    "Au": 0.861,
    "Ni": 2.208,
    "Pd": 1.526,
    "Pt": 1.842,
    "Na": 0.22,
    "Pb": 0.28,
}
RECALLED = ("Na", "Pb")
OTHER_PAIRS = (("Ag", "Au"), ("Pd", "Pt"), ("Al", "Ag"), ("Cu", "Ni"), ("Cu", "Pd"))

EMT_LEVEL = {
    "layers": {"film": 6, "metal": 6},
    "fmax_eV_A": 0.005,
    "gap_step_A": 0.15,
    "free_layers_A": 50.0,
    "strain": {"max_film": 0.12, "max_substrate": 0.12},
}
GPAW_LEVEL = {"calculator": {"settings": {"ecut_eV": 400}}}
GPAW_THICKNESSES = (6, 7)


def emt_pairs() -> dict[tuple[str, str], float]:
    """W_ad of all pairs that EMT knows, relaxed, J/m2."""
    metals = ["Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt"]
    pairs = [*((m, m) for m in metals), *OTHER_PAIRS]
    interfaces = [{"film": a, "substrate": b} for a, b in pairs]
    study = Study(name="published", interfaces=interfaces, levels={"smoke": EMT_LEVEL})
    plans = planned(study, "smoke")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = Results(open_store(folder))
        run_flow(StudyMaker(level="smoke").calculations(plans), results, folder=folder, workers=2)
        rows = [row_of(plan, results, folder, [], study) for plan in plans]
    return {pair: r.W_ad_J_m2 for pair, r in zip(pairs, rows, strict=True) if r.W_ad_J_m2}


def gpaw_pairs(metals: list[str]) -> None:
    """Compute W = 2 gamma of metals on themselves with GPAW, and keep it with its settings."""
    interfaces = [{"film": m, "substrate": m} for m in metals]
    study = Study(name="published", interfaces=interfaces, levels={"quick": GPAW_LEVEL})
    kept = read_json(DATA) if DATA.exists() else {}
    for metal, plan in zip(metals, planned(study, "quick"), strict=True):
        surface = own_surface(plan, "film", plan.film, thicknesses=GPAW_THICKNESSES)
        made = WorkOfAdhesionMaker(level="quick").jobs(plan)
        job = surface_job(plan, surface, made)
        folder = Path(tempfile.gettempdir()) / "adhesion-published"
        results = Results(open_store(folder))
        run_flow([made["bulk_film"], job], results, folder=folder, workers=1)
        found = results.finished(surface.recipe.hash)
        if found is None:
            print(f"{metal}: not finished, see {folder}", file=sys.stderr)
            continue
        document = found.document
        fit = surface_energy_of_slabs(
            document.atoms, document.energies_eV, document.area_A2, document.bulk_energy_eV
        )
        kept[metal] = {
            "W_J_m2": 2 * fit.gamma_J_m2,
            "layers": list(GPAW_THICKNESSES),
            "energies_eV": document.energies_eV,
            "bulk_energy_eV": document.bulk_energy_eV,
            "area_A2": document.area_A2,
            "calculator": surface.recipe.calculator,
            "versions": document.versions,
            "cpu_seconds": document.cpu_seconds,
        }
        write_json(DATA, kept)


def published(pair: tuple[str, str]) -> float:
    """2 gamma of a metal on itself, 2 sqrt(gamma_A gamma_B) of two, J/m2."""
    a, b = (GAMMA_PBE_J_M2[m] for m in pair)
    return 2 * math.sqrt(a * b)


def summary(name: str, found: dict[tuple[str, str], float]) -> str:
    """Mean absolute deviation and rank correlation with the published values."""
    if len(found) < 3:
        return f"{name}: {len(found)} pairs, too few to rank"
    values = [(W, published(pair)) for pair, W in found.items()]
    off = sum(abs(W - p) for W, p in values) / len(values)
    rank = float(spearmanr(values).statistic)
    return f"{name}: {len(values)} pairs, mean |difference| {off:.2f} J/m2, rank {rank:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpaw", nargs="+", metavar="METAL", help="compute these with GPAW")
    metals = parser.parse_args().gpaw
    if metals:
        gpaw_pairs(metals)
    emt = emt_pairs()
    stored = read_json(DATA) if DATA.exists() else {}
    gpaw = {(m, m): entry["W_J_m2"] for m, entry in stored.items()}
    pairs = [*((m, m) for m in GAMMA_PBE_J_M2), *OTHER_PAIRS]
    print(f"W of (001) on (001), J/m2; published: {TRAN}, PBE, 2 gamma")
    print(f"{'pair':8}{'EMT':>8}{'GPAW':>8}{'PBE':>8}")
    for pair in pairs:
        cells = "".join(
            f"{found[pair]:8.2f}" if pair in found else f"{'-':>8}" for found in (emt, gpaw)
        )
        note = "  recalled" if pair[0] in RECALLED else "" if pair[0] == pair[1] else "  estimate"
        print(f"{'/'.join(pair):8}{cells}{published(pair):8.2f}{note}")
    print("estimate: 2 sqrt(gamma_A gamma_B) of the published gamma, no published W.")
    own = {pair: W for pair, W in emt.items() if pair[0] == pair[1]}
    print(summary("EMT, metals on themselves", own))
    print(
        summary(
            "EMT, two metals, against the estimate", {p: W for p, W in emt.items() if p not in own}
        )
    )
    print(summary("GPAW, metals on themselves", gpaw))


if __name__ == "__main__":
    main()
