"""Documents of what is computed. Energies in eV, lengths in Å, W in J/m2."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from pydantic import BaseModel, ConfigDict, Field

PROTOCOL = 1
"""Raise it when the meaning of a recipe changes: old results are then no longer taken up."""

Kind = Literal["bulk", "slab", "curve", "interface", "surface", "control", "search"]
Status = Literal["done", "unconverged", "failed", "missing"]
Vector = tuple[float, float, float]


class Document(BaseModel):
    """Base of all documents: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Geometry(Document):
    """Atoms in a periodic cell."""

    symbols: list[str] = Field(description="Chemical symbols, one per atom.")
    cell_A: list[Vector] = Field(description="Cell vectors as rows, Å, shape (3, 3).")
    positions_A: list[Vector] = Field(description="Cartesian positions, Å, shape (n, 3).")
    pbc: tuple[bool, bool, bool] = Field(description="Periodic along each cell vector.")
    fixed: list[int] = Field(default=[], description="Indices of atoms held in a relaxation.")

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Geometry:
        """Take the geometry of an ASE Atoms object."""
        fixed = [c.get_indices() for c in atoms.constraints if isinstance(c, FixAtoms)]
        return cls(
            symbols=list(atoms.get_chemical_symbols()),
            cell_A=np.asarray(atoms.cell[:]).round(10).tolist(),
            positions_A=atoms.positions.round(10).tolist(),
            pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
            fixed=sorted({int(i) for group in fixed for i in group}),
        )

    def to_ase(self) -> Atoms:
        """Return the same as an ASE Atoms object."""
        atoms = Atoms(self.symbols, self.positions_A, cell=self.cell_A, pbc=self.pbc)
        if self.fixed:
            atoms.set_constraint(FixAtoms(self.fixed))
        return atoms


class Recipe(Document):
    """All that decides the result of a calculation, and so its identity.

    The hash covers the input crystals, the calculator with its settings, the
    protocol version and the hashes of the calculations it starts from; not
    relaxed coordinates, which differ in the last digit between machines.
    """

    kind: Kind = Field(
        description="bulk, slab, curve (binding curve), interface (relaxed), surface, control,"
        " search."
    )
    calculator: dict[str, Any] = Field(description="Calculator name and resolved settings.")
    parameters: dict[str, Any] = Field(description="Geometry and protocol of the calculation.")
    crystals: dict[str, str] = Field(description="Role to checksum of the input crystal.")
    parents: dict[str, str] = Field(default={}, description="Role to hash of a parent.")
    protocol: int = PROTOCOL

    @property
    def hash(self) -> str:
        """32 hexadecimal digits of the recipe's SHA-256."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Energy(Document):
    """Total energy of one geometry, with what the guard compares."""

    energy_eV: float = Field(description="Total energy, eV (extrapolated to zero width).")
    d3_eV: float | None = Field(
        default=None, description="D3(BJ) pairwise energy, eV, not in energy_eV."
    )
    scf_iterations: int | None = Field(default=None, description="SCF iterations it took.")


class CalculationDocument(Document):
    """What every calculation leaves behind, whatever its kind."""

    hash: str = Field(description="Hash of the recipe; the document's name.")
    label: str = Field(description="For people, for example 'Na(001)/Pb(001) curve'.")
    recipe: Recipe
    status: Status = Field(description="done, unconverged or failed.")
    reason: str = Field(default="", description="Why it is not done.")
    proxy: bool = Field(default=False, description="Energies of other elements: plumbing only.")
    versions: dict[str, str] = Field(default={}, description="Code and dataset versions.")
    cpu_seconds: float = Field(default=0.0, description="CPU time of the process, s.")
    wall_seconds: float = Field(default=0.0, description="Wall time, s.")
    scf_iterations: int | None = Field(default=None, description="All SCF iterations together.")
    notes: list[str] = Field(default=[], description="What a reader should know.")


class BulkDocument(CalculationDocument):
    """A bulk crystal at the level's own lattice."""

    geometry: Geometry | None = Field(
        default=None, description="Conventional cell at that lattice."
    )
    energy_eV: float | None = Field(
        default=None, description="Energy of the cell, eV; null where not computed."
    )
    volumes_A3: list[float] = Field(default=[], description="Volumes of the equation of state, Å3.")
    energies_eV: list[float] = Field(default=[], description="Energies at these volumes, eV.")
    bulk_modulus_GPa: float | None = Field(
        default=None, description="From the equation of state, GPa."
    )


class SlabDocument(CalculationDocument):
    """A slab in the interface's common cell, relaxed or as cut."""

    geometry: Geometry | None = None
    energy_eV: float | None = Field(
        default=None, description="Energy of the last geometry, eV; null if as cut."
    )
    relaxed: bool = Field(
        default=False, description="False: cut from the bulk, strained, not relaxed."
    )
    fmax_start_eV_A: float | None = Field(
        default=None, description="Largest force at the start, eV/Å."
    )
    fmax_end_eV_A: float | None = Field(default=None, description="Largest force at the end, eV/Å.")
    ionic_steps: int = 0
    scf_iterations_saved: int | None = Field(
        default=None,
        description="Fewer than if every step had taken as many as the first, from atoms.",
    )
    start_energies_eV: dict[str, float] = Field(
        default={}, description="Relaxed energy from each start, where there were two, eV."
    )
    strain_percent: tuple[float, float] | None = Field(
        default=None, description="Principal strains from the level's bulk to the common cell, %."
    )


class CurvePoint(Document):
    """One rigid interface: film and substrate at one registry and gap."""

    registry: tuple[float, float] = Field(description="Film shift in fractions of the common cell.")
    gap_A: float = Field(description="Lowest film atom minus highest substrate atom, Å.")
    energy: Energy


class CurveDocument(CalculationDocument):
    """A binding curve: the two slabs alone and together, in one cell."""

    film: Energy | None = None
    substrate: Energy | None = None
    points: list[CurvePoint] = []
    geometry: Geometry | None = Field(
        default=None, description="The interface at its lowest energy."
    )
    film_indices: list[int] = Field(default=[], description="Which atoms of it are the film.")
    area_A2: float | None = Field(default=None, description="|a x b| of the common cell, Å2.")
    film_strain_percent: tuple[float, float] | None = None
    substrate_strain_percent: tuple[float, float] | None = None


class InterfaceDocument(CalculationDocument):
    """A relaxed interface and its two sides pulled apart frozen."""

    geometry: Geometry | None = None
    film_indices: list[int] = []
    area_A2: float | None = None
    interface: Energy | None = None
    film_frozen: Energy | None = None
    substrate_frozen: Energy | None = None
    fmax_start_eV_A: float | None = None
    fmax_end_eV_A: float | None = None
    ionic_steps: int = 0
    scf_iterations_saved: int | None = Field(
        default=None,
        description="Fewer than if every step had taken as many as the first, from atoms.",
    )
    max_displacement_A: float | None = Field(default=None, description="From the rigid start, Å.")


class SurfaceDocument(CalculationDocument):
    """Slabs of one crystal on one surface mesh, and the bulk in the same mesh.

    In the plane all have the same k-points, so that E(N) = 2 A gamma + N E_bulk holds
    with one set of settings.
    """

    area_A2: float | None = Field(default=None, description="Of one face, Å2.")
    atoms: list[int] = Field(default=[], description="Atoms of each slab.")
    energies_eV: list[float] = Field(default=[], description="Energy of each slab, eV.")
    bulk_energy_eV: float | None = Field(
        default=None, description="Of one atom in the bulk on the same mesh, eV."
    )
    strain_percent: tuple[float, float] | None = Field(
        default=None, description="Principal strains of the mesh, %; null at the own lattice."
    )
    relaxed: bool = False
    fmax_end_eV_A: float | None = Field(default=None, description="Largest force left, eV/Å.")


class ControlDocument(CalculationDocument):
    """Energies of one arrangement of film and substrate, for a control."""

    area_A2: float | None = Field(default=None, description="|a x b| of the cell, Å2.")
    film: Energy | None = None
    substrate: Energy | None = None
    together: Energy | None = None
    gap_A: float | None = None


class SearchPoint(Document):
    """One energy of a search."""

    registry: tuple[float, float] = Field(description="Film shift in fractions of the common cell.")
    gap_A: float = Field(description="Lowest film atom minus highest substrate atom, Å.")
    W_J_m2: float = Field(description="(E_film + E_substrate - E) / A of the slabs as cut.")


class SearchedPairing(Document):
    """A face on a face in one common cell, with what a search found on it."""

    rank: int = Field(description="Place in the list of 'adhesion plan', by geometry.")
    film_termination: str
    substrate_termination: str
    film_transformation: list[list[int]]
    substrate_transformation: list[list[int]]
    n_atoms: int
    area_A2: float
    film_strain_percent: tuple[float, float]
    substrate_strain_percent: tuple[float, float]
    flat_registry: bool = Field(description="The registry cannot matter by construction.")
    n_registries: int = Field(description="Inequivalent registries.")
    state: Literal["kept", "dropped", "not tried"]
    reason: str = Field(description="Why it was kept, dropped or not tried.")
    bonds_per_A2: float | None = Field(default=None, description="Best geometric score, 1/Å2.")
    registry: tuple[float, float] | None = Field(default=None, description="Of the largest W.")
    gap_A: float | None = Field(default=None, description="Of the largest W, Å.")
    W_J_m2: float | None = Field(default=None, description="Largest W found.")
    spread_J_m2: float | None = Field(
        default=None, description="Largest less smallest W of the registries, each at its best gap."
    )
    gamma_int_J_m2: float | None = Field(
        default=None, description="gamma_film + gamma_substrate - W, strained slabs against bulk."
    )
    gamma_int_reason: str = Field(default="", description="Why there is no gamma_int.")
    points: list[SearchPoint] = Field(default=[], description="The energy map.")


class SearchDocument(CalculationDocument):
    """Candidates of one interface, tried with one calculator, energy only."""

    n_candidates: int = Field(default=0, description="Registries of all pairings.")
    n_pairings: int = Field(default=0, description="Faces and cells within the limits.")
    n_energies: int = Field(default=0, description="Energies computed, bulks and slabs included.")
    ranked_by: Literal["gamma_int", "W"] = Field(
        default="W", description="What the tried ones are ranked by."
    )
    chemical_potentials_eV: dict[str, float] = Field(
        default={}, description="Of a slab's surplus atoms: the bulk film's energy per atom, eV."
    )
    pairings: list[SearchedPairing] = []
    geometry: Geometry | None = Field(default=None, description="The best candidate, as built.")
    film_indices: list[int] = []


DOCUMENTS: dict[str, type[CalculationDocument]] = {
    "bulk": BulkDocument,
    "slab": SlabDocument,
    "curve": CurveDocument,
    "interface": InterfaceDocument,
    "surface": SurfaceDocument,
    "control": ControlDocument,
    "search": SearchDocument,
}


def parse_document(data: dict[str, Any]) -> CalculationDocument:
    """Turn stored data back into the document of its kind."""
    return DOCUMENTS[data["recipe"]["kind"]].model_validate(data)


class ContactAngle(Document):
    """A contact angle from Young-Dupré for one surface tension."""

    sigma_J_m2: float = Field(description="Surface tension of the liquid film, J/m2.")
    sigma_source: str = Field(description="Where sigma comes from.")
    theta_deg: float = Field(description="0 for complete wetting, 180 for no adhesion.")
    regime: Literal["complete wetting", "partial", "no adhesion"]
    from_quantity: Literal["W_ad", "W_curve"] = Field(description="Which W it was made from.")
    sigma_name: str = Field(
        default="", description="paper, liquid Na, own (computed gamma of the film) or empty."
    )
    theta_low_deg: float | None = Field(
        default=None, description="Lowest angle within the errors of W and sigma; null without."
    )
    theta_high_deg: float | None = Field(
        default=None, description="Highest angle within the errors of W and sigma; null without."
    )


class Formation(Document):
    """Formation energy of a compound of film and substrate, or why it is not known."""

    reaction: str = Field(description="As '15 Na + 4 Pb -> Na15Pb4'.")
    per_formula_eV: float | None = Field(
        default=None, description="Energy of the compound less its elements'; < 0: it forms."
    )
    per_atom_eV: float | None = Field(default=None, description="The same per atom.")
    per_film_atom_eV: float | None = Field(default=None, description="Per atom of the film.")
    per_area_J_m2: float | None = Field(
        default=None, description="When all atoms in the substrate's top layer are used up."
    )
    source: str = Field(description="Of the crystal structure, with its trust.")
    proxy: bool = Field(default=False, description="Other elements stood in for the real ones.")
    notes: list[str] = []
    reason: str = Field(default="", description="Why the energies are null; empty otherwise.")


class AdhesionRow(Document):
    """One row of the adhesion table: the contract that other tools read."""

    interface: str = Field(description="As 'Na(001)/Pb(001)'.")
    status: Status
    reason: str = ""
    source: Literal["computed", "archive", "both", ""] = ""
    calculator: str
    functional: str
    level: str
    proxy: bool = False
    W_curve_J_m2: float | None = Field(
        default=None, description="Relaxed slabs brought together rigidly."
    )
    W_ad_J_m2: float | None = Field(default=None, description="Slabs and interface relaxed.")
    W_rigid_J_m2: float | None = Field(
        default=None, description="Relaxed interface pulled apart frozen."
    )
    W_ad_D3_J_m2: float | None = Field(
        default=None, description="W_ad (else W_curve) with D3(BJ) on the same geometries."
    )
    W_ad_error_J_m2: float | None = Field(
        default=None,
        description="All error_* that are known, in quadrature; null without a convergence ladder.",
    )
    area_A2: float | None = None
    n_atoms: int | None = None
    film_layers: int | None = None
    substrate_layers: int | None = None
    film_strain_percent: tuple[float, float] | None = None
    substrate_strain_percent: tuple[float, float] | None = None
    termination: str | None = None
    gap_A: float | None = None
    n_gaps: int | None = None
    n_candidates: int | None = None
    fmax_start_eV_A: float | None = Field(
        default=None, description="Largest force where the relaxations behind W began."
    )
    fmax_eV_A: float | None = Field(
        default=None, description="Largest force left in what W was made from."
    )
    gamma_film_J_m2: float | None = Field(
        default=None, description="Surface energy of the film at its own lattice."
    )
    gamma_substrate_J_m2: float | None = Field(
        default=None, description="Surface energy of the substrate at its own lattice."
    )
    gamma_film_strained_J_m2: float | None = Field(
        default=None, description="Surface energy of the film in the common cell."
    )
    gamma_substrate_strained_J_m2: float | None = Field(
        default=None, description="Surface energy of the substrate in the common cell."
    )
    gamma_int_J_m2: float | None = Field(
        default=None, description="gamma of both sides in the common cell less W_ad (else W_curve)."
    )
    strain_energy_film_J_m2: float | None = Field(
        default=None, description="What straining the film's slab cost, per area; no part of W."
    )
    strain_energy_substrate_J_m2: float | None = Field(
        default=None, description="What straining the substrate's slab cost; no part of W."
    )
    W_fit_J_m2: float | None = Field(
        default=None, description="Depth of the universal binding relation, best registry."
    )
    gap_fit_A: float | None = Field(default=None, description="Its gap of lowest energy.")
    length_fit_A: float | None = Field(default=None, description="Its scaling length.")
    peak_stress_GPa: float | None = Field(
        default=None, description="Its largest tensile stress, W / (e l)."
    )
    gap_relaxed_A: float | None = Field(
        default=None, description="Lowest film atom minus highest substrate atom, relaxed."
    )
    max_displacement_A: float | None = Field(
        default=None, description="Of any atom, from the rigid start to the relaxed interface."
    )
    layers_crossed: int | None = Field(
        default=None, description="Layers of the other side that an atom has passed; 0: none."
    )
    purely_adhesive: bool | None = Field(
        default=None, description="False where layers crossed or the film changed its stacking."
    )
    registry_spread_J_m2: float | None = Field(
        default=None, description="Best less worst W of the registries computed."
    )
    error_film_layers_J_m2: float | None = Field(default=None, description="From the ladder.")
    error_substrate_layers_J_m2: float | None = Field(default=None, description="From the ladder.")
    error_kpoints_J_m2: float | None = Field(default=None, description="From the ladder.")
    error_cutoff_J_m2: float | None = Field(default=None, description="From the ladder.")
    error_vacuum_J_m2: float | None = Field(default=None, description="From the ladder.")
    error_cell_J_m2: float | None = Field(
        default=None, description="Difference of W in a second common cell, of other strain."
    )
    error_registry_J_m2: float | None = Field(
        default=None, description="Half the registry spread: W of a film in no one registry."
    )
    error_fit_J_m2: float | None = Field(
        default=None, description="Residual of the binding relation, root mean square."
    )
    not_computed: dict[str, str] = Field(
        default={}, description="Field that is null to the reason why."
    )
    flags: list[str] = []
    W_ad_reference_J_m2: float | None = None
    theta_measured_deg: float | None = None
    contact_angles: list[ContactAngle] = []
    alloys: list[Formation] = Field(
        default=[], description="Known compounds of film and substrate, both elements."
    )
    cpu_seconds: float | None = None
    calculations: list[str] = []
    study: str | None = Field(default=None, description="Name of the study it was reported from.")
