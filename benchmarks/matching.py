"""Lattice match: `adhesion.matching` beside pymatgen's ZSLGenerator on the same meshes.

Run: python benchmarks/matching.py [--built]

The second part, alone with --built, is the way to the list of built interfaces, Na(001) on Pb(001)
in six layers each (three conventional cells) up to 400 Å2: pymatgen's CoherentInterfaceBuilder
beside `adhesion.search`.
`different` counts structures by (atoms of each side, principal strains of the film onto the
substrate) once.

Both search up to the same area with a tolerance of 5 %, the film taking the strain. Strains of both
are the principal strains of film onto substrate. Matches are told apart by multiples and strains,
supercells of a smaller match set aside (column `different`). ZSLGenerator limits the film's area
too, so `missed` counts, of the different matches within 5 % that either search found with both
areas under the limit, those that the search has not. ZSLGenerator also pairs left-handed cells with
right-handed ones; that is let pass here, since the square mesh of sodium has mirrors.
"""

from __future__ import annotations

import platform
import sys
import time
from importlib.util import find_spec
from math import gcd

import numpy as np
from pymatgen.analysis.interfaces.coherent_interfaces import CoherentInterfaceBuilder
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from adhesion.matching import find_matches
from adhesion.materials import load_material
from adhesion.search import Limits, build_ranked, faces, find_pairings

TOLERANCE = 0.05
NA = 4.2906 * np.eye(2)
SUBSTRATES = {
    "Pb": 4.9508 / np.sqrt(2) * np.eye(2),
    "graphite": 2.464 * np.array([[1, 0], [-0.5, np.sqrt(3) / 2]]),
    "Na2CO3": np.array([[8.92, 5.245], [8.92, -5.245]]) / 2,
    "NZSP": np.array([[15.8028, 9.1594], [15.8028, -9.1594]]) / 2,
}
CASES = [("Pb", 400), ("graphite", 400), ("Na2CO3", 400), ("NZSP", 400), ("NZSP", 800)]


def best_of(repeats, function):
    """Shortest wall time in seconds, and what the function returned."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def describe(film_cell, substrate_cell, film, substrate):
    """Multiples and stretches of the smallest cell of the same alignment."""
    deformation = np.linalg.solve(film_cell @ film, substrate_cell @ substrate)
    both = np.hstack([film_cell, substrate_cell])
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    index = gcd(*(round(np.linalg.det(both[:, p])) for p in pairs))
    n, m = (round(abs(np.linalg.det(cell))) // index for cell in (film_cell, substrate_cell))
    low, high = np.sort(np.linalg.svd(deformation)[1]).round(6)
    return n, m, float(low), float(high)


def zsl(film, substrate, area):
    """Pymatgen's search; its transformations worked back from the vectors that it emits."""
    generator = ZSLGenerator(
        max_area=area,
        max_area_ratio_tol=(1 + TOLERANCE) ** 2 - 1,
        max_length_tol=TOLERANCE,
        max_angle_tol=TOLERANCE,
    )
    flat = [np.hstack([mesh, np.zeros((2, 1))]) for mesh in (film, substrate)]
    seconds, found = best_of(2, lambda: list(generator(*flat)))
    cells = [
        tuple(
            np.rint(np.array(vectors)[:, :2] @ np.linalg.inv(mesh)).astype(int)
            for vectors, mesh in (
                (match.film_sl_vectors, film),
                (match.substrate_sl_vectors, substrate),
            )
        )
        for match in found
    ]
    return seconds, cells


def ours(film, substrate, area):
    """Our search with its transformations; the shortest of five calls, as ZSL's of two."""
    limits = {"max_area_A2": area, "max_film_strain": TOLERANCE}
    seconds, found = best_of(5, lambda: find_matches(film, substrate, **limits))
    cells = [(np.array(m.film_transformation), np.array(m.substrate_transformation)) for m in found]
    return seconds, cells


def over(key):
    return max(abs(key[2] - 1), abs(key[3] - 1)) > TOLERANCE + 1e-6


def built_by_pymatgen(film, substrate, area):
    """All interfaces of CoherentInterfaceBuilder, as its get_interfaces makes them."""
    start = time.perf_counter()
    builder = CoherentInterfaceBuilder(
        substrate_structure=substrate.structure,
        film_structure=film.structure,
        film_miller=(0, 0, 1),
        substrate_miller=(0, 0, 1),
        zslgen=ZSLGenerator(
            max_area=area,
            max_area_ratio_tol=(1 + TOLERANCE) ** 2 - 1,
            max_length_tol=TOLERANCE,
            max_angle_tol=TOLERANCE,
        ),
    )
    found = [
        interface
        for termination in builder.terminations
        for interface in builder.get_interfaces(
            termination, gap=2.8, film_thickness=3, substrate_thickness=3
        )
    ]
    seconds = time.perf_counter() - start
    kinds = set()
    for interface in found:
        cells = [
            np.array(interface.interface_properties[f"{side}_sl_vectors"])[:, :2]
            for side in ("film", "substrate")
        ]
        stretches = np.sort(np.linalg.svd(np.linalg.solve(*cells))[1]).round(5)
        sides = tuple(len(getattr(interface, f"{side}_indices")) for side in ("film", "substrate"))
        kinds.add((*sides, *map(float, stretches)))
    over_strain = sum(max(abs(k[2] - 1), abs(k[3] - 1)) > TOLERANCE + 1e-5 for k in kinds)
    return seconds, len(found), len(kinds), over_strain


def built_here(film, substrate, area):
    """All distinct interfaces of `adhesion.search`, ranked, from the crystals on."""
    start = time.perf_counter()
    sides = [faces(crystal, (0, 0, 1), 6) for crystal in (film, substrate)]
    found = find_pairings(*sides, Limits(max_area_A2=area, max_film_strain=TOLERANCE))
    built = build_ranked(found)
    seconds = time.perf_counter() - start
    kinds = {
        (len(i.film), len(i.atoms) - len(i.film), *(round(s, 5) for s in p.match.stretches))
        for i, p in zip(built, found, strict=True)
    }
    return seconds, len(built), len(kinds), sum(p.match.strain > TOLERANCE + 1e-5 for p in found)


def print_built(area=400):
    film, substrate = load_material("Na"), load_material("Pb")
    here = built_here(film, substrate, area)
    theirs = built_by_pymatgen(film, substrate, area)
    print(f"\nbuilt interfaces, Na(001) on Pb(001), {area} Å2, 6 + 6 layers")
    print(f"{'':<26}{'time s':>8}{'built':>8}{'different':>11}{'over 5 %':>10}{'faster':>9}")
    for name, (seconds, n, kinds, over_strain) in (
        ("CoherentInterfaceBuilder", theirs),
        ("adhesion", here),
    ):
        faster = f"{theirs[0] / seconds:.0f} x" if name == "adhesion" else ""
        print(f"{name:<26}{seconds:>8.2f}{n:>8}{kinds:>11}{over_strain:>10}{faster:>9}")


def print_searches():
    """Print the table of the searches."""
    numba = "with" if find_spec("numba") else "without"
    print(f"{platform.machine()}, one thread, shortest of repeats, ZSLGenerator {numba} numba")
    print(
        f"{'Na on':<10}{'Å2':>5} {'search':<9}{'time ms':>9}{'emitted':>9}"
        f"{'over 5 %':>9}{'different':>10}{'missed':>8}{'faster':>8}"
    )
    for name, area in CASES:
        substrate = SUBSTRATES[name]
        results = {"ZSL": zsl(NA, substrate, area), "adhesion": ours(NA, substrate, area)}
        keys = {
            search: [describe(*pair, NA, substrate) for pair in cells]
            for search, (_, cells) in results.items()
        }
        within = {s: {k for k in found if not over(k)} for s, found in keys.items()}
        n_max, m_max = (area / abs(np.linalg.det(mesh)) for mesh in (NA, substrate))
        everything = {k for k in set().union(*within.values()) if k[0] <= n_max and k[1] <= m_max}
        for search, (seconds, _) in results.items():
            found = keys[search]
            faster = results["ZSL"][0] / seconds
            print(
                f"{name:<10}{area:>5} {search:<9}{1e3 * seconds:>9.1f}{len(found):>9}"
                f"{sum(map(over, found)):>9}"
                f"{len(within[search]):>10}{len(everything - within[search]):>8}"
                f"{f'{faster:.0f} x' if search == 'adhesion' else '':>8}"
            )


if __name__ == "__main__":
    if "--built" not in sys.argv[1:]:
        print_searches()
    print_built()
