from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adhesion.findings import (
    LADDER,
    LadderErrors,
    curve_findings,
    error_findings,
    layers_crossed,
    mixing_findings,
    restacked,
    surface_findings,
)
from adhesion.schemas import CurveDocument, CurvePoint, Energy, Geometry, SurfaceDocument
from test_rows import J_M2, make_documents, recipe

AREA = 64.0
SIDE = 8.0


def curve_of(points, film=-20.0, substrate=-200.0, **changes) -> CurveDocument:
    document, _ = make_documents("Pb")["curve"]
    made = [
        CurvePoint(
            registry=r, gap_A=gap, energy=Energy(energy_eV=film + substrate - W * AREA / J_M2)
        )
        for r, gap, W in points
    ]
    alone = {"film": Energy(energy_eV=film), "substrate": Energy(energy_eV=substrate)}
    return document.model_copy(update={**alone, "points": made, "area_A2": AREA, **changes})


def binding(gap, W=0.5, at=2.8, length=0.7):
    scaled = (gap - at) / length
    return W * (1 + scaled) * math.exp(-scaled)


def surface(gamma, bulk=-1.3, area=16.0, atoms=(5, 9), **changes) -> SurfaceDocument:
    energies = [2 * area * gamma / J_M2 + n * bulk for n in atoms]
    settings = {"hash": "x", "label": "surface", "status": "done", "recipe": recipe("surface")}
    content = {"area_A2": area, "atoms": list(atoms), "energies_eV": energies}
    return SurfaceDocument(**(settings | content | {"bulk_energy_eV": bulk} | changes))


def layered(n_film=4, n_substrate=4, layers=2):
    """Film layers over substrate layers, 2 Å apart, n atoms each on one point per layer."""
    z = [2.0 * i for i in range(layers) for _ in range(n_substrate)]
    z += [2.0 * layers + 1 + 2.0 * i for i in range(layers) for _ in range(n_film)]
    x = np.linspace(0, SIDE, len(z), endpoint=False)
    positions = [(float(a), 0.0, float(b)) for a, b in zip(x, z, strict=True)]
    symbols = ["Pb"] * (n_substrate * layers) + ["Na"] * (n_film * layers)
    cell = [(SIDE, 0, 0), (0, SIDE, 0), (0, 0, 40)]
    made = Geometry(symbols=symbols, cell_A=cell, positions_A=positions, pbc=(True, True, False))
    return made, list(range(n_substrate * layers, len(z)))


def moved(made: Geometry, shifts: dict[int, tuple[float, float, float]]) -> Geometry:
    positions = [list(p) for p in made.positions_A]
    for i, shift in shifts.items():
        positions[i] = [p + s for p, s in zip(positions[i], shift, strict=True)]
    return made.model_copy(update={"positions_A": [tuple(p) for p in positions]})


class TestSurfaces:
    def test_gamma_strain_and_interface_energy(self):
        film, indices = layered()
        curve = curve_of([((0, 0), 2.8, 0.5)], geometry=film, film_indices=indices)
        surfaces = {
            "film": surface(0.22),
            "film_strained": surface(0.20, bulk=-1.29),
            "substrate": surface(0.28),
            "substrate_strained": surface(0.30, bulk=-1.298),
        }
        found = surface_findings(surfaces, LadderErrors(), curve, 0.5).fields
        assert found["gamma_film_J_m2"] == pytest.approx(0.22)
        assert found["gamma_substrate_strained_J_m2"] == pytest.approx(0.30)
        # 8 atoms of each side, 10 and 2 meV each, on 64 Å2.
        assert found["strain_energy_film_J_m2"] == pytest.approx(8 * 0.010 / AREA * J_M2)
        assert found["strain_energy_substrate_J_m2"] == pytest.approx(8 * 0.002 / AREA * J_M2)
        assert found["gamma_int_J_m2"] == pytest.approx(0.20 + 0.30 - 0.5)

    def test_energies_of_unlike_settings_give_no_strain_energy(self):
        film, indices = layered()
        curve = curve_of([((0, 0), 2.8, 0.5)], geometry=film, film_indices=indices)
        other = recipe("surface", {"name": "gpaw", "ecut_eV": 450, "functional": "PBE"})
        surfaces = {"film": surface(0.2), "film_strained": surface(0.2, recipe=other)}
        found = surface_findings(surfaces, LadderErrors(), curve, 0.5)
        assert "strain_energy_film_J_m2" not in found.fields
        assert "ecut_eV: 340 and 450" in found.reasons["strain_energy_film_J_m2"]

    def test_what_is_missing_has_a_reason(self):
        found = surface_findings({}, LadderErrors(), curve_of([((0, 0), 2.8, 0.5)]), 0.5)
        assert found.fields == {}
        assert "two thicknesses" in found.reasons["gamma_film_J_m2"]
        assert "film and substrate" in found.reasons["gamma_int_J_m2"]

    def test_a_ladder_of_layers_stands_in_for_the_strained_surface(self):
        slabs = [(n, 2 * AREA * 0.3 / J_M2 - 3.5 * n) for n in (8, 12, 16)]
        ladder = LadderErrors({}, {"substrate": slabs})
        found = surface_findings({}, ladder, curve_of([((0, 0), 2.8, 0.5)]), 0.5)
        assert found.fields["gamma_substrate_strained_J_m2"] == pytest.approx(0.3)
        assert "gamma_substrate_J_m2" in found.reasons
        assert "strain_energy_substrate_J_m2" in found.reasons


class TestCurve:
    def test_fit_of_the_best_registry_and_spread_over_all(self):
        gaps = [2.2, 2.5, 2.8, 3.1, 3.4]
        points = [((0.5, 0.5), g, binding(g)) for g in gaps]
        points += [((0, 0), g, binding(g, W=0.42, at=3.1)) for g in gaps]
        found = curve_findings(curve_of(points)).fields
        assert found["W_fit_J_m2"] == pytest.approx(0.5, abs=1e-6)
        assert found["gap_fit_A"] == pytest.approx(2.8, abs=1e-6)
        # W / (e l): 0.5 J/m2 over 0.7 Å.
        assert found["peak_stress_GPa"] == pytest.approx(0.5 / (math.e * 0.7e-10) / 1e9)
        assert found["registry_spread_J_m2"] == pytest.approx(0.08)
        assert found["error_registry_J_m2"] == pytest.approx(0.04)

    def test_too_few_points_are_a_reason_not_a_number(self):
        found = curve_findings(curve_of([((0, 0), g, binding(g)) for g in (2.5, 2.8, 3.1)]))
        assert "W_fit_J_m2" not in found.fields
        assert "3 points" in found.reasons["W_fit_J_m2"]
        assert found.reasons["registry_spread_J_m2"] == "one registry computed"


class TestMixing:
    def findings(self, shifts):
        made, film = layered()
        curve = curve_of([((0, 0), 3.0, 0.5)], geometry=made, film_indices=film)
        document, _ = make_documents("Pb")["interface"]
        changes = {"geometry": moved(made, shifts), "film_indices": film}
        return mixing_findings(curve, document.model_copy(update=changes))

    def test_a_quiet_interface_is_purely_adhesive(self):
        found = self.findings({8: (0.1, 0, -0.3)})
        assert found.fields["layers_crossed"] == 0
        assert found.fields["purely_adhesive"] is True
        assert found.fields["gap_relaxed_A"] == pytest.approx(2.7)
        assert found.flags == []

    def test_a_film_atom_below_the_top_layer_has_crossed_it(self):
        found = self.findings({8: (0, 0, -4.0)})  # from 5 Å to 1 Å; the top layer is at 2 Å
        assert found.fields["layers_crossed"] == 1
        assert found.fields["purely_adhesive"] is False
        assert "no longer purely adhesive" in found.flags[0]

    def test_a_substrate_atom_above_the_film_has_crossed_two(self):
        assert self.findings({4: (0, 0, 6.5)}).fields["layers_crossed"] == 2

    def test_layers_that_slid_are_a_change_of_phase(self):
        found = self.findings(dict.fromkeys(range(12, 16), (0.8, 0, 0)))
        assert found.fields["purely_adhesive"] is False
        assert "changed its stacking" in found.flags[0]

    def test_a_film_that_moves_as_a_whole_is_no_change_of_phase(self):
        made, film = layered()
        end = moved(made, dict.fromkeys(film, (SIDE - 0.3, 0.4, 0.2)))
        assert restacked(made, end, film) == (False, False)

    def test_another_spacing_is_a_change_of_phase(self):
        made, film = layered()
        assert restacked(made, moved(made, dict.fromkeys(film[4:], (0, 0, 0.5))), film)[1]

    @given(st.lists(st.floats(-0.4, 0.4), min_size=16, max_size=16))
    def test_small_moves_never_cross(self, shifts):
        made, film = layered()
        start = np.array(made.positions_A)[:, 2]
        mask = np.isin(np.arange(16), film)
        assert layers_crossed(start, start + np.array(shifts), mask) == 0


WHOLE = dict(zip(LADDER, (0.02, 0.01, 0.01, 0.004, 0.001), strict=True))


class TestErrors:
    def test_without_a_ladder_there_is_no_error_bar_but_a_flag(self):
        found = error_findings(LadderErrors(), {"error_fit_J_m2": 0.01})
        assert "W_ad_error_J_m2" not in found.fields
        assert found.flags == ["no convergence ladder"]

    def test_a_whole_ladder_is_added_in_quadrature_with_what_else_is_known(self):
        found = error_findings(LadderErrors(WHOLE), {"error_fit_J_m2": 0.01})
        parts = [*WHOLE.values(), 0.01]
        assert found.fields["W_ad_error_J_m2"] == pytest.approx(math.hypot(*parts))
        assert found.flags == ["error bar without cell, registry"]

    def test_a_ladder_with_a_hole_gives_none(self):
        found = error_findings(LadderErrors(WHOLE | {"kpoints": None}), {})
        assert "W_ad_error_J_m2" not in found.fields
        assert found.flags == ["convergence ladder without kpoints"]
        assert found.fields["error_cutoff_J_m2"] == 0.004

    def test_what_a_calculator_does_not_have_is_not_missing(self):
        emt = dict.fromkeys(("film_layers", "substrate_layers", "vacuum"), 0.01)
        found = error_findings(LadderErrors(emt, cell_J_m2=0.03), {"error_registry_J_m2": 0.02})
        expected = math.hypot(0.01, 0.01, 0.01, 0.03, 0.02)
        assert found.fields["W_ad_error_J_m2"] == pytest.approx(expected)
        assert "no such parameter" in found.reasons["error_kpoints_J_m2"]

    @given(st.dictionaries(st.sampled_from(LADDER), st.floats(0, 1), min_size=5, max_size=5))
    def test_the_bar_is_never_shorter_than_its_longest_part(self, errors):
        combined = error_findings(LadderErrors(errors), {}).fields["W_ad_error_J_m2"]
        assert combined >= max(errors.values())


def test_documents_that_name_no_film_atoms_say_nothing_of_mixing():
    documents = make_documents("Pb")
    unnamed = documents["interface"][0].model_copy(update={"film_indices": []})
    found = mixing_findings(documents["curve"][0], unnamed)
    assert "layers_crossed" not in found.fields
    assert "which atoms are the film" in found.reasons["layers_crossed"]
