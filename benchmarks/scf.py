"""SCF iterations and success of each scheme and start, over slabs and metal-on-oxide interfaces.

``python benchmarks/scf.py`` runs every case from atoms with each scheme of the ladder in
`adhesion.calculators.gpaw`, and interfaces also from the sum of their slabs' densities, as a
binding curve does. Unrelaxed slabs at the gap where atoms touch plus 0.3 Å, settings of the
level quick. An energy is right if it is that of the other schemes to 1 meV. About an hour on
one core; ``--only`` takes some of the cases, ``--schemes`` some of the schemes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from ase import Atoms
from scaling import interface_of

from adhesion.calculators.gpaw import SCHEMES, Fragment, GpawSettings, LadderGPAW
from adhesion.errors import NotConvergedError
from adhesion.planning import plan_study
from adhesion.study import data_path, load_study

CASES = {
    "Na film": ("Na/NZSP", "film"),
    "NZSP slab": ("Na/NZSP", "substrate"),
    "Na2CO3 slab": ("Na/Na2CO3", "substrate"),
    "Na/Pb": ("Na/Pb", "interface"),
    "Na/C": ("Na/C", "interface"),
    "Na/NZSP": ("Na/NZSP", "interface"),
    "Na/Na2CO3": ("Na/Na2CO3", "interface"),
}


class OneScheme(LadderGPAW):
    """GPAW with a single scheme: no other one is tried after it."""

    def _give_up(self, scheme: str, why: str) -> None:
        super()._give_up(scheme, why)
        raise NotConvergedError(why)


def run(
    settings: GpawSettings,
    atoms: Atoms,
    scheme: str,
    folder: Path,
    fragments: tuple[Fragment, ...] = (),
    keep: Path | None = None,
) -> tuple[str, float | None]:
    """Run one SCF; return what is printed of it and its energy."""
    calculator = OneScheme(settings.model_copy(update={"scf": scheme}), folder)
    calculator.fragments = fragments
    copy = atoms.copy()
    copy.calc = calculator
    start = time.process_time()
    try:
        energy = float(copy.get_potential_energy())
        told = f"{calculator.iterations:4} iterations"
    except NotConvergedError as error:
        energy, told = None, f"{calculator.iterations:4} and not converged: {error.what}"
    told += f", {time.process_time() - start:5.0f} s"
    if keep is not None and energy is not None:
        calculator.keep_density(keep)
    return told, energy


def compare(name: str, schemes: list[str], folder: Path) -> None:
    """Print one case with every scheme and start."""
    interface, part = CASES[name]
    study = load_study(data_path("configs", "studies", "na_anode.yaml"))
    (plan,) = plan_study(study, "quick", [interface])
    both = interface_of(plan)
    settings = GpawSettings.model_validate({k: v for k, v in plan.settings.items() if k != "name"})
    sides = {"film": both.film_atoms(), "substrate": both.substrate_atoms()}
    fragments: tuple[Fragment, ...] = ()
    if part == "interface":
        for side, atoms in sides.items():
            run(settings, atoms, "plain", folder, keep=folder / f"{side}.npz")
        rest = tuple(i for i in range(len(both.atoms)) if i not in set(both.film))
        fragments = (
            Fragment(folder / "film.npz", both.film),
            Fragment(folder / "substrate.npz", rest),
        )
    atoms = both.atoms if part == "interface" else sides[part]
    print(f"{name}, {len(atoms)} atoms, {' x '.join(map(str, settings.kpoints[:2]))}", flush=True)
    found: list[float] = []
    for scheme in schemes:
        for start in [(), fragments] if fragments else [()]:
            told, energy = run(settings, atoms, scheme, folder, start)
            label = f"{scheme}, from {'densities of the slabs' if start else 'atoms'}"
            off = ""
            if energy is not None:
                found.append(energy)
                off = f", {1000 * (energy - found[0]):+.2f} meV"
            print(f"  {label:36} {told}{off}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument(
        "--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES), metavar="SCHEME"
    )
    options = parser.parse_args()
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            compare(name, options.schemes, Path(folder))


if __name__ == "__main__":
    main()
