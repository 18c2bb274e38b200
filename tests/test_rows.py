from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhesion.errors import DamagedFileError
from adhesion.rows import RowInput, choose_level, make_row
from adhesion.schemas import (
    AdhesionRow,
    BulkDocument,
    CurveDocument,
    CurvePoint,
    Energy,
    Geometry,
    InterfaceDocument,
    Recipe,
    SlabDocument,
)
from adhesion.study import InterfaceSpec, Study, SurfaceTensionSpec
from adhesion.wetting import surface_tension

J_M2 = 16.02176634
"""1 eV/Å2 in J/m2."""

PAPER = "Chem. Sci. 2022, 13, 14132"
TENSIONS = [
    surface_tension(SurfaceTensionSpec(name="paper")),
    surface_tension(SurfaceTensionSpec(name="liquid Na", temperature_K=393.15)),
]

# substrate: published W, measured angle, area, atoms, W_curve, W_ad, W_rigid, D3 on top
SAMPLES = {
    "NZSP": (0.25, 72.5, 72.5, 64, 0.21, 0.27, 0.41, 0.15),
    "Na2CO3": (0.12, 130.4, 70.2, 52, 0.10, 0.14, 0.22, 0.12),
    "Pb": (0.44, 0.0, 66.9, 54, 0.476, 0.52, 0.56, 0.165),
    "C": (0.08, 142.0, 52.7, 45, 0.105, 0.107, 0.11, 0.15),
}


def make_study() -> Study:
    interfaces = [
        {
            "film": "Na",
            "substrate": name,
            "reference": {"W_ad_J_m2": sample[0], "source": PAPER},
            "measured": [
                {"surface": f"{name} surface", "theta_deg": sample[1], "source": PAPER}
                | ({"temperature_C": 120} if name != "C" else {})
            ],
        }
        for name, sample in SAMPLES.items()
    ]
    proxy = {"calculator": {"proxy": {"species": {"Na": "Al", "Pb": "Au"}, "scale": 0.95}}}
    return Study.model_validate(
        {"name": "four", "interfaces": interfaces, "levels": {"smoke": proxy}}
    )


STUDY = make_study()


def recipe(kind: str, calculator: dict | None = None) -> Recipe:
    settings = {"name": "gpaw", "ecut_eV": 340, "functional": "PBE"}
    return Recipe(kind=kind, calculator=calculator or settings, parameters={}, crystals={})


def geometry(area: float) -> Geometry:
    return Geometry(
        symbols=["Na", "Pb"],
        cell_A=[(area**0.5, 0, 0), (0, area**0.5, 0), (0, 0, 30)],
        positions_A=[(0, 0, 5), (0, 0, 2)],
        pbc=(True, True, False),
    )


def make_documents(name: str, **changes) -> dict:
    """Documents of a finished interface whose W are those of SAMPLES."""
    _, _, area, _, W_curve, W_ad, W_rigid, d3 = SAMPLES[name]
    film, substrate, d3_eV = -20.0, -200.0, -d3 * area / J_M2

    def base(role: str, kind: str, cpu: float) -> dict:
        common = {"hash": f"{name}-{role}", "label": f"Na/{name} {role}", "status": "done"}
        return common | {"recipe": recipe(kind), "cpu_seconds": cpu}

    def energy(W: float, d3_eV: float = 0.0) -> Energy:
        return Energy(energy_eV=film + substrate - W * area / J_M2, d3_eV=d3_eV)

    def slab(role: str, fmax: float, cpu: float) -> SlabDocument:
        both = geometry(area)
        atom = 0 if role == "film_slab" else 1
        alone = both.model_copy(
            update={"symbols": [both.symbols[atom]], "positions_A": [both.positions_A[atom]]}
        )
        return SlabDocument(
            **base(role, "slab", cpu), geometry=alone, relaxed=True,
            fmax_start_eV_A=10 * fmax, fmax_end_eV_A=fmax,
        )  # fmt: skip

    works = [0.6 * W_curve, 0.9 * W_curve, W_curve, 0.93 * W_curve, 0.8 * W_curve]
    points = [
        CurvePoint(registry=(0.5, 0.5), gap_A=2.2 + 0.3 * i, energy=energy(W, d3_eV))
        for i, W in enumerate(works)
    ]
    points.append(CurvePoint(registry=(0, 0), gap_A=2.8, energy=energy(0.5 * W_curve, d3_eV)))
    documents = {
        "bulk_film": BulkDocument(**base("bulk_film", "bulk", 10)),
        "bulk_substrate": BulkDocument(**base("bulk_substrate", "bulk", 20)),
        "film_slab": slab("film_slab", 0.031, 100),
        "substrate_slab": slab("substrate_slab", 0.044, 200),
        "curve": CurveDocument(
            **base("curve", "curve", 1000),
            geometry=geometry(area),
            film=Energy(energy_eV=film, d3_eV=0.0),
            substrate=Energy(energy_eV=substrate, d3_eV=0.0),
            points=points,
            film_indices=[0],
            area_A2=area,
            film_strain_percent=(2.6, -2.6),
            substrate_strain_percent=(0.4, -0.4),
        ),
        "interface": InterfaceDocument(
            **base("interface", "interface", 5000),
            geometry=geometry(area),
            film_indices=[0],
            area_A2=area,
            interface=energy(W_ad, 1.1 * d3_eV),
            film_frozen=Energy(energy_eV=film + 0.5 * (W_rigid - W_ad) * area / J_M2),
            substrate_frozen=Energy(energy_eV=substrate + 0.5 * (W_rigid - W_ad) * area / J_M2),
            fmax_start_eV_A=1.7,
            fmax_end_eV_A=0.048,
        ),
    }
    for role, change in changes.items():
        documents[role] = documents[role].model_copy(update=change)
    return {role: (document, "computed") for role, document in documents.items()}


def make_input(name: str = "Pb", level: str = "workstation", **changes) -> RowInput:
    spec = next(s for s in STUDY.interfaces if s.substrate.material == name)
    resolved = STUDY.level(level).for_elements({"Na", "O"} if name[0] == "N" else {"Na", name})
    documents = make_documents(name, **changes)
    if not resolved.relax_interface:
        del documents["interface"]
    plan = {
        "n_atoms": SAMPLES[name][3],
        "area_A2": SAMPLES[name][2],
        "film_layers": resolved.layers.film,
        "substrate_layers": 4,
        "film_strain_percent": (2.6, -2.6),
        "substrate_strain_percent": (0.4, -0.4),
        "termination": name,
        "n_candidates": 3,
        "calculations": {role: document.hash for role, (document, _) in documents.items()},
        "label": spec.label,
    }
    return RowInput(spec=spec, level=resolved, plan=plan, documents=documents)


def without(item: RowInput, *roles: str, **failures: str) -> RowInput:
    documents = {r: d for r, d in item.documents.items() if r not in roles}
    return dataclasses.replace(item, documents=documents, failures=failures)


def proxy_row(name: str = "Pb") -> AdhesionRow:
    return make_row(make_input(name, "smoke"), TENSIONS)


@pytest.mark.parametrize("name", SAMPLES)
def test_row_holds_the_three_works_of_its_documents(name):
    row = make_row(make_input(name), TENSIONS)
    reference, measured, area, n_atoms, W_curve, W_ad, W_rigid, d3 = SAMPLES[name]
    assert (row.status, row.reason, row.source) == ("done", "", "computed")
    assert (row.calculator, row.functional, row.level) == ("gpaw", "PBE", "workstation")
    assert row.W_curve_J_m2 == pytest.approx(W_curve)
    assert row.W_ad_J_m2 == pytest.approx(W_ad)
    assert row.W_rigid_J_m2 == pytest.approx(W_rigid)
    assert row.W_ad_D3_J_m2 == pytest.approx(W_ad + 1.1 * d3)
    assert (row.area_A2, row.n_atoms) == (area, n_atoms)
    assert (row.gap_A, row.n_gaps) == (pytest.approx(2.8), 5)
    assert (row.fmax_start_eV_A, row.fmax_eV_A) == (1.7, 0.048)
    assert row.cpu_seconds == 6330
    assert len(row.calculations) == 6
    assert (row.W_ad_reference_J_m2, row.theta_measured_deg) == (reference, measured)
    assert row.flags == ["no convergence ladder"]


def test_angles_of_sodium_on_lead_and_carbon():
    lead, carbon = (make_row(make_input(name), TENSIONS) for name in ("Pb", "C"))
    assert [a.regime for a in lead.contact_angles] == ["complete wetting"] * 2
    # cos theta = 0.107 / 0.2523 - 1
    assert carbon.contact_angles[0].theta_deg == pytest.approx(125.163, abs=0.001)
    assert {a.from_quantity for a in carbon.contact_angles} == {"W_ad"}
    assert "393.15 K" in carbon.contact_angles[1].sigma_source


def test_repulsion_is_no_adhesion():
    lowest = {"energy": Energy(energy_eV=-219.0)}
    points = [p.model_copy(update=lowest) for p in make_documents("C")["curve"][0].points]
    row = make_row(make_input("C", "quick", curve={"points": points}), TENSIONS)
    assert row.W_curve_J_m2 < 0
    assert [(a.theta_deg, a.regime) for a in row.contact_angles] == [(180, "no adhesion")] * 2


def test_level_without_relaxation_stops_at_the_curve():
    row = make_row(make_input("Pb", "quick"), TENSIONS)
    assert row.status == "done"
    assert (row.W_ad_J_m2, row.W_rigid_J_m2) == (None, None)
    assert row.W_ad_D3_J_m2 == pytest.approx(0.476 + 0.165)
    assert (row.fmax_start_eV_A, row.fmax_eV_A) == (pytest.approx(0.44), 0.044)
    assert {a.from_quantity for a in row.contact_angles} == {"W_curve"}


@pytest.mark.parametrize(
    ("item", "status", "words"),
    [
        (without(make_input(), "interface"), "missing", "relaxed interface"),
        (without(make_input(), "interface", interface="worker lost"), "failed", "worker lost"),
        (
            make_input(interface={"status": "unconverged", "reason": "200 steps"}),
            "unconverged",
            "relaxed interface: 200 steps",
        ),
    ],
)
def test_curve_stands_without_the_relaxed_interface(item, status, words):
    row = make_row(item, TENSIONS)
    assert row.status == status
    assert words in row.reason
    assert "W_curve stands" in row.reason
    assert row.W_curve_J_m2 == pytest.approx(0.476)
    assert (row.W_ad_J_m2, row.W_rigid_J_m2) == (None, None)
    assert row.fmax_eV_A == 0.044
    assert {a.from_quantity for a in row.contact_angles} == {"W_curve"}


@pytest.mark.parametrize(
    ("item", "status", "reason"),
    [
        (
            without(make_input(), "curve", "interface"),
            "missing",
            "not computed yet: binding curve",
        ),
        (
            without(make_input(), "film_slab", "curve", "interface", film_slab="no dataset"),
            "failed",
            "slab of the film: no dataset",
        ),
        (
            make_input(substrate_slab={"status": "unconverged", "reason": "SCF"}),
            "unconverged",
            "slab of the substrate: SCF",
        ),
        (
            make_input(curve={"status": "failed", "reason": "out of memory"}),
            "failed",
            "binding curve: out of memory",
        ),
        (
            make_input(curve={"film": None}),
            "failed",
            "Na/Pb curve: the document is done but holds no energy of the film",
        ),
        (make_input(curve={"points": []}), "failed", "no point"),
        (make_input(curve={"film": Energy(energy_eV=float("nan"))}), "failed", "film energy"),
    ],
)
def test_no_work_without_a_finished_curve(item, status, reason):
    row = make_row(item, TENSIONS)
    assert row.status == status
    assert reason in row.reason
    numbers = (row.W_curve_J_m2, row.W_ad_J_m2, row.W_rigid_J_m2, row.W_ad_D3_J_m2)
    assert numbers == (None,) * 4
    assert row.contact_angles == []
    assert (row.fmax_eV_A, row.gap_A) == (None, None)
    assert row.area_A2 == 66.9


def test_row_of_nothing_at_all():
    item = dataclasses.replace(make_input(), documents={})
    row = make_row(item, TENSIONS)
    assert (row.status, row.source, row.cpu_seconds) == ("missing", "", None)


def test_finished_curve_needs_its_parents_documents_no_more():
    row = make_row(without(make_input("Pb", "quick"), "bulk_film", "film_slab"), TENSIONS)
    assert row.status == "done"
    assert row.W_curve_J_m2 == pytest.approx(0.476)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": recipe("interface", {"name": "gpaw", "ecut_eV": 450})}, "ecut_eV"),
        ({"geometry": geometry(60.0)}, "cell"),
    ],
)
def test_unlike_energies_are_not_subtracted(change, words):
    row = make_row(make_input(interface=change), TENSIONS)
    assert row.status == "failed"
    assert words in row.reason
    assert (row.W_ad_J_m2, row.W_rigid_J_m2) == (None, None)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"film_slab": {"relaxed": False}}, "unrelaxed slabs"),
        ({"curve": {"film_strain_percent": (6.1, 0.0)}}, "strain above limit"),
        ({"curve": {"versions": {"gpaw": "25.7"}}, "interface": {"versions": {"gpaw": "26.7"}}},
         "versions differ: gpaw"),
        ({"interface": {"film_frozen": Energy(energy_eV=-20.5)}}, "order violated"),
    ],
)  # fmt: skip
def test_flags(changes, flag):
    row = make_row(make_input(**changes), TENSIONS)
    assert any(f.startswith(flag) for f in row.flags)


def test_a_polar_slab_is_flagged():
    item = make_input()
    polar = dataclasses.replace(item, plan={**item.plan, "polar": ["Pb(001)"]})
    assert "polar slab of Pb(001), as named" in make_row(polar, TENSIONS).flags
    assert not any("polar" in flag for flag in make_row(item, TENSIONS).flags)


@pytest.mark.parametrize("kept", [slice(2, 5), slice(0, 3), slice(2, 3)])
def test_lowest_energy_at_the_edge_is_flagged(kept):
    points = make_documents("Pb")["curve"][0].points[kept]
    row = make_row(make_input(curve={"points": points}), TENSIONS)
    assert "lowest energy at the edge of the curve" in row.flags


def test_dispersion_is_null_unless_all_three_have_it():
    row = make_row(make_input(curve={"film": Energy(energy_eV=-20.0)}), TENSIONS)
    assert row.W_ad_J_m2 is not None
    assert row.W_ad_D3_J_m2 is None


@pytest.mark.parametrize(
    ("name", "screening"),
    [
        ("CHGNet", True),
        ("mace.calculators.MACECalculator", True),
        ("ase.calculators.emt.EMT", False),
        ("emt", False),
    ],
)
def test_force_fields_are_for_screening(name, screening):
    item = make_input()
    calculator = item.level.calculator.model_copy(update={"name": name})
    level = item.level.model_copy(update={"calculator": calculator})
    row = make_row(dataclasses.replace(item, level=level), TENSIONS)
    assert ("screening" in row.flags) == screening


def test_source_says_where_the_documents_are_from():
    item = make_input()
    documents = item.documents | {"curve": (item.documents["curve"][0], "archive")}
    assert make_row(dataclasses.replace(item, documents=documents), TENSIONS).source == "both"
    all_archive = {role: (d, "archive") for role, (d, _) in documents.items()}
    assert make_row(dataclasses.replace(item, documents=all_archive), TENSIONS).source == "archive"


def test_proxy_row_is_compared_with_nothing():
    row = proxy_row()
    assert row.proxy
    assert row.W_curve_J_m2 is not None
    assert row.contact_angles == []
    assert (row.W_ad_reference_J_m2, row.theta_measured_deg) == (None, None)
    assert row.flags[0] == "proxy"


def test_proxy_document_makes_a_proxy_row_at_any_level():
    row = make_row(make_input("Pb", "quick", curve={"proxy": True}), TENSIONS)
    assert row.proxy
    assert row.contact_angles == []


def test_document_of_another_kind_is_refused():
    item = make_input()
    documents = item.documents | {"curve": item.documents["film_slab"]}
    with pytest.raises(DamagedFileError, match="binding curve"):
        make_row(dataclasses.replace(item, documents=documents), TENSIONS)


@settings(max_examples=30, deadline=None)
@given(
    shift=st.floats(-1e4, 1e4),
    order=st.permutations(range(6)),
)
def test_row_depends_on_no_energy_zero_and_no_order_of_points(shift, order):
    item = make_input("Pb", "quick")
    curve = item.documents["curve"][0]
    energies = {
        "film": Energy(energy_eV=curve.film.energy_eV + shift),
        "points": [
            p.model_copy(update={"energy": Energy(energy_eV=p.energy.energy_eV + shift)})
            for p in (curve.points[i] for i in order)
        ],
    }
    row = make_row(make_input("Pb", "quick", curve=energies), TENSIONS)
    assert row.W_curve_J_m2 == pytest.approx(0.476, abs=1e-6)
    assert row.gap_A == pytest.approx(2.8)


def test_choose_level_takes_the_highest_that_is_done():
    done = {level: make_row(make_input("Pb", level), TENSIONS) for level in ("smoke", "quick")}
    missing = make_row(dataclasses.replace(make_input(), documents={}), TENSIONS)
    rows = {"workstation": [missing], "smoke": [done["smoke"]], "quick": [done["quick"]]}
    assert choose_level(rows) == [done["quick"]]
    full = make_row(make_input(), TENSIONS)
    assert choose_level({**rows, "workstation": [full]}) == [full]
    assert choose_level({"smoke": [done["smoke"]], "workstation": [missing]}) == [done["smoke"]]


def test_choose_level_never_sets_a_proxy_beside_a_number():
    lead = make_row(make_input("Pb", "quick"), TENSIONS)
    missing = make_row(dataclasses.replace(make_input("C", "quick"), documents={}), TENSIONS)
    chosen = choose_level({"smoke": [proxy_row("Pb"), proxy_row("C")], "quick": [lead, missing]})
    assert chosen == [lead, missing]


def test_choose_level_prefers_a_curve_to_nothing():
    partial = make_row(without(make_input("Pb"), "interface"), TENSIONS)
    missing = partial.model_copy(update={"level": "production", "W_curve_J_m2": None})
    assert choose_level({"workstation": [partial], "production": [missing]}) == [partial]


def test_choose_level_prefers_a_better_level_whose_interface_is_still_to_be_relaxed():
    quick = make_row(make_input("Pb", "quick"), TENSIONS)
    partial = make_row(without(make_input("Pb"), "interface"), TENSIONS)
    assert (quick.status, partial.status) == ("done", "missing")
    assert choose_level({"quick": [quick], "workstation": [partial]}) == [partial]


def test_user_interface_without_reference_or_measurement():
    item = dataclasses.replace(make_input(), spec=InterfaceSpec(film="Ag", substrate="Au"))
    row = make_row(item, TENSIONS)
    assert row.interface == "Ag(001)/Au(001)"
    assert (row.W_ad_reference_J_m2, row.theta_measured_deg) == (None, None)


def test_of_what_was_never_computed_the_cheapest_level_is_shown():
    quick = make_row(dataclasses.replace(make_input("Pb", "quick"), documents={}), TENSIONS)
    production = quick.model_copy(update={"level": "production"})
    assert quick.status == "missing"
    assert choose_level({"quick": [quick], "production": [production]}) == [quick]
    tried = production.model_copy(update={"status": "failed"})
    assert choose_level({"quick": [quick], "production": [tried]}) == [tried]
