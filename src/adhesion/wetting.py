"""From work of adhesion to contact angle and back: pure functions, J/m2 and degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import spearmanr

from adhesion.energetics import finite, positive
from adhesion.errors import InputError
from adhesion.study import SurfaceTensionSpec

Regime = Literal["complete wetting", "partial", "no adhesion"]

PAPER_SIGMA_J_M2 = 0.2523
PAPER_PRINTS_J_M2 = 0.5036
"""W at 0 degrees as the paper prints it."""
PAPER_SOURCE = (
    "Chem. Sci. 2022, 13, 14132, doi 10.1039/D2SC05120F "
    "(its origin is not stated there beyond ref. 17)"
)
LIQUID_NA_SOURCE = "Fink & Leibowitz, ANL/RE-95/2 (1995)"
LIQUID_NA_RANGE_K = (371.0, 1600.0)
OWN_SOURCE = "computed surface energy of the solid film, 0 K"
PAPER_TEMPERATURE_K = 393.15
"""120 °C, at which the paper measured its contact angles."""

MAX_SIGMA_J_M2 = 100.0
"""Far above any liquid or solid: what is larger was given in mN/m."""


@dataclass(frozen=True)
class Wetting:
    """A contact angle and what kind of answer it is.

    Attributes
    ----------
    theta_deg : float
        Contact angle, 0 to 180 degrees.
    regime : str
        'partial', or 'complete wetting' (0) or 'no adhesion' (180): there the
        angle is a bound, the drop cannot show more.
    cos_theta : float
        Its cosine, -1 to 1.
    """

    theta_deg: float
    regime: Regime
    cos_theta: float

    @property
    def is_bound(self) -> bool:
        """Whether the angle stands at 0 or 180 because the equation went beyond."""
        return self.regime != "partial"


@dataclass(frozen=True)
class SurfaceTension:
    """A surface tension with where it comes from.

    Attributes
    ----------
    sigma_J_m2 : float or None
        J/m2; None for the film's own surface energy, which each row has of its own.
    source : str
        Citation, or which surface it was computed for.
    temperature_K : float or None
        K; None where the source states none.
    name : str
        'paper', 'liquid Na' or 'own'; empty for a value of the user's.
    error_J_m2 : float
        J/m2; 0 where the source states none.
    """

    sigma_J_m2: float | None
    source: str
    temperature_K: float | None = None
    name: str = ""
    error_J_m2: float = 0.0

    def of_film(self, gamma_J_m2: float | None, label: str) -> SurfaceTension | None:
        """Return the tension with its value: itself, or the film's own; None without one.

        Parameters
        ----------
        gamma_J_m2 : float or None
            Computed surface energy of the film, J/m2.
        label : str
            Of the surface, as 'Na(001)'.
        """
        if self.sigma_J_m2 is not None:
            return self
        if gamma_J_m2 is None or gamma_J_m2 <= 0:
            return None
        return own_surface_energy(gamma_J_m2, label)


@dataclass(frozen=True)
class Comparison:
    """Predicted against measured contact angles.

    Attributes
    ----------
    mean_absolute_deviation_deg : float
        Mean of |predicted - measured|, degrees.
    rank_correlation : float or None
        Spearman's, of the angles; None with the reason where undefined.
    reason : str
        Why the rank correlation is None; empty otherwise.
    deviations_deg : tuple of float
        Predicted minus measured, pair by pair, degrees.
    """

    mean_absolute_deviation_deg: float
    rank_correlation: float | None
    reason: str
    deviations_deg: tuple[float, ...]


COMPLETE = Wetting(0.0, "complete wetting", 1.0)
NO_ADHESION = Wetting(180.0, "no adhesion", -1.0)


def contact_angle(work_of_adhesion: float, surface_tension: float) -> Wetting:
    """Return the contact angle from W = sigma (1 + cos theta), Young-Dupré.

    Complete wetting (0 degrees) from W = 2 sigma on, no adhesion (180 degrees)
    at W <= 0.

    Parameters
    ----------
    work_of_adhesion : float
        J/m2.
    surface_tension : float
        Of the liquid, J/m2.

    Raises
    ------
    InputError
        If W is not finite, or sigma not finite, not above zero, or above 100 J/m2.
    """
    work, sigma = finite(work_of_adhesion, "work of adhesion", "J/m2"), _tension(surface_tension)
    if work <= 0:
        return NO_ADHESION
    ratio = work / sigma
    if ratio >= 2:
        return COMPLETE
    # W / sigma = 2 cos2(theta / 2); the arc cosine of W / sigma - 1 loses digits near 180.
    theta = math.degrees(2 * math.atan2(math.sqrt(2 - ratio), math.sqrt(ratio)))
    return Wetting(theta, "partial", ratio - 1)


def adhesion_from_angle(theta_deg: float, surface_tension: float) -> float:
    """Return W = sigma (1 + cos theta) in J/m2, Young-Dupré.

    At 0 degrees it is a lower bound, at 180 degrees an upper one.

    Parameters
    ----------
    theta_deg : float
        Contact angle, 0 to 180 degrees.
    surface_tension : float
        Of the liquid, J/m2.

    Raises
    ------
    InputError
        If the angle lies outside 0 to 180 degrees or sigma is no tension.
    """
    theta, sigma = _angle(theta_deg), _tension(surface_tension)
    if theta == 180:
        return 0.0
    return 2 * sigma * math.cos(math.radians(theta) / 2) ** 2


def angle_interval(
    work_of_adhesion: float, surface_tension: float, W_error: float, sigma_error: float
) -> tuple[float, float]:
    """Return the lowest and highest contact angle within the errors of W and sigma.

    The errors are added in quadrature to that of W / sigma, in which Young-Dupré
    is linear, and the ends are turned into angles: the derivative of the angle
    diverges at 0 and 180 degrees, its ends do not.

    Parameters
    ----------
    work_of_adhesion, surface_tension : float
        J/m2.
    W_error, sigma_error : float
        Their errors, not negative, J/m2.

    Returns
    -------
    tuple of float
        Degrees, each within 0 to 180.

    Raises
    ------
    InputError
        If a value is not finite, sigma is no tension or an error is negative.
    """
    ratio = finite(work_of_adhesion, "work of adhesion", "J/m2") / _tension(surface_tension)
    errors = {"error of the work of adhesion": W_error, "error of the surface tension": sigma_error}
    for name, value in errors.items():
        if finite(value, name, "J/m2") < 0:
            raise InputError(f"{name} is {value:g} J/m2; it cannot be below 0")
    spread = math.hypot(W_error / surface_tension, ratio * (sigma_error / surface_tension))
    if spread == 0:
        theta = contact_angle(work_of_adhesion, surface_tension).theta_deg
        return theta, theta
    # Tensions cancel: a ratio against sigma = 1.
    return contact_angle(ratio + spread, 1.0).theta_deg, contact_angle(
        ratio - spread, 1.0
    ).theta_deg


def angle_error(
    work_of_adhesion: float, surface_tension: float, W_error: float, sigma_error: float
) -> float:
    """Return the error of the contact angle in degrees, not negative.

    The larger distance from the angle to the ends of `angle_interval`; it is 0
    where the whole interval wets completely or does not adhere.

    Raises
    ------
    InputError
        As `angle_interval`.
    """
    low, high = angle_interval(work_of_adhesion, surface_tension, W_error, sigma_error)
    theta = contact_angle(work_of_adhesion, surface_tension).theta_deg
    return max(theta - low, high - theta, 0.0)


def surface_tension(spec: SurfaceTensionSpec) -> SurfaceTension:
    """Return the surface tension that a study asks for.

    'paper' is the paper's 0.2523 J/m2. 'liquid Na' is
    0.2405 (1 - T / 2503.7 K)^1.126 J/m2, 371 to 1600 K (Fink & Leibowitz,
    ANL/RE-95/2 (1995)), at 393.15 K (120 °C) if no temperature is given. 'own' is
    the film's surface energy by the row's calculator, and has no value before the
    row is known. A value of the user's own is passed on with its source.

    Raises
    ------
    InputError
        If the temperature lies outside the range or stands where it has no
        effect, or the value is no tension.
    """
    if spec.name == "liquid Na":
        return _liquid_sodium(spec.temperature_K or PAPER_TEMPERATURE_K)
    if spec.name is not None and spec.temperature_K is not None:
        whose = "the paper's surface tension" if spec.name == "paper" else "the film's own one"
        raise InputError(
            f"{whose} is stated for no temperature",
            where="surface_tensions, temperature_K",
            hint="leave temperature_K out, or use 'liquid Na'",
        )
    if spec.name == "own":
        return SurfaceTension(None, OWN_SOURCE, 0.0, "own")
    if spec.name == "paper":
        return SurfaceTension(PAPER_SIGMA_J_M2, PAPER_SOURCE, name="paper")
    return SurfaceTension(_tension(spec.sigma_J_m2), spec.source or "", spec.temperature_K)


def own_surface_energy(gamma: float, label: str) -> SurfaceTension:
    """Take the computed surface energy of the solid film in place of a liquid's tension.

    Parameters
    ----------
    gamma : float
        J/m2.
    label : str
        Of the surface, as 'Na(001)'.

    Raises
    ------
    InputError
        If gamma is not finite, not above zero, or above 100 J/m2.
    """
    source = f"computed surface energy of solid {label}, 0 K"
    return SurfaceTension(_tension(gamma), source, 0.0, "own")


def cassie_baxter(fractions: Sequence[float], thetas_deg: Sequence[float]) -> Wetting:
    """Return the contact angle on a patchwork: cos theta = sum of f_i cos theta_i.

    Cassie & Baxter, Trans. Faraday Soc. 40, 546 (1944), doi 10.1039/TF9444000546,
    for a flat surface, whose fractions add up to 1; air under the drop is a
    patch of 180 degrees.

    Parameters
    ----------
    fractions : sequence of float, shape (n,)
        Part of the area that each patch takes, 0 to 1.
    thetas_deg : sequence of float, shape (n,)
        Contact angle on each patch, degrees.

    Raises
    ------
    InputError
        If the lengths differ, a fraction is negative, they do not add up to 1
        within 1e-6, or an angle lies outside 0 to 180 degrees.
    """
    if not len(fractions) or len(fractions) != len(thetas_deg):
        raise InputError(
            f"{len(fractions)} fractions and {len(thetas_deg)} angles; one of each per patch"
        )
    weights = np.array([finite(f, "fraction", "parts of 1") for f in fractions])
    total = float(weights.sum())
    if weights.min() < 0 or abs(total - 1) > 1e-6:
        raise InputError(f"the fractions {list(fractions)} have to be 0 to 1 and add up to 1")
    cosines = np.cos(np.radians([_angle(t) for t in thetas_deg]))
    return _from_cosine(float(weights @ cosines) / total)


def wenzel(theta_deg: float, roughness: float) -> Wetting:
    """Return the contact angle on a rough surface: cos theta_rough = r cos theta.

    Wenzel, Ind. Eng. Chem. 28, 988 (1936), doi 10.1021/ie50320a024.

    Parameters
    ----------
    theta_deg : float
        On the flat surface, degrees.
    roughness : float
        True over projected area, at least 1.

    Raises
    ------
    InputError
        If the angle lies outside 0 to 180 degrees or the roughness is below 1.
    """
    if finite(roughness, "roughness", "areas per projected area") < 1:
        raise InputError(f"roughness is {roughness:g}; it cannot be below 1")
    return _from_cosine(roughness * math.cos(math.radians(_angle(theta_deg))))


def deviation(predicted: Wetting, measured_theta_deg: float) -> float:
    """Return predicted minus measured contact angle in degrees.

    A measured 0 degrees says only W >= 2 sigma, a measured 180 only W <= 0. The
    prediction stops at the same bounds, so where both agree the deviation is 0
    however far W lies beyond.

    Raises
    ------
    InputError
        If the measured angle lies outside 0 to 180 degrees.
    """
    return predicted.theta_deg - _angle(measured_theta_deg)


def compare(pairs: Sequence[tuple[Wetting, float]]) -> Comparison:
    """Compare predicted with measured contact angles.

    Parameters
    ----------
    pairs : sequence of (Wetting, float)
        Prediction and measured angle in degrees, one pair per interface.

    Raises
    ------
    InputError
        If there is no pair or a measured angle lies outside 0 to 180 degrees.
    """
    if not pairs:
        raise InputError("no pair of predicted and measured angle to compare")
    off = tuple(deviation(predicted, measured) for predicted, measured in pairs)
    thetas = np.array([(predicted.theta_deg, float(measured)) for predicted, measured in pairs])
    correlation, reason = None, ""
    if len(pairs) < 3:
        reason = f"{len(pairs)} pairs; a rank correlation needs 3"
    elif not np.ptp(thetas, axis=0).all():
        reason = "all predicted or all measured angles are the same"
    else:
        correlation = float(spearmanr(thetas).statistic)
    return Comparison(float(np.mean(np.abs(off))), correlation, reason, off)


def paper_note() -> str:
    """Say that the paper's own W at 0 degrees is not quite twice its surface tension."""
    return (
        f"The paper prints {PAPER_PRINTS_J_M2} J/m2 for 0 degrees, "
        f"where 2 x {PAPER_SIGMA_J_M2} is {adhesion_from_angle(0.0, PAPER_SIGMA_J_M2):.4f}."
    )


def _tension(value: object) -> float:
    sigma = positive(value, "surface tension", "J/m2")
    if sigma > MAX_SIGMA_J_M2:
        raise InputError(
            f"surface tension {sigma:g} J/m2 is more than any matter has",
            hint=f"mN/m? then it is {sigma / 1000:g} J/m2",
        )
    return sigma


def _angle(value: object) -> float:
    theta = finite(value, "contact angle", "degrees")
    if not 0 <= theta <= 180:
        raise InputError(f"contact angle is {theta:g} degrees; it has to lie within 0 to 180")
    return theta


def _liquid_sodium(temperature_K: float) -> SurfaceTension:
    low, high = LIQUID_NA_RANGE_K
    if not low <= temperature_K <= high:
        raise InputError(
            f"the surface tension of liquid Na is known from {low:g} to {high:g} K, "
            f"not at {temperature_K:g} K",
            where="surface_tensions, temperature_K",
            hint="a temperature in °C? add 273.15" if temperature_K < low else "",
        )
    sigma = 0.2405 * (1 - temperature_K / 2503.7) ** 1.126
    source = f"{LIQUID_NA_SOURCE}, {temperature_K:g} K"
    return SurfaceTension(sigma, source, temperature_K, "liquid Na")


def _from_cosine(cos_theta: float) -> Wetting:
    if cos_theta >= 1:
        return COMPLETE
    if cos_theta <= -1:
        return NO_ADHESION
    return Wetting(math.degrees(math.acos(cos_theta)), "partial", cos_theta)
