"""Cases for the tests of reports: one finished with EMT, and one with a hostile name."""

from __future__ import annotations

from dataclasses import replace

from adhesion.convergence import Ladder, Rung
from adhesion.report.collect import Case
from adhesion.schemas import ContactAngle
from conftest import plan_of, study_of

NASTY = "Na<script>window.hurt=1</script>(001)/\"'&{x}%_$(001)"
ENDS = {
    "film_slab": "film slab",
    "substrate_slab": "substrate slab",
    "curve": "curve",
    "interface": "interface",
}


def angle(sigma: float, theta: float, regime: str = "partial") -> ContactAngle:
    return ContactAngle(
        sigma_J_m2=sigma, sigma_source=f"source of {sigma}", theta_deg=theta, regime=regime,
        from_quantity="W_ad",
    )  # fmt: skip


def ladder(interface: str = "Ag(001)/Au(001)") -> Ladder:
    """Film layers converge, the cutoff does not."""
    return Ladder(
        interface,
        "smoke",
        1.20,
        {"film_layers": 3, "cutoff": 340.0, "vacuum": 8.0},
        (
            Rung("film_layers", 4, 1.22, 0.02, "a" * 32),
            Rung("film_layers", 5, 1.221, 0.001, "b" * 32),
            Rung("cutoff", 408.0, 1.15, -0.05, "c" * 32),
        ),
    )


def emt_study():
    return study_of("Ag", "Au")


def emt_case(emt) -> Case:
    """Silver on gold with EMT: every document, angles, a measured angle and a ladder."""
    finished = emt("Ag", "Au")
    documents = {role: finished[end] for role, end in ENDS.items()}
    documents |= {"bulk_film": finished["Ag bulk"], "bulk_substrate": finished["Au bulk"]}
    row = finished.row.model_copy(
        update={
            "contact_angles": [angle(0.9, 66.0), angle(0.5, 0.0, "complete wetting")],
            "theta_measured_deg": 60.0,
            "W_ad_reference_J_m2": 1.1,
            "W_ad_error_J_m2": 0.05,
        }
    )
    return Case(plan_of("Ag", "Au"), row, documents, ladder())


def nasty_case(emt) -> Case:
    """The same with a name that would break a page, a table and a file system."""
    case = emt_case(emt)
    changes = {"interface": NASTY, "W_ad_J_m2": 0.4, "W_ad_error_J_m2": None, "W_rigid_J_m2": None}
    return replace(case, row=case.row.model_copy(update=changes), ladder=None)
