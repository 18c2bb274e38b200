from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhesion import wetting
from adhesion.errors import InputError
from adhesion.study import SurfaceTensionSpec

STEADY = settings(deadline=None, derandomize=True)
SIGMAS = st.floats(1e-3, 10)
THETAS = st.floats(0, 180)
WORKS = st.floats(-1e6, 1e6)
ERRORS = st.floats(0, 10)

PAPER = {  # W_ad in J/m2 and measured angle in degrees, Chem. Sci. 2022, 13, 14132
    "Na/NZSP": (0.25, 72.5),
    "Na/Na2CO3": (0.12, 130.4),
    "Na/Pb": (0.44, 0.0),
    "Na/C": (0.08, 142.0),
}


def paper_pairs(sigma):
    return [(wetting.contact_angle(W, sigma), theta) for W, theta in PAPER.values()]


# Young-Dupré


@pytest.mark.parametrize(
    ("W", "theta", "regime"),
    [
        (-0.1, 180, "no adhesion"),
        (0.0, 180, "no adhesion"),
        (0.1, 120, "partial"),
        (0.2, 90, "partial"),
        (0.3, 60, "partial"),
        (0.4, 0, "complete wetting"),
        (9.0, 0, "complete wetting"),
    ],
)
def test_young_dupre_at_known_angles(W, theta, regime):
    wet = wetting.contact_angle(W, 0.2)
    assert wet.theta_deg == pytest.approx(theta, abs=1e-12)
    assert wet.regime == regime
    assert wet.is_bound == (regime != "partial")


@STEADY
@given(WORKS, SIGMAS)
def test_an_angle_is_always_finite_and_fits_its_regime(W, sigma):
    wet = wetting.contact_angle(W, sigma)
    assert 0 <= wet.theta_deg <= 180
    assert math.cos(math.radians(wet.theta_deg)) == pytest.approx(wet.cos_theta, abs=1e-12)
    if wet.regime == "complete wetting":
        assert 2 * sigma * (1 - 1e-15) <= W
        assert wet.theta_deg == 0
    if wet.regime == "no adhesion":
        assert W <= 0
        assert wet.theta_deg == 180


@STEADY
@given(st.floats(1e-4, 180, exclude_max=True), SIGMAS)
def test_angle_to_work_and_back(theta, sigma):
    back = wetting.contact_angle(wetting.adhesion_from_angle(theta, sigma), sigma)
    # Close to 0 the work differs from 2 sigma by less than a double can tell.
    assert back.theta_deg == pytest.approx(theta, abs=1e-9 + 1e-14 / math.radians(theta))


@STEADY
@given(st.floats(1e-9, 1), SIGMAS)
def test_work_to_angle_and_back(part, sigma):
    W = 2 * sigma * part
    theta = wetting.contact_angle(W, sigma).theta_deg
    assert wetting.adhesion_from_angle(theta, sigma) == pytest.approx(W, rel=1e-9)


@STEADY
@given(WORKS, WORKS, SIGMAS)
def test_more_adhesion_never_means_a_larger_angle(W1, W2, sigma):
    low, high = sorted((W1, W2))
    assert (
        wetting.contact_angle(high, sigma).theta_deg <= wetting.contact_angle(low, sigma).theta_deg
    )


@STEADY
@given(THETAS, SIGMAS)
def test_work_from_an_angle_lies_between_its_bounds(theta, sigma):
    assert 0 <= wetting.adhesion_from_angle(theta, sigma) <= 2 * sigma


def test_bounds_are_exact():
    assert wetting.adhesion_from_angle(0, 0.25) == 0.5
    assert wetting.adhesion_from_angle(180, 0.25) == 0.0


@pytest.mark.parametrize("sigma", [0, -0.2, math.nan, math.inf, None, "much"])
def test_a_bad_surface_tension_is_named_with_its_unit(sigma):
    for call in (wetting.contact_angle, wetting.adhesion_from_angle):
        with pytest.raises(InputError, match=r"surface tension.*J/m2"):
            call(0.1, sigma)


def test_millinewtons_are_recognised():
    with pytest.raises(InputError, match=r"0\.1984 J/m2"):
        wetting.contact_angle(0.1, 198.4)


@pytest.mark.parametrize("W", [math.nan, math.inf, -math.inf, None])
def test_a_bad_work_is_named_with_its_unit(W):
    with pytest.raises(InputError, match=r"work of adhesion.*J/m2"):
        wetting.contact_angle(W, 0.2)


@pytest.mark.parametrize("theta", [-1e-9, 180.1, math.nan, math.inf])
def test_a_bad_angle_is_named_with_its_unit(theta):
    with pytest.raises(InputError, match=r"contact angle.*degrees"):
        wetting.adhesion_from_angle(theta, 0.2)


# errors of an angle


def test_angle_error_equals_the_derivative_where_there_is_one():
    sigma, W, dW, dsigma = 0.2, 0.21, 1e-6, 2e-6
    sine = math.sin(math.radians(wetting.contact_angle(W, sigma).theta_deg))
    expected = math.degrees(math.hypot(dW / sigma, W * dsigma / sigma**2) / sine)
    assert wetting.angle_error(W, sigma, dW, dsigma) == pytest.approx(expected, rel=1e-4)


def test_angle_error_at_the_bounds():
    assert wetting.angle_error(0.9, 0.2, 0.1, 0.01) == 0  # wets whatever the error
    assert wetting.angle_error(-0.9, 0.2, 0.1, 0.01) == 0
    # W = 2 sigma exactly: the lower end of W gives 60 degrees, the upper one still 0.
    assert wetting.angle_interval(0.4, 0.2, 0.1, 0) == pytest.approx((0, 60))
    assert wetting.angle_error(0.4, 0.2, 0.1, 0) == pytest.approx(60)


@STEADY
@given(st.floats(-20, 20), SIGMAS, ERRORS, ERRORS)
def test_the_interval_holds_the_angle(W, sigma, dW, dsigma):
    theta = wetting.contact_angle(W, sigma).theta_deg
    low, high = wetting.angle_interval(W, sigma, dW, dsigma)
    assert 0 <= low <= theta <= high <= 180
    assert wetting.angle_error(W, sigma, dW, dsigma) == max(theta - low, high - theta)


@STEADY
@given(st.floats(-20, 20), SIGMAS)
def test_no_error_no_interval(W, sigma):
    assert wetting.angle_error(W, sigma, 0, 0) == 0


def test_a_negative_error_is_refused():
    with pytest.raises(InputError, match="error of the surface tension"):
        wetting.angle_error(0.1, 0.2, 0.01, -0.01)


# surface tensions


@pytest.mark.parametrize(("T", "sigma"), [(371, 0.2008), (393.15, 0.1984), (523, 0.1847)])
def test_liquid_sodium(T, sigma):
    tension = wetting.surface_tension(SurfaceTensionSpec(name="liquid Na", temperature_K=T))
    assert tension.sigma_J_m2 == pytest.approx(sigma, abs=6e-5)
    assert tension.temperature_K == T
    assert "ANL/RE-95/2" in tension.source


def test_liquid_sodium_is_taken_at_120_C_unless_told():
    tension = wetting.surface_tension(SurfaceTensionSpec(name="liquid Na"))
    assert tension.temperature_K == 393.15


@STEADY
@given(st.floats(371, 1600), st.floats(371, 1600))
def test_liquid_sodium_pulls_less_when_hotter(T1, T2):
    cold, hot = sorted((T1, T2))
    of = [
        wetting.surface_tension(SurfaceTensionSpec(name="liquid Na", temperature_K=T)).sigma_J_m2
        for T in (cold, hot)
    ]
    assert 0 < of[1] <= of[0] < 0.21


@pytest.mark.parametrize("T", [120, 370.9, 1600.1])
def test_liquid_sodium_outside_its_range(T):
    with pytest.raises(InputError, match="371 to 1600 K"):
        wetting.surface_tension(SurfaceTensionSpec(name="liquid Na", temperature_K=T))


def test_the_papers_tension():
    tension = wetting.surface_tension(SurfaceTensionSpec(name="paper"))
    assert tension.sigma_J_m2 == 0.2523
    assert "10.1039/D2SC05120F" in tension.source
    assert tension.temperature_K is None
    with pytest.raises(InputError, match="temperature"):
        wetting.surface_tension(SurfaceTensionSpec(name="paper", temperature_K=393.15))


def test_a_tension_of_ones_own():
    spec = SurfaceTensionSpec(sigma_J_m2=0.2064, source="Poindexter 1929", temperature_K=373.15)
    assert wetting.surface_tension(spec) == wetting.SurfaceTension(
        0.2064, "Poindexter 1929", 373.15
    )
    own = wetting.own_surface_energy(0.22, "Na(001)")
    assert own.sigma_J_m2 == 0.22
    assert "Na(001)" in own.source
    assert own.temperature_K == 0
    with pytest.raises(InputError, match="surface tension"):
        wetting.own_surface_energy(-0.22, "Na(001)")


# patchy and rough surfaces


def test_cassie_baxter():
    half = wetting.cassie_baxter([0.5, 0.5], [60, 180])  # (0.5 - 1) / 2
    assert half.cos_theta == pytest.approx(-0.25)
    assert wetting.cassie_baxter([1.0, 0.0], [0, 75]).regime == "complete wetting"
    assert wetting.cassie_baxter([1.0], [180]).regime == "no adhesion"


@STEADY
@given(st.floats(0, 1), THETAS, THETAS)
def test_a_patchwork_lies_between_its_patches(fraction, theta1, theta2):
    wet = wetting.cassie_baxter([fraction, 1 - fraction], [theta1, theta2])
    assert min(theta1, theta2) - 1e-5 <= wet.theta_deg <= max(theta1, theta2) + 1e-5


@pytest.mark.parametrize(
    ("fractions", "thetas"),
    [([0.5, 0.6], [1, 2]), ([1.5, -0.5], [1, 2]), ([1], [1, 2]), ([], []), ([math.nan], [1])],
)
def test_fractions_that_make_no_surface(fractions, thetas):
    with pytest.raises(InputError, match="fraction"):
        wetting.cassie_baxter(fractions, thetas)


@STEADY
@given(THETAS, st.floats(1, 10))
def test_roughness_takes_an_angle_away_from_90_degrees(theta, roughness):
    wet = wetting.wenzel(theta, roughness)
    assert abs(wet.theta_deg - 90) >= abs(theta - 90) - 1e-5
    assert (wet.theta_deg - 90) * (theta - 90) >= 0


def test_wenzel():
    assert wetting.wenzel(75, 1).theta_deg == pytest.approx(75)
    assert wetting.wenzel(120, 1.5).cos_theta == pytest.approx(-0.75)
    assert wetting.wenzel(60, 2.5).regime == "complete wetting"
    assert wetting.wenzel(120, 2.5).regime == "no adhesion"
    with pytest.raises(InputError, match="roughness"):
        wetting.wenzel(60, 0.9)


# predicted against measured


def test_the_papers_own_work_with_its_surface_tension():
    pairs = paper_pairs(0.2523)
    found = wetting.compare(pairs)
    assert found.mean_absolute_deviation_deg == pytest.approx(19.4, abs=0.05)
    assert pairs[2][0].theta_deg == pytest.approx(41.9, abs=0.05)
    assert pairs[2][0].regime == "partial"
    assert found.rank_correlation == pytest.approx(1)


def test_the_papers_own_work_with_the_liquids_tension():
    liquid = wetting.surface_tension(SurfaceTensionSpec(name="liquid Na"))
    pairs = paper_pairs(liquid.sigma_J_m2)
    found = wetting.compare(pairs)
    assert found.mean_absolute_deviation_deg == pytest.approx(8.7, abs=0.05)
    assert pairs[2][0].regime == "complete wetting"
    assert found.deviations_deg[2] == 0
    assert found.rank_correlation == pytest.approx(1)


def test_deviation_of_bounds():
    wets = wetting.contact_angle(5, 0.2)
    assert wetting.deviation(wets, 0) == 0
    assert wetting.deviation(wets, 30) == -30
    assert wetting.deviation(wetting.contact_angle(-5, 0.2), 180) == 0
    with pytest.raises(InputError, match="contact angle"):
        wetting.deviation(wets, 181)


def test_a_rank_correlation_that_does_not_exist_has_a_reason():
    some = wetting.contact_angle(0.1, 0.2)
    two = wetting.compare([(some, 100), (some, 110)])
    assert two.rank_correlation is None
    assert "2 pairs" in two.reason
    same = wetting.compare([(some, 100), (some, 110), (some, 120)])
    assert same.rank_correlation is None
    assert "same" in same.reason
    assert same.mean_absolute_deviation_deg == pytest.approx(10)
    with pytest.raises(InputError, match="no pair"):
        wetting.compare([])


def test_rank_correlation_sees_a_reversed_order():
    pairs = [
        (wetting.contact_angle(W, 0.2), theta) for W, theta in ((0.1, 10), (0.2, 20), (0.3, 30))
    ]
    assert wetting.compare(pairs).rank_correlation == pytest.approx(-1)


class TestOwnSurfaceEnergy:
    OWN = wetting.surface_tension(SurfaceTensionSpec(name="own"))

    def test_it_has_no_value_before_the_row_is_known(self):
        assert self.OWN.sigma_J_m2 is None
        assert self.OWN.of_film(None, "Na(001)") is None
        assert self.OWN.of_film(-0.01, "C(001)") is None

    @given(st.floats(1e-3, 10))
    def test_a_metal_wets_itself(self, gamma):
        own = self.OWN.of_film(gamma, "Na(001)")
        assert own.name == "own"
        assert wetting.contact_angle(2 * gamma, own.sigma_J_m2).theta_deg == 0.0

    def test_others_are_themselves_whatever_the_film(self):
        paper = wetting.surface_tension(SurfaceTensionSpec(name="paper"))
        assert paper.of_film(0.22, "Na(001)") is paper

    def test_it_is_stated_for_no_temperature(self):
        with pytest.raises(InputError, match="no temperature"):
            wetting.surface_tension(SurfaceTensionSpec(name="own", temperature_K=300))


def test_the_papers_slip():
    assert wetting.paper_note().endswith("where 2 x 0.2523 is 0.5046.")
