"""Size of a GPAW calculation, and what time and memory follow from it."""

from __future__ import annotations

import pytest
from ase import Atoms
from ase.build import bcc100, bulk

from adhesion.calculators import size
from adhesion.calculators.gpaw import GpawSettings, LadderGPAW
from adhesion.calculators.size import irreducible, must_fit_in_memory, size_of
from adhesion.errors import CalculationError

SETTINGS = GpawSettings(ecut_eV=340, setups={"Na": "1"}, kpoints=(4, 4, 1))


def lone(distances=(0.0, 1.3, 2.9)):
    """Atoms of a slab without any symmetry."""
    atoms = Atoms("NaKLi", [(0.1 * d, 0.3 * d * d, d) for d in distances])
    atoms.set_cell([5.0, 7.0, 15.0])
    atoms.pbc = (True, True, False)
    return atoms


@pytest.mark.parametrize("n", [4, 8])
def test_kpoints_of_a_cubic_crystal(n):
    """A shifted n x n x n mesh leaves m (m + 1) (m + 2) / 6 points, m = n / 2."""
    m = n // 2
    assert irreducible(bulk("Na", cubic=True), (n, n, n)) == m * (m + 1) * (m + 2) // 6


@pytest.mark.parametrize(
    ("mesh", "number"), [((1, 1, 1), 1), ((2, 2, 1), 2), ((3, 3, 1), 5), ((3, 1, 1), 2)]
)
def test_without_symmetry_only_time_reversal_is_left(mesh, number):
    assert irreducible(lone(), mesh) == number


def test_the_size_grows_with_the_cell_as_it_must():
    one, two = lone(), lone() * (2, 1, 1)
    settings = SETTINGS.model_copy(update={"kpoints": (2, 2, 1)}).model_dump()
    small, large = size_of(settings, one), size_of(settings, two)
    assert large.waves == pytest.approx(2 * small.waves)
    assert large.grid == pytest.approx(2 * small.grid)
    assert large.electrons == 2 * small.electrons
    fine = size_of(settings | {"ecut_eV": 680.0}, one)
    assert fine.waves == pytest.approx(2**1.5 * small.waves)
    real = size_of(settings | {"kpoints": (1, 1, 1)}, one)
    assert real.products == pytest.approx(small.products / 2 / small.kpoints)


def test_as_large_as_gpaw_says(tmp_path):
    slab = bcc100("Na", (1, 1, 3), a=4.2, vacuum=4.0)
    slab.calc = LadderGPAW(SETTINGS, tmp_path)
    slab.get_potential_energy()
    dft, found = slab.calc._gpaw.dft, size_of(SETTINGS.model_dump(), slab)
    assert found.kpoints == len(dft.ibzwfs.ibz)
    waves = dft.ibzwfs.get_max_shape(global_shape=True)
    assert found.waves == pytest.approx(waves[-1], rel=0.1)
    assert found.grid == pytest.approx(dft.density.nt_sR.data.size, rel=0.15)


def test_too_little_memory_is_refused_with_the_number(monkeypatch):
    slab = lone()
    must_fit_in_memory(SETTINGS.model_dump(), slab)

    class Memory:
        available = 0.2e9

    monkeypatch.setattr(size.psutil, "virtual_memory", Memory)
    with pytest.raises(CalculationError, match=r"3 atoms .* [0-9.]+ GB .* 0\.2 GB are free"):
        must_fit_in_memory(SETTINGS.model_dump(), slab)
