"""Lattice match: `adhesion.matching` beside pymatgen's ZSLGenerator on the same meshes.

Run: python benchmarks/matching.py

Both search up to the same area with a tolerance of 5 %, the film taking the strain. Strains of both
are the principal strains of film onto substrate. Matches are told apart by multiples and strains,
supercells of a smaller match set aside (column `different`). ZSLGenerator limits the film's area
too, so `missed` counts, of the different matches within 5 % that either search found with both
areas under the limit, those that the search has not. ZSLGenerator also pairs left-handed cells with
right-handed ones; that is let pass here, since the square mesh of sodium has mirrors.
"""

from __future__ import annotations

import platform
import time
from importlib.util import find_spec
from math import gcd

import numpy as np
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from adhesion.matching import find_matches

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


def main():
    """Print the table."""
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
    main()
