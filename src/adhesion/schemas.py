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

Kind = Literal["bulk", "slab", "curve", "interface"]
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

    kind: Kind = Field(description="bulk, slab, curve (binding curve) or interface (relaxed).")
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
    max_displacement_A: float | None = Field(default=None, description="From the rigid start, Å.")


DOCUMENTS: dict[str, type[CalculationDocument]] = {
    "bulk": BulkDocument,
    "slab": SlabDocument,
    "curve": CurveDocument,
    "interface": InterfaceDocument,
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
    W_ad_error_J_m2: float | None = Field(default=None, description="Null: no convergence ladder.")
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
    fmax_eV_A: float | None = Field(
        default=None, description="Largest force left in what W was made from."
    )
    flags: list[str] = []
    W_ad_reference_J_m2: float | None = None
    theta_measured_deg: float | None = None
    contact_angles: list[ContactAngle] = []
    cpu_seconds: float | None = None
    calculations: list[str] = []
