"""Wrong physics is refused or flagged, and right physics is not."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bcc100, fcc100
from hypothesis import given, settings
from hypothesis import strategies as st

from adhesion.errors import CalculationError
from adhesion.rows import RowInput, make_row
from adhesion.sanity import (
    RELAXATION,
    doubts,
    other_states,
    relaxation_faults,
    require_same_interface,
    require_same_slabs,
)
from adhesion.schemas import CurveDocument, CurvePoint, Energy, Geometry, Recipe
from conftest import study_of

SIDES = ("film", "substrate")


@pytest.fixture
def done(emt):
    """Documents of a finished interface, Ag on Au."""
    finished = emt("Ag", "Au")
    slabs = {s: finished[f"{s} slab"] for s in SIDES}
    return finished["curve"], finished["interface"], slabs


def shifted(geometry: Geometry, **moves: tuple[float, float, float]) -> Geometry:
    """The geometry with atoms moved: a3=(0, 0, 1)."""
    positions = np.array(geometry.positions_A)
    for atom, move in moves.items():
        positions[int(atom[1:])] += move
    return geometry.model_copy(update={"positions_A": [tuple(p) for p in positions.tolist()]})


def with_geometry(document, geometry):
    return document.model_copy(update={"geometry": geometry})


def test_what_was_computed_is_not_doubted(done):
    curve, relaxed, slabs = done
    require_same_slabs(curve, slabs)
    require_same_interface(curve, relaxed)
    assert doubts(curve, relaxed, slabs) == []


@pytest.mark.parametrize("move", [(0.2, 0, 0), (0, 0, 0.01), (0, -1.0, 0.5)])
def test_an_atom_that_moved_between_slab_and_interface_is_refused(done, move):
    curve, _, slabs = done
    film = with_geometry(slabs["film"], shifted(slabs["film"].geometry, a1=move))
    with pytest.raises(CalculationError, match=rf"film moved by up to {np.linalg.norm(move):.3f}"):
        require_same_slabs(curve, slabs | {"film": film})


def test_atoms_wrapped_into_the_cell_have_not_moved(done):
    curve, _, slabs = done
    a, b, _ = np.array(slabs["film"].geometry.cell_A)
    film = with_geometry(slabs["film"], shifted(slabs["film"].geometry, a0=a, a2=b - a, a1=-b))
    require_same_slabs(curve, slabs | {"film": film})


def test_a_film_of_more_atoms_than_its_slab_is_refused(done):
    curve, relaxed, slabs = done
    more = [min(set(range(99)) - set(curve.film_indices)), *curve.film_indices]
    taken = curve.model_copy(update={"film_indices": more})
    with pytest.raises(CalculationError, match=r"film of the interface .* is not its slab"):
        require_same_slabs(taken, slabs)
    with pytest.raises(CalculationError, match="is not that of the binding curve"):
        require_same_interface(taken, relaxed)
    for wrong in ([], list(range(len(curve.geometry.symbols)))):
        with pytest.raises(CalculationError, match="said to be the film"):
            require_same_slabs(curve.model_copy(update={"film_indices": wrong}), slabs)


def test_another_element_is_refused(done):
    curve, relaxed, _ = done
    symbols = ["Cu", *relaxed.geometry.symbols[1:]]
    other = with_geometry(relaxed, relaxed.geometry.model_copy(update={"symbols": symbols}))
    with pytest.raises(CalculationError, match="Cu1"):
        require_same_interface(curve, other)


def test_a_refusal_is_the_reason_of_the_row(done, emt):
    curve, relaxed, slabs = done
    film = with_geometry(slabs["film"], shifted(slabs["film"].geometry, a1=(0.3, 0, 0)))
    row = row_of(curve, relaxed, slabs | {"film": film})
    assert (row.status, row.W_curve_J_m2, row.W_ad_J_m2) == ("failed", None, None)
    assert "moved by up to 0.300" in row.reason
    symbols = ["Cu", *relaxed.geometry.symbols[1:]]
    other = with_geometry(relaxed, relaxed.geometry.model_copy(update={"symbols": symbols}))
    row = row_of(curve, other, slabs)
    assert (row.status, row.W_ad_J_m2) == ("failed", None)
    assert row.W_curve_J_m2 is not None
    notes = [RELAXATION + "the slab turned over"]
    film = slabs["film"].model_copy(update={"notes": notes})
    row = row_of(curve, relaxed, slabs | {"film": film})
    assert row.status == "done"
    assert "film slab: the slab turned over" in row.flags


def test_an_area_that_is_not_that_of_the_cell_is_refused(done):
    curve, relaxed, slabs = done
    row = row_of(curve.model_copy(update={"area_A2": 2 * curve.area_A2}), relaxed, slabs)
    assert (row.status, row.W_curve_J_m2) == ("failed", None)
    assert "that of its cell" in row.reason
    row = row_of(curve, relaxed.model_copy(update={"area_A2": 1.0}), slabs)
    assert (row.status, row.W_ad_J_m2) == ("failed", None)


def test_forces_above_the_criterion_are_refused(done):
    curve, relaxed, slabs = done
    limit = relaxed.recipe.parameters["fmax_eV_A"]
    left = {"fmax_end_eV_A": 1.01 * limit}
    row = row_of(curve, relaxed.model_copy(update=left), slabs)
    assert (row.status, row.W_ad_J_m2) == ("failed", None)
    assert f"the criterion is {limit:g} eV/Å" in row.reason
    film = slabs["film"].model_copy(update=left)
    assert row_of(curve, relaxed, slabs | {"film": film}).W_curve_J_m2 is None


def test_energies_beyond_all_numbers_are_the_reason_of_the_row(done):
    curve, relaxed, slabs = done
    huge = relaxed.model_copy(update={"interface": Energy(energy_eV=-1e308)})
    row = row_of(curve, huge, slabs)
    assert (row.status, row.W_ad_J_m2) == ("failed", None)
    assert "work of adhesion is inf" in row.reason


def row_of(curve, relaxed, slabs):
    study = study_of("Ag", "Au")
    documents = {"film_slab": slabs["film"], "substrate_slab": slabs["substrate"]}
    documents |= {"curve": curve, "interface": relaxed}
    plan = {"calculations": {role: d.hash for role, d in documents.items()}}
    return make_row(
        RowInput(
            spec=study.interfaces[0],
            level=study.level("smoke"),
            plan=plan,
            documents={role: (d, "computed") for role, d in documents.items()},
        ),
        [],
    )


# Relaxations

SLAB = Geometry.from_ase(bcc100("Na", (1, 1, 5), a=4.2, vacuum=8))


def test_a_slab_that_turned_over():
    atoms = SLAB.to_ase()
    atoms.positions[:, 2] = 2 * atoms.positions[:, 2].mean() - atoms.positions[:, 2]
    assert relaxation_faults(SLAB, Geometry.from_ase(atoms)) == ["the slab turned over"]


def test_a_slab_that_walked_away_or_split():
    whole = {f"a{i}": (0, 0, 2.0) for i in range(5)}
    assert relaxation_faults(SLAB, shifted(SLAB, **whole)) == ["the slab walked away, by 2.0 Å"]
    top = shifted(SLAB, a4=(0, 0, 2.0))
    assert relaxation_faults(SLAB, top) == ["the slab split, by 2.0 Å"]


@given(st.lists(st.floats(-0.7, 0.7), min_size=5, max_size=5), st.floats(-3, 3))
def test_what_a_relaxation_may_do_is_no_fault(heights, sideways):
    moves = {f"a{i}": (sideways, 0, dz) for i, dz in enumerate(heights)}
    assert relaxation_faults(SLAB, shifted(SLAB, **moves)) == []


def test_a_film_that_left_the_substrate_or_turned_over(done):
    curve, relaxed, slabs = done
    moves = {f"a{i}": (0, 0, 3.0) for i in relaxed.film_indices}
    away = with_geometry(relaxed, shifted(relaxed.geometry, **moves))
    assert doubts(curve, away, slabs) == ["interface: the film walked away, by 3.0 Å"]
    z = np.array(relaxed.geometry.positions_A)[relaxed.film_indices, 2]
    moves = {
        f"a{i}": (0, 0, 2 * (z.mean() - h)) for i, h in zip(relaxed.film_indices, z, strict=True)
    }
    over = with_geometry(relaxed, shifted(relaxed.geometry, **moves))
    assert doubts(curve, over, slabs) == ["interface: the film turned over"]


# The state of the SCF


def binding(W, gap_A, length_A, gaps, shifts=None) -> CurveDocument:
    """A curve that follows the universal binding relation, with points shifted, J/m2."""
    area, apart = 30.0, -220.0
    points = []
    for i, d in enumerate(gaps):
        x = (d - gap_A) / length_A
        E_J_m2 = -W * (1 + x) * np.exp(-x) + (shifts or {}).get(i, 0.0)
        energy = Energy(energy_eV=apart + E_J_m2 * area / 16.02176634)
        points.append(CurvePoint(registry=(0.0, 0.0), gap_A=d, energy=energy))
    recipe = Recipe(kind="curve", calculator={}, parameters={}, crystals={})
    return CurveDocument(
        hash=recipe.hash, label="t", recipe=recipe, status="done", points=points, area_A2=area,
        film=Energy(energy_eV=-20.0), substrate=Energy(energy_eV=-200.0),
        geometry=Geometry.from_ase(fcc100("Au", (1, 1, 2), vacuum=5)), film_indices=[1],
    )  # fmt: skip


GAPS = [1.9, 2.2, 2.5, 2.8, 3.1]


@settings(max_examples=50)
@given(st.floats(0.1, 3.0), st.floats(2.25, 2.75), st.floats(0.4, 1.0))
def test_a_curve_of_one_state_is_not_doubted(W, gap_A, length_A):
    assert other_states(binding(W, gap_A, length_A, GAPS)) == []


@pytest.mark.parametrize("point", range(1, 5))
@pytest.mark.parametrize("W", [0.2, 1.0])
def test_a_point_of_another_state_is_found(W, point):
    for shift in (0.35 * W, -0.35 * W):
        (flag,) = other_states(binding(W, 2.5, 0.7, GAPS, {point: shift}))
        assert flag.startswith("odd binding curve")


def test_three_points_are_judged_by_their_shape():
    assert other_states(binding(0.4, 2.5, 0.7, GAPS[1:4])) == []
    (flag,) = other_states(binding(0.4, 2.5, 0.7, GAPS[1:4], {1: 0.2}))
    assert "2.50 Å lies" in flag


def test_a_gap_that_stands_twice_is_told():
    curve = binding(0.4, 2.5, 0.7, GAPS)
    twice = curve.model_copy(update={"points": [*curve.points, curve.points[-1]]})
    (flag,) = other_states(twice)
    assert "a gap is given twice" in flag
