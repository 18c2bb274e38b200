from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from ase.build import fcc100
from ase.calculators.emt import EMT
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adhesion import energetics as en
from adhesion.errors import CalculationError, InputError, UnlikeEnergiesError

STEADY = settings(deadline=None, derandomize=True)
ENERGIES = st.floats(-1e5, 1e5)
AREAS = st.floats(1, 1e4)
EV_A2 = 16.021766


# physics: copper on copper with EMT


def copper(layers, gap_A=0.0, split=0):
    """A Cu(001) slab in a fixed tall cell, its upper layers lifted by a gap."""
    slab = fcc100("Cu", (1, 1, layers), a=3.6)
    slab.set_cell([*slab.cell[:2], [0, 0, 60]])
    if split:
        slab.positions[split:, 2] += gap_A
    slab.calc = EMT()
    return slab


@pytest.fixture(scope="module")
def copper_curve():
    spacing = 1.8
    gaps = spacing + np.array([-0.3, -0.15, 0.0, 0.15, 0.3, 0.6, 1.0])
    energies = [copper(8, gap - spacing, split=4).get_potential_energy() for gap in gaps]
    return gaps, energies, 2 * copper(4).get_potential_energy(), en.cell_area(copper(4).cell)


def test_self_interface_gives_twice_the_surface_energy():
    area = en.cell_area(copper(4).cell)
    four, eight = copper(4).get_potential_energy(), copper(8).get_potential_energy()
    W = en.work_of_adhesion(four, four, eight, area)
    fit = en.surface_energy_from_thickness(
        [4, 6, 8], [copper(n).get_potential_energy() for n in (4, 6, 8)], area
    )
    assert pytest.approx(2 * fit.gamma_J_m2, rel=1e-3) == W
    assert en.interface_energy(fit.gamma_J_m2, fit.gamma_J_m2, W) == pytest.approx(0, abs=2e-3)
    assert fit.residual_J_m2 == pytest.approx(0, abs=1e-3)
    direct = en.surface_energy(eight, fit.bulk_energy_eV, 8, area)
    assert direct == pytest.approx(fit.gamma_J_m2, rel=1e-3)


def test_a_binding_curve_of_copper(copper_curve):
    curve = en.fit_binding_curve(*copper_curve[:2], copper_curve[3], copper_curve[2])
    gaps, energies, apart, area = copper_curve
    lowest = en.work_of_adhesion(apart, 0, min(energies), area)
    assert curve.gap_A == pytest.approx(1.8, abs=0.1)
    assert curve.W_J_m2 == pytest.approx(lowest, rel=0.01)
    assert curve.residual_J_m2 < 0.05 * curve.W_J_m2
    assert 5 < curve.peak_stress_GPa < 40
    assert curve.n_points == len(gaps)


# work of adhesion


def test_one_ev_per_square_angstrom():
    assert en.work_of_adhesion(1, 0, 0, 1) == pytest.approx(EV_A2, rel=1e-6)
    assert en.work_of_adhesion(-100, -200, -301, 100) == pytest.approx(0.16021766, rel=1e-6)


@STEADY
@given(ENERGIES, ENERGIES, st.floats(-50, 50), AREAS)
def test_work_of_adhesion_knows_its_sign(film, substrate, gain, area):
    assume(abs(gain) > 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        W = en.work_of_adhesion(film, substrate, film + substrate - gain, area)
        swapped = en.work_of_adhesion(substrate, film, film + substrate - gain, area)
        doubled = en.work_of_adhesion(2 * film, 2 * substrate, 2 * (film + substrate - gain), area)
    assert math.copysign(1, W) == math.copysign(1, gain)
    assert swapped == W
    assert doubled == pytest.approx(2 * W)


def test_an_unlikely_work_of_adhesion_is_warned_of():
    with pytest.warns(UserWarning, match="J/m2"):
        en.work_of_adhesion(0, 0, -13, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        en.work_of_adhesion(0, 0, -12, 10)


@pytest.mark.parametrize("area", [0, -1, math.nan, math.inf, None])
def test_a_bad_area_is_named_with_its_unit(area):
    with pytest.raises(InputError, match=r"area.*Å2"):
        en.work_of_adhesion(0, 0, 0, area)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "x"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_energy_is_named_with_its_unit(bad, place):
    energies = [0, 0, 0]
    energies[place] = bad
    name = ("film", "substrate", "interface")[place]
    with pytest.raises(InputError, match=f"{name} energy.*eV"):
        en.work_of_adhesion(*energies, 10)


# surfaces, strain, areas


@STEADY
@given(st.floats(-1e4, -1), st.floats(0.01, 5), AREAS)
def test_surface_energy_from_thickness_finds_what_was_put_in(bulk, gamma, area):
    units = [4, 6, 8, 12]
    energies = [2 * area * gamma / EV_A2 + n * bulk for n in units]
    fit = en.surface_energy_from_thickness(units, energies, area)
    assert fit.gamma_J_m2 == pytest.approx(gamma, abs=1e-6)
    assert fit.bulk_energy_eV == pytest.approx(bulk)
    assert fit.residual_J_m2 == pytest.approx(0, abs=1e-6)
    assert fit.n_points == 4


def test_the_residual_of_a_bent_line():
    # Alternating by 0.1 eV about 2 A gamma = 2 eV; area 10 Å2.
    fit = en.surface_energy_from_thickness([1, 2, 3, 4], [1.1, -0.1, -0.9, -2.1], 10)
    straight = np.polyfit([1, 2, 3, 4], [1.1, -0.1, -0.9, -2.1], 1)
    rms = np.sqrt(np.mean((np.polyval(straight, [1, 2, 3, 4]) - [1.1, -0.1, -0.9, -2.1]) ** 2))
    assert fit.residual_J_m2 == pytest.approx(rms / 20 * EV_A2)
    assert fit.gamma_J_m2 == pytest.approx(straight[1] / 20 * EV_A2)


def test_two_thicknesses_have_no_residual_and_one_no_line():
    assert en.surface_energy_from_thickness([2, 4], [-2, -5], 10).residual_J_m2 is None
    with pytest.raises(InputError, match="2 thicknesses"):
        en.surface_energy_from_thickness([4, 4], [-2, -2], 10)
    with pytest.raises(InputError, match="shapes"):
        en.surface_energy_from_thickness([2, 4, 6], [-2, -5], 10)


def test_surface_energy_has_two_faces():
    assert en.surface_energy(-9, -1, 10, 10) == pytest.approx(EV_A2 / 20, rel=1e-6)
    with pytest.raises(InputError, match="number of units"):
        en.surface_energy(-9, -1, 0, 10)


def test_strain_costs_energy():
    assert en.strain_energy(-9.9, -10, 10) == pytest.approx(0.01 * EV_A2, rel=1e-6)


def test_area_of_an_oblique_cell():
    hexagonal = [[2, 0, 0], [-1, math.sqrt(3), 0], [0, 0, 30]]
    assert en.cell_area(hexagonal) == pytest.approx(2 * math.sqrt(3))
    assert en.cell_area([[2, 0, 0], [0, 3, 0], [1, 1, 9]]) == pytest.approx(6)


@pytest.mark.parametrize(
    "cell", [np.zeros((3, 3)), np.eye(2), np.full((3, 3), np.nan), [[1, 2], [3]], [[1, 0, 0]] * 3]
)
def test_a_cell_without_an_area(cell):
    with pytest.raises(InputError):
        en.cell_area(cell)


# binding curve


def universal(gaps, W, d0, length):
    scaled = (np.asarray(gaps) - d0) / length
    return -W * (1 + scaled) * np.exp(-scaled)


@STEADY
@given(
    st.floats(0.02, 5),
    st.floats(1.5, 4),
    st.floats(0.3, 1.5),
    st.floats(-1e4, 1e4),
    st.randoms(use_true_random=False),
)
def test_a_binding_curve_finds_what_was_put_in(W, d0, length, apart, random):
    gaps = list(d0 + length * np.array([-0.6, -0.2, 0.3, 0.9, 1.8]))
    random.shuffle(gaps)
    energies = apart + universal(gaps, W, d0, length) * 80 / EV_A2
    curve = en.fit_binding_curve(gaps, energies, 80, apart)
    assert curve.W_J_m2 == pytest.approx(W, rel=1e-4)
    assert curve.gap_A == pytest.approx(d0, abs=1e-4)
    assert curve.length_A == pytest.approx(length, rel=1e-3)
    assert curve.residual_J_m2 < 1e-5
    assert curve.peak_stress_GPa == pytest.approx(10 * W / (math.e * length), rel=1e-3)


def test_peak_stress_is_the_steepest_slope():
    gaps = [2.0, 2.3, 2.6, 3.2, 4.0]
    curve = en.fit_binding_curve(gaps, universal(gaps, 0.4, 2.5, 0.6), EV_A2, 0)
    fine = np.linspace(2.5, 5, 4001)
    slope = np.gradient(-curve.work_at(fine), fine)  # J/m2 per Å is 10 GPa
    assert curve.peak_stress_GPa == pytest.approx(10 * slope.max(), rel=1e-4)
    assert curve.work_at(curve.gap_A) == pytest.approx(curve.W_J_m2)


def test_noise_shows_in_the_residual():
    gaps = np.linspace(2.0, 4.0, 9)
    noise = 0.01 * (-1.0) ** np.arange(9)
    curve = en.fit_binding_curve(gaps, universal(gaps, 0.4, 2.5, 0.6) + noise, EV_A2, 0)
    assert 0.005 < curve.residual_J_m2 < 0.011
    assert curve.W_J_m2 == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("gaps", "energies", "reason"),
    [
        ([2.0, 2.3, 2.6], [-1, -2, -1], "3 points"),
        ([2.0, 2.3, 2.6, 2.9], [-4, -3, -2, -1], "edge, at 2.00"),
        ([2.0, 2.3, 2.6, 2.9], [-1, -2, -3, -4], "edge, at 2.90"),
        ([2.0, 2.3, 2.6, 2.9], [2, 1, 3, 4], "separated"),
    ],
)
def test_a_curve_that_cannot_be_fitted_says_why(gaps, energies, reason):
    with pytest.raises(CalculationError, match=reason):
        en.fit_binding_curve(gaps, energies, 100, 0)


@pytest.mark.parametrize(
    ("gaps", "energies", "area"),
    [
        ([2.0, 2.3, 2.6, 2.9], [-1, -3, -2], 100),
        ([2.0, 2.3, 2.3, 2.9], [-1, -3, -2, -1], 100),
        ([2.0, 2.3, 2.6, 2.9], [-1, -3, math.nan, -1], 100),
        ([2.0, 2.3, 2.6, 2.9], [-1, -3, -2, -1], 0),
    ],
)
def test_a_malformed_curve_is_bad_input(gaps, energies, area):
    with pytest.raises(InputError):
        en.fit_binding_curve(gaps, energies, area, 0)


def test_next_gap_goes_beyond_the_edge_with_the_lowest_energy():
    assert en.next_gap([2.3, 2.0, 2.6], [-2, -3, -1], 0.3) == pytest.approx(1.7)
    assert en.next_gap([2.3, 2.0, 2.6], [-2, -1, -3], 0.3) == pytest.approx(2.9)
    assert en.next_gap([2.3, 2.0, 2.6], [-3, -2, -1], 0.3) is None
    assert en.next_gap([2.3], [-3], 0.3) == pytest.approx(2.6)
    with pytest.raises(InputError, match="step"):
        en.next_gap([2.0], [-3], 0)


@STEADY
@given(st.floats(1.5, 5), st.floats(0.1, 0.6))
def test_next_gap_walks_to_a_bracketed_minimum(start, step):
    gaps = [start, start + step, start + 2 * step]
    for _ in range(60):
        gap = en.next_gap(gaps, universal(gaps, 1, 3, 0.7), step)
        if gap is None:
            break
        gaps.append(gap)
    assert min(gaps) < 3 < max(gaps)
    assert en.next_gap(gaps, universal(gaps, 1, 3, 0.7), step) is None


# the guard

SETTINGS = {
    "cell_A": [[4.2, 0, 0], [0, 4.2, 0], [0, 0, 30]],
    "kpts": [4, 4, 1],
    "calculator": {
        "name": "gpaw",
        "ecut_eV": 340,
        "functional": "PBE",
        "setups": {"Na": "1"},
        "width_eV": 0.1,
        "dipole": True,
        "spin": False,
    },
    "proxy": False,
    "versions": {"gpaw": "25.7.0"},
}


def changed(path, value):
    def walk(node, keys):
        if not keys:
            return value
        return {**node, keys[0]: walk(node.get(keys[0], {}), keys[1:])}

    return walk(SETTINGS, path.split("."))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kpts", [5, 4, 1]),
        ("calculator.name", "emt"),
        ("calculator.ecut_eV", 450),
        ("calculator.functional", "RPBE"),
        ("calculator.setups", {"Na": ""}),
        ("calculator.width_eV", 0.2),
        ("calculator.dipole", False),
        ("calculator.spin", True),
        ("calculator.dispersion", "d3"),
        ("proxy", True),
        ("versions.gpaw", "24.6.0"),
        ("cell_A", [[4.2, 0, 0], [0, 4.21, 0], [0, 0, 30]]),
        ("cell_A", None),
    ],
)
@pytest.mark.parametrize("role", ["film", "substrate", "interface"])
def test_unlike_energies_are_refused_by_name(path, value, role):
    settings = dict.fromkeys(("film", "substrate", "interface"), SETTINGS)
    settings[role] = changed(path, value)
    with pytest.raises(UnlikeEnergiesError) as caught:
        en.require_alike(settings, where="Na(001)/Pb(001)")
    assert path in str(caught.value)
    assert role in str(caught.value)
    assert "Na(001)/Pb(001)" in str(caught.value)


def test_the_refusal_shows_both_values():
    found = list(en.differences(SETTINGS, changed("calculator.ecut_eV", 450)))
    assert found == ["calculator.ecut_eV: 340 and 450"]
    assert list(en.differences({"a": 1}, {})) == ["a: 1 and absent"]
    assert list(en.differences({}, {"a": {"b": 1}})) == ["a: absent and {'b': 1}"]


def test_like_energies_pass():
    arrays = changed("cell_A", np.array(SETTINGS["cell_A"]) + 9e-7)
    tuples = changed("kpts", (4, 4, 1))
    en.require_alike({"film": SETTINGS, "substrate": arrays, "interface": tuples})


def test_the_cell_tolerance_does_not_add_up():
    wide = [changed("cell_A", np.array(SETTINGS["cell_A"]) + d) for d in (0, 8e-7, 1.6e-6)]
    with pytest.raises(UnlikeEnergiesError, match="cell_A"):
        en.require_alike(dict(zip(("film", "substrate", "interface"), wide, strict=True)))


def test_the_tolerance_is_for_cells_only():
    with pytest.raises(UnlikeEnergiesError, match="width_eV"):
        en.require_alike(
            {"film": SETTINGS, "interface": changed("calculator.width_eV", 0.1 + 1e-9)}
        )


def test_comparing_nothing_proves_nothing():
    with pytest.raises(InputError, match="two or more"):
        en.require_alike({"film": SETTINGS})
    with pytest.raises(InputError, match="substrate"):
        en.require_alike({"film": SETTINGS, "substrate": {}})


LEAVES = st.sampled_from([None, True, 0, 2, 2.5, "PBE", "RPBE"])
KEYS = st.sampled_from("abc")
TREES = st.dictionaries(KEYS, LEAVES | st.dictionaries(KEYS, LEAVES))


@STEADY
@given(TREES, TREES)
def test_differences_are_symmetric_and_none_only_for_equals(first, second):
    there, back = list(en.differences(first, second)), list(en.differences(second, first))
    assert len(there) == len(back)
    assert (there == []) == (first == second)


# errors and order


def test_errors_add_in_quadrature():
    assert en.combine_errors(thickness=0.03, kpoints=0.04).value == pytest.approx(0.05)
    none = en.combine_errors(thickness=0.03, kpoints=None, vacuum=None)
    assert none.value is None
    assert none.reason == "not estimated: kpoints, vacuum"
    assert en.combine_errors().value is None
    for bad in (-0.1, math.nan):
        with pytest.raises(InputError, match="vacuum"):
            en.combine_errors(thickness=0.03, vacuum=bad)


@STEADY
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_combined_error_is_between_its_largest_part_and_the_sum(a, b, c):
    total = en.combine_errors(a=a, b=b, c=c).value
    assert max(a, b, c) <= total <= a + b + c + 1e-12


def test_order_of_the_three_works():
    assert en.check_order(0.2, 0.3, 0.4, 0.01) == []
    assert en.check_order(0.305, 0.3, 0.3, 0.01) == []
    (flag,) = en.check_order(0.35, 0.3, 0.4, 0.01)
    assert "W_curve 0.350 > W_ad 0.300" in flag
    (flag,) = en.check_order(0.2, 0.3, 0.25, 0.01)
    assert "W_ad 0.300 > W_rigid 0.250" in flag
    assert len(en.check_order(0.5, 0.4, 0.3, 0.01)) == 2
    (flag,) = en.check_order(0.5, None, 0.3, 0.01)
    assert "W_curve 0.500 > W_rigid 0.300" in flag
    assert en.check_order(0.5, None, None, 0.01) == []


class TestSlabsWithTheirBulk:
    """Na(001), GPAW PBE, 12 x 12 k-points: E(N) swings, the mean over slabs does not."""

    ATOMS = (6, 7, 8, 9)
    ENERGIES = (-7.327154, -8.636426, -9.958047, -11.235713)
    AREA, BULK = 17.6198, -1.3032461

    def test_gamma_of_sodium(self):
        fit = en.surface_energy_of_slabs(self.ATOMS, self.ENERGIES, self.AREA, self.BULK)
        assert fit.gamma_J_m2 == pytest.approx(0.2205, abs=5e-4)
        assert fit.residual_J_m2 == pytest.approx(0.0046, abs=5e-4)
        free = en.surface_energy_from_thickness(self.ATOMS, self.ENERGIES, self.AREA)
        assert abs(free.gamma_J_m2 - 0.220) > 0.005

    def test_exact_slabs_have_no_residual(self):
        energies = [2 * 10.0 * 0.5 / en.EV_PER_A2_IN_J_M2 - 3.0 * n for n in (3, 5)]
        fit = en.surface_energy_of_slabs((3, 5), energies, 10.0, -3.0)
        assert fit.gamma_J_m2 == pytest.approx(0.5)
        assert fit.residual_J_m2 == pytest.approx(0.0, abs=1e-12)

    def test_one_slab_has_no_residual_to_tell(self):
        assert en.surface_energy_of_slabs((3,), (-8.0,), 10.0, -3.0).residual_J_m2 is None
