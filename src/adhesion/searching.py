"""The search as a job: many candidates, one calculator, energies only.

Slabs are used as cut, strained into the common cell. Each registry is followed outwards or
inwards from where atoms touch until its lowest energy lies between two gaps. Thousands of
energies are one job, with a checkpoint every few seconds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from jobflow import Flow, job
from pymatgen.io.ase import AseAtomsAdaptor

from adhesion.calculators import identity
from adhesion.calculators.makers import maker_for
from adhesion.energetics import next_gap, surface_energy, work_of_adhesion
from adhesion.errors import CalculationError, InputError
from adhesion.flows import WorkOfAdhesionMaker
from adhesion.jobs import (
    CalculationMaker,
    Meter,
    Workspace,
    as_document,
    new_calculator,
    versions,
)
from adhesion.matching import match_of
from adhesion.materials import Material
from adhesion.planning import Plan, kpoint_mesh
from adhesion.schemas import Geometry, Recipe, SearchDocument, SearchedPairing, SearchPoint
from adhesion.search import Candidate, Face, Pairing, candidates
from adhesion.slabs import terminations

MAX_GAPS = 7
"""Gaps of one registry, so that a curve that does not bind ends."""
BINDS_J_M2 = 0.005
"""A pair whose largest W is below this stays apart, however low its gamma_int."""
SAVE_EVERY_S = 3.0
MOST_LISTED = 200

Point = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """How much a search may spend.

    Attributes
    ----------
    pairings : int
        Faces and cells to try, the first of the ranked list.
    energies : int
        Energies in all; the pairing at which they run out is the last.
    keep : int
        Pairings to keep for the next level.
    """

    pairings: int = 8
    energies: int = 2000
    keep: int = 3


def search_flow(plan: Plan, ranked: Plan, budget: Budget) -> Flow:
    """Return the flow of one search: the two bulks, then the candidates.

    Parameters
    ----------
    plan : Plan
        Of the interface with the calculator that searches.
    ranked : Plan
        Of the interface at the level that is searched for: its list of pairings is tried.
    budget : Budget

    Raises
    ------
    InputError
        If the interface is a ready-made one: there is nothing to choose.
    """
    if plan.film is None or plan.substrate is None:
        raise InputError(
            "a ready-made interface leaves nothing to search",
            where=plan.spec.label,
            hint="leave out structure and film_atoms",
        )
    recipe = _recipe(plan, ranked, budget)
    bulks: dict[str, Any] = {}
    WorkOfAdhesionMaker()._bulks(plan, bulks)
    label = f"{plan.spec.label} search"
    made = SearchMaker(name=label, label=label).make(
        recipe=recipe.model_dump(mode="json"),
        settings=plan.settings,
        bulk_settings=plan.bulk_settings,
        film=plan.film.material,
        substrate=plan.substrate.material,
        film_bulk=bulks["bulk_film"].output,
        substrate_bulk=bulks["bulk_substrate"].output,
        listed=_listed(ranked),
        counts={"n_candidates": ranked.n_candidates, "n_pairings": len(ranked.pairings)},
    )
    made.set_uuid(recipe.hash)
    unique = {j.uuid: j for j in [*bulks.values(), made]}
    return Flow(list(unique.values()), name=label)


def _recipe(plan: Plan, ranked: Plan, budget: Budget) -> Recipe:
    """All that decides the energies and what is tried."""
    assert plan.film is not None
    assert plan.substrate is not None
    level = plan.level
    return Recipe(
        kind="search",
        calculator={k: v for k, v in identity(plan.settings).items() if k != "kpoints"},
        parameters={
            "film_miller": list(plan.film.termination.miller),
            "substrate_miller": list(plan.substrate.termination.miller),
            "film_thickness": plan.film.thickness,
            "substrate_thickness": plan.substrate.thickness,
            "share": round(plan.share, 6),
            "pairings": [{k: row[k] for k in PAIRING_KEYS} for row in _first(ranked, budget)],
            "energies": budget.energies,
            "keep": budget.keep,
            "gap_step_A": level.gap_step_A,
            "kpoint_length_A": level.kpoint_length_A,
            "bulk_calculators": {side: identity(s) for side, s in plan.bulk_settings.items()},
        },
        crystals={side: getattr(plan, side).material.checksum for side in ("film", "substrate")},
        parents={r: plan.recipes[r].hash for r in ("bulk_film", "bulk_substrate")},
    )


PAIRING_KEYS = (
    "rank",
    "film_termination",
    "substrate_termination",
    "film_transformation",
    "substrate_transformation",
)


def _first(plan: Plan, budget: Budget) -> list[dict[str, Any]]:
    """Rows to try: the best cell of every pair of faces, then the rest of the list."""
    rows = _listed(plan)
    best: dict[Any, dict[str, Any]] = {}
    for row in rows:
        best.setdefault((row["film_termination"], row["substrate_termination"]), row)
    heads = list(best.values())
    others = [row for row in rows if row not in heads]
    return [*heads, *others][: budget.pairings]


def _listed(plan: Plan) -> list[dict[str, Any]]:
    """Return the pairings of a plan as plain data, as far as they are listed."""
    rows = []
    for rank, pairing in enumerate(plan.pairings[:MOST_LISTED], start=1):
        film, substrate = pairing.match.strains(pairing.share)
        rows.append(
            {
                "rank": rank,
                "film_termination": pairing.film.termination.name,
                "substrate_termination": pairing.substrate.termination.name,
                "film_transformation": [list(v) for v in pairing.match.film_transformation],
                "substrate_transformation": [
                    list(v) for v in pairing.match.substrate_transformation
                ],
                "n_atoms": pairing.n_atoms,
                "area_A2": pairing.area_A2,
                "film_strain_percent": [round(100 * s, 3) for s in film],
                "substrate_strain_percent": [round(100 * s, 3) for s in substrate],
                "flat_registry": pairing.flat,
                "n_registries": 1 if pairing.flat else len(pairing.grid()),
            }
        )
    return rows


@dataclass
class SearchMaker(CalculationMaker):
    """Evaluate the candidates of one interface with one calculator, energy only, in one job.

    The best cell of every pair of faces is tried, then the next of the ranked list; of each,
    all inequivalent registries, the best fit first, until the budget of energies is spent. A
    registry that is flat by construction is one point. The best pairings are kept for the next
    level; all that was tried, kept and dropped stands in the document.
    """

    name: str = "search"

    @job(output_schema=SearchDocument)
    def make(
        self,
        recipe: dict[str, Any],
        settings: dict[str, Any],
        bulk_settings: dict[str, dict[str, Any]],
        film: Material,
        substrate: Material,
        film_bulk: Any,
        substrate_bulk: Any,
        listed: list[dict[str, Any]],
        counts: dict[str, int],
    ) -> SearchDocument:
        """Search.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'search'.
        settings : dict
            Resolved settings of the calculator.
        bulk_settings : dict
            The same for the bulk of each side, with k-points of its own.
        film, substrate : Material
            The two crystals.
        film_bulk, substrate_bulk : BulkDocument
            Their bulks; both lattices decide the common cells.
        listed : list of dict
            The ranked pairings, for what was not tried.
        counts : dict
            n_candidates and n_pairings of the plan.
        """
        parsed = Recipe.model_validate(recipe)
        bulks = {"film": as_document(film_bulk), "substrate": as_document(substrate_bulk)}
        crystals = {"film": film, "substrate": substrate}
        run = _Search(self, parsed, settings, bulk_settings, crystals, bulks)
        rows = {row["rank"]: row for row in listed}
        for spec in parsed.parameters["pairings"]:
            run.try_pairing(spec, rows[spec["rank"]])
        return run.document(listed, counts)


class _Search:
    """State of one search while it is computed."""

    def __init__(
        self,
        maker: SearchMaker,
        recipe: Recipe,
        settings: dict[str, Any],
        bulk_settings: dict[str, dict[str, Any]],
        materials: dict[str, Material],
        bulks: dict[str, Any],
    ) -> None:
        self.maker, self.recipe = maker, recipe
        self.settings, self.bulk_settings = settings, bulk_settings
        self.crystals = {
            side: AseAtomsAdaptor.get_structure(bulks[side].geometry.to_ase()) for side in materials
        }
        self.materials = {s: m.with_structure(self.crystals[s]) for s, m in materials.items()}
        self.workspace = Workspace(recipe)
        past = self.workspace.load()
        self.meter = Meter(past)
        self.energies: dict[str, float] = dict(past.get("energies", {}))
        self.spent = 0
        self.saved = time.monotonic()
        self.calculators: dict[Any, Any] = {}
        self.tried: list[SearchedPairing] = []
        self.best: tuple[float, Candidate, float] | None = None
        self.faces: dict[tuple[str, str], Face] = {}
        self.references = self._bulk_energies()

    def face(self, side: str, name: str) -> Face:
        """Return a face of the bulk as computed, by name."""
        if (side, name) not in self.faces:
            parameters, material = self.recipe.parameters, self.materials[side]
            for found in terminations(material, parameters[f"{side}_miller"]):
                key = side, found.name
                self.faces[key] = Face(material, found, parameters[f"{side}_thickness"])
        if (side, name) not in self.faces:
            raise CalculationError(
                f"at the relaxed lattice {self.materials[side].name} has no termination {name!r}"
            )
        return self.faces[side, name]

    def pairing(self, spec: dict[str, Any]) -> Pairing:
        """Return a pairing of the recipe at the lattices of the bulks."""
        film, substrate = (
            self.face(side, spec[f"{side}_termination"]) for side in ("film", "substrate")
        )
        match = match_of(
            film.termination.mesh_A,
            substrate.termination.mesh_A,
            spec["film_transformation"],
            spec["substrate_transformation"],
        )
        return Pairing(film, substrate, match, self.recipe.parameters["share"])

    def energy(self, name: str, atoms: Atoms, *, bulk: str = "") -> float:
        """Compute one energy, or take it from the checkpoint; both count. Bulk: of which side."""
        self.spent += 1
        if name not in self.energies:
            atoms = atoms.copy()
            atoms.calc = self._calculator(atoms, bulk=bulk)
            energy = float(atoms.get_potential_energy())
            if not np.isfinite(energy):
                raise CalculationError("the calculator returned an energy that is no number")
            self.energies[name] = energy
            if time.monotonic() - self.saved > SAVE_EVERY_S:
                self.save()
        return self.energies[name]

    def save(self) -> None:
        """Write the checkpoint and a line of progress."""
        self.workspace.save(energies=self.energies, **self.meter.read())
        self.workspace.progress(f"{len(self.energies)} energies")
        self.saved = time.monotonic()

    def _calculator(self, atoms: Atoms, *, bulk: str) -> Any:
        """One calculator for all cells; with k-points one for each mesh of them."""
        mesh = None
        settings = self.settings
        if "kpoints" in settings:
            mesh = kpoint_mesh(self.recipe.parameters["kpoint_length_A"], atoms.cell[:])
            settings = self.bulk_settings[bulk] if bulk else settings | {"kpoints": mesh}
        if mesh is not None or mesh not in self.calculators:
            # a plane-wave calculator is made anew for each cell
            self.calculators[mesh] = new_calculator(maker_for(settings), self.workspace, self.meter)
        return self.calculators[mesh]

    def _bulk_energies(self) -> dict[str, Any]:
        """Formula and energy per formula unit of both bulks, each at k-points of its own."""
        found = {}
        for side, crystal in self.crystals.items():
            atoms = AseAtomsAdaptor.get_atoms(crystal, msonable=False)
            atoms.info.clear()
            _, n = crystal.composition.get_integer_formula_and_factor()
            units = {e: round(k / n) for e, k in crystal.composition.get_el_amt_dict().items()}
            found[side] = (units, self.energy(f"bulk {side}", atoms, bulk=side) / n)
        return found

    def try_pairing(self, spec: dict[str, Any], row: dict[str, Any]) -> None:
        """Evaluate the registries of one pairing, as far as the budget goes."""
        limit = self.recipe.parameters["energies"]
        if self.spent + 4 > limit:
            return
        pairing = self.pairing(spec)
        ranked = candidates(pairing)
        height_A = _height(pairing, ranked)
        together = ranked[0].pairing.at(ranked[0].registry, ranked[0].gap_A)
        name = f"pairing {row['rank']}"
        alone = [
            self.energy(f"{name} {side}", _in_box(atoms, height_A))
            for side, atoms in (
                ("film", together.film_atoms()),
                ("substrate", together.substrate_atoms()),
            )
        ]
        points: list[Point] = []
        offset_A = 0.0
        for n_tried, candidate in enumerate(ranked):
            if self.spent >= limit:
                break
            found = self._follow(name, candidate, offset_A, height_A, alone, limit)
            points += found
            best = max(found, key=lambda p: p["W_J_m2"])
            if n_tried == 0:
                offset_A = best["gap_A"] - candidate.gap_A
            if self.best is None or best["W_J_m2"] > self.best[0]:
                self.best = (best["W_J_m2"], candidate, best["gap_A"])
        gamma, reason = self._gamma_int(pairing, alone, points)
        self.tried.append(_searched(row, ranked, points, gamma, reason))

    def _follow(
        self,
        name: str,
        candidate: Candidate,
        offset_A: float,
        height_A: float,
        alone: Sequence[float],
        limit: int,
    ) -> list[Point]:
        """Add gaps at one registry until the largest W lies between two others."""
        step = self.recipe.parameters["gap_step_A"]
        found: dict[float, float] = {}
        x, y = candidate.registry
        gap: float | None = candidate.gap_A + offset_A
        while gap is not None and len(found) < MAX_GAPS and (not found or self.spent < limit):
            gap = round(gap, 4)
            atoms = candidate.pairing.at(candidate.registry, gap).atoms
            label = f"{name} registry {x:.4f} {y:.4f} gap {gap:.4f} Å"
            found[gap] = self.energy(label, _in_box(atoms, height_A))
            gap = next_gap(list(found), list(found.values()), step)
        area = candidate.pairing.area_A2
        return [
            {
                "registry": (x, y),
                "gap_A": g,
                "W_J_m2": work_of_adhesion(alone[0], alone[1], e, area),
            }
            for g, e in sorted(found.items())
        ]

    def _gamma_int(
        self, pairing: Pairing, alone: Sequence[float], points: list[Point]
    ) -> tuple[float | None, str]:
        """gamma_int = gamma_film + gamma_substrate - W, each gamma from half of its slab's excess.

        Surplus atoms of a slab cost the film's bulk energy per atom, where they are of the
        film's element.
        """
        gammas = []
        low, high = pairing.slabs
        for side, atoms, energy in (("film", high, alone[0]), ("substrate", low, alone[1])):
            units, unit_eV = self.references[side]
            counts = Counter(atoms.get_chemical_symbols())
            split = _formula_units(counts, units, set(self.potentials))
            if split is None:
                return None, f"no chemical potential of what the {side} has beyond its formula"
            n, surplus = split
            cost = n * unit_eV + sum(k * self.potentials[e] for e, k in surplus.items())
            gammas.append(surface_energy(energy, cost, 1, pairing.area_A2))
        return sum(gammas) - max(p["W_J_m2"] for p in points), ""

    @property
    def potentials(self) -> dict[str, float]:
        """Chemical potential of the film's element: its bulk energy per atom, eV."""
        units, energy = self.references["film"]
        return {e: energy / n for e, n in units.items()} if len(units) == 1 else {}

    def document(self, listed: list[dict[str, Any]], counts: dict[str, int]) -> SearchDocument:
        """Return all that was tried, kept and dropped."""
        self.save()
        by_gamma = bool(self.tried) and all(p.gamma_int_J_m2 is not None for p in self.tried)
        rows = _judged(self.tried, by_gamma=by_gamma, keep=self.recipe.parameters["keep"])
        wanted = {spec["rank"] for spec in self.recipe.parameters["pairings"]}
        tried = {row.rank for row in rows}
        spent = f"the {self.recipe.parameters['energies']} energies allowed were spent"
        rows += [
            SearchedPairing(
                **row,
                state="not tried",
                reason=spent if row["rank"] in wanted else f"only {len(wanted)} were asked for",
            )
            for row in listed
            if row["rank"] not in tried
        ]
        content: dict[str, Any] = {}
        if self.best is not None:
            _, candidate, gap_A = self.best
            interface = candidate.pairing.at(candidate.registry, gap_A)
            content = {
                "geometry": Geometry.from_ase(interface.atoms),
                "film_indices": list(interface.film),
            }
        return SearchDocument(
            hash=self.recipe.hash,
            label=self.maker.label,
            recipe=self.recipe,
            status="done" if self.tried else "failed",
            reason="" if self.tried else "the budget is too small for one pairing",
            versions=versions(self.settings["name"]),
            proxy=bool(self.settings.get("proxy")),
            n_candidates=counts["n_candidates"],
            n_pairings=counts["n_pairings"],
            n_energies=self.spent,
            ranked_by="gamma_int" if by_gamma else "W",
            chemical_potentials_eV=self.potentials,
            pairings=rows,
            **content,
            **self.meter.read(),
        )


def _height(pairing: Pairing, ranked: Sequence[Candidate]) -> float:
    """One cell height for all points of a pairing, Å."""
    extents = [float(np.ptp(s.positions[:, 2])) for s in pairing.slabs]
    return round(sum(extents) + max(c.gap_A for c in ranked) + 14.0, 1)


def _in_box(atoms: Atoms, height_A: float) -> Atoms:
    """Return atoms in a cell of the given height, the vacuum on both sides."""
    boxed = atoms.copy()
    cell = np.array(boxed.cell[:])
    cell[2] = [0.0, 0.0, height_A]
    boxed.set_cell(cell)
    boxed.positions[:, 2] += 5.0 - boxed.positions[:, 2].min()
    return boxed


def _formula_units(
    counts: Counter[str], units: dict[str, int], known: set[str]
) -> tuple[int, dict[str, int]] | None:
    """Formula units of a slab, and its surplus atoms of the known elements; None if others are."""
    fixed = [e for e in units if e not in known] or list(units)[:1]
    n = counts[fixed[0]] // units[fixed[0]]
    surplus = {e: counts[e] - n * k for e, k in units.items()}
    surplus = {e: k for e, k in surplus.items() if k}
    return (n, surplus) if surplus.keys() <= known else None


def _searched(
    row: dict[str, Any],
    ranked: Sequence[Candidate],
    points: list[Point],
    gamma: float | None,
    reason: str,
) -> SearchedPairing:
    """Sum up the points of one pairing."""
    best = max(points, key=lambda p: p["W_J_m2"])
    peaks: dict[Any, float] = {}
    for p in points:
        peaks[p["registry"]] = max(p["W_J_m2"], peaks.get(p["registry"], -np.inf))
    return SearchedPairing(
        **(row | {"n_registries": len(ranked)}),
        state="dropped",
        reason="",
        bonds_per_A2=ranked[0].bonds_per_A2,
        registry=best["registry"],
        gap_A=best["gap_A"],
        W_J_m2=best["W_J_m2"],
        spread_J_m2=max(peaks.values()) - min(peaks.values()),
        gamma_int_J_m2=gamma,
        gamma_int_reason=reason,
        points=[SearchPoint(**p) for p in points],
    )


def _judged(
    tried: Sequence[SearchedPairing], *, by_gamma: bool, keep: int
) -> list[SearchedPairing]:
    """Rank what was tried, best first, and say why each was kept or dropped."""

    def badness(p: SearchedPairing) -> float:
        value = p.gamma_int_J_m2 if by_gamma else p.W_J_m2
        assert value is not None
        return value if by_gamma else -value

    ranked = sorted(tried, key=badness)
    judged = []
    for place, pairing in enumerate(ranked, start=1):
        state = "kept" if place <= keep else "dropped"
        above = badness(pairing) - badness(ranked[0])
        what = "gamma_int" if by_gamma else "W"
        reason = (
            f"best {what} of {len(ranked)}"
            if place == 1
            else f"{above:.3f} {'above' if by_gamma else 'below'} it"
        )
        if pairing.W_J_m2 is not None and pairing.W_J_m2 < BINDS_J_M2:
            reason += ", does not bind"
        judged.append(pairing.model_copy(update={"state": state, "reason": reason}))
    return judged
