"""Calculations as jobflow jobs: bulk, slab, binding curve, relaxed interface.

Each is one process and one queue job. It runs in its own working folder,
where it keeps a checkpoint after every step and a line of progress, and it
returns a document whether it converged or not.
"""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.units import GPa
from atomate2.ase.jobs import AseMaker
from jobflow import Maker, job
from pymatgen.io.ase import AseAtomsAdaptor

from adhesion.calculators.gpaw import Fragment
from adhesion.energetics import next_gap
from adhesion.errors import CalculationError, DamagedFileError, NotConvergedError
from adhesion.files import append_line, read_json, set_aside, write_json
from adhesion.interfaces import Interface, contact_gap, deepest_first, stack, strained
from adhesion.matching import shared_cell
from adhesion.materials import Material
from adhesion.sanity import RELAXATION, relaxation_faults
from adhesion.schemas import (
    BulkDocument,
    CalculationDocument,
    CurveDocument,
    CurvePoint,
    Energy,
    Geometry,
    InterfaceDocument,
    Recipe,
    SlabDocument,
    parse_document,
)
from adhesion.slabs import Termination, build_slab, terminations

D = TypeVar("D", bound=CalculationDocument)

EOS_STRAINS = (-0.02, -0.01, 0.0, 0.01, 0.02)
EXTRA_POINTS = 6
MAX_STEP_A = 0.15
MAX_STEPS = 200
STEP = "step"
"""Name of the density of a relaxation's last step."""


def as_document(data: Any) -> Any:
    """Return a document, whether a store gave it back as one or as plain data."""
    return parse_document(data) if isinstance(data, dict) else data


@dataclass
class Workspace:
    """The working folder of one calculation: checkpoint and progress."""

    recipe: Recipe
    folder: Path = field(default_factory=Path)
    whole: Workspace | None = None
    """Of a part: what it is a part of."""

    def part(self, name: str) -> Workspace:
        """Return a workspace within this one, with a checkpoint of its own."""
        part = Workspace(self.recipe, self.folder / name, self)
        part.folder.mkdir(exist_ok=True)
        return part

    def progress(self, text: str) -> None:
        """Append a line for whoever watches."""
        append_line(self.progress_file, text)

    @property
    def progress_file(self) -> Path:
        """The file that is watched: a part has none of its own."""
        return (self.whole or self).folder.absolute() / "progress.txt"

    def load(self) -> dict[str, Any]:
        """Return the checkpoint of this recipe; empty where there is none to go on from.

        One that is damaged, or was made by other versions, is kept beside and told of.
        """
        path = self.folder / "checkpoint.json"
        if not path.exists():
            return {}
        try:
            data = read_json(path)
        except DamagedFileError as error:
            self.progress(f"{path.name} {error.what}; kept as {set_aside(path).name}")
            return {}
        if not isinstance(data, dict) or data.get("hash") != self.recipe.hash:
            return {}
        unlike = self._other_versions(data.pop("versions", {}))
        if unlike:
            self.progress(f"{path.name} is of {unlike}; kept as {set_aside(path).name}")
            return {}
        return data

    def _other_versions(self, past: dict[str, str]) -> str:
        """Say which codes behind an energy were other ones; energies of both are not mixed."""
        now = versions(self.recipe.calculator.get("name", ""))
        names = ("ase", "dftd3", "gpaw", "gpaw-data")
        unlike = [n for n in names if n in past and past[n] != now.get(n)]
        return ", ".join(f"{n} {past[n]}, not {now.get(n, 'here')}" for n in unlike)

    def save(self, **state: Any) -> None:
        """Write the checkpoint, whole or not at all."""
        made_by = versions(self.recipe.calculator.get("name", ""))
        data = {"hash": self.recipe.hash, "versions": made_by, **state}
        write_json(self.folder / "checkpoint.json", data)


class Meter:
    """CPU, wall time and SCF iterations of a calculation, a resumed one's past included."""

    def __init__(self, past: dict[str, Any]) -> None:
        self._cpu = time.process_time() - past.get("cpu_seconds", 0.0)
        self._wall = time.monotonic() - past.get("wall_seconds", 0.0)
        self._iterations: int | None = past.get("scf_iterations")
        self._elsewhere = 0.0
        self._calculator: Any = None

    def watch(self, calculator: Any) -> None:
        """Count the SCF iterations of this calculator, if it has any.

        The one before is done with and let go: a GPAW holds gigabytes.
        """
        self._iterations, self._elsewhere = self._counted()
        self._calculator = calculator
        gc.collect()

    def _counted(self) -> tuple[int | None, float]:
        """SCF iterations, and CPU seconds that were spent in other processes."""
        iterations = getattr(self._calculator, "iterations", None)
        if iterations is not None:
            iterations += self._iterations or 0
        elsewhere = self._elsewhere + getattr(self._calculator, "cpu_seconds", 0.0)
        return self._iterations if iterations is None else iterations, elsewhere

    def read(self) -> dict[str, Any]:
        """Return the figures so far, by the names they have in a document."""
        iterations, elsewhere = self._counted()
        return {
            "cpu_seconds": round(time.process_time() - self._cpu + elsewhere, 2),
            "wall_seconds": round(time.monotonic() - self._wall, 2),
            "scf_iterations": iterations,
        }


@cache
def versions(calculator: str) -> dict[str, str]:
    """Versions of code and datasets that stand behind a number."""
    names = ["adhesion-workflows", "ase", "numpy", "dftd3"]
    names += {"gpaw": ["gpaw", "gpaw-data"]}.get(calculator, [])
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def new_calculator(maker: AseMaker, workspace: Workspace, meter: Meter) -> Any:
    """Return a fresh calculator whose SCF iterations reach the progress file."""
    calculator = maker._get_calculator()
    if hasattr(calculator, "on_iteration"):
        # Not a closure: under MPI it is sent to the ranks.
        calculator.on_iteration = partial(append_line, workspace.progress_file)
        calculator.folder = workspace.folder
    meter.watch(calculator)
    return calculator


def d3_energy(atoms: Atoms, functional: str) -> float:
    """D3(BJ) energy, pairwise (no three-body term), eV."""
    from dftd3.ase import DFTD3

    copy = atoms.copy()
    copy.set_constraint()
    copy.calc = DFTD3(method=functional, damping="d3bj", params_tweaks=None)
    return float(copy.get_potential_energy())


def largest_force(atoms: Atoms) -> float:
    """Largest force on a free atom, eV/Å."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def new_document(
    kind: type[D], maker: CalculationMaker, recipe: Recipe, meter: Meter, **content: Any
) -> D:
    """Return the document of a calculation, with versions and times; 'done' unless said."""
    settings = recipe.calculator
    return kind(
        hash=recipe.hash,
        label=maker.label,
        recipe=recipe,
        versions=versions(settings.get("name", "")),
        proxy=bool(settings.get("proxy")),
        **meter.read(),
        **{"status": "done", **content},
    )


@dataclass
class CalculationMaker(Maker):
    """What the makers share: who computes, and what to call it."""

    name: str = "calculation"
    calculator: AseMaker | None = None
    label: str = ""

    def needed(self) -> AseMaker:
        """Return the calculator, which has to be there.

        Raises
        ------
        CalculationError
            If none was given.
        """
        if self.calculator is None:
            raise CalculationError(f"{self.label or self.name} was given no calculator")
        return self.calculator


@dataclass
class BulkMaker(CalculationMaker):
    """Bulk crystal at the level's lattice: as given, or relaxed with the calculator.

    Cubic crystals without free coordinates by an equation of state over five
    volumes or more; others by relaxing cell and atoms.
    """

    name: str = "bulk"

    @job(output_schema=BulkDocument)
    def make(self, recipe: dict[str, Any], material: Material) -> BulkDocument:
        """Compute the bulk.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'bulk'.
        material : Material
            Its conventional cell.
        """
        parsed = Recipe.model_validate(recipe)
        workspace = Workspace(parsed)
        meter = Meter(workspace.load())
        atoms = AseAtomsAdaptor.get_atoms(material.structure, msonable=False)
        atoms.info.clear()
        if parsed.parameters["lattice"] == "given":
            return new_document(
                BulkDocument, self, parsed, meter,
                geometry=Geometry.from_ase(atoms), notes=[f"lattice from {material.source}"],
            )  # fmt: skip
        compute = self._equation_of_state if is_cubic_and_rigid(material) else self._relax_cell
        try:
            return compute(atoms, parsed, workspace, meter)
        except NotConvergedError as error:
            return new_document(
                BulkDocument, self, parsed, meter, status="unconverged", reason=str(error)
            )

    def _equation_of_state(
        self, atoms: Atoms, recipe: Recipe, workspace: Workspace, meter: Meter
    ) -> BulkDocument:
        """Scale the lattice until the minimum lies inside the volumes computed."""
        start = np.array(atoms.cell[:])
        energies: dict[float, float] = {
            float(k): v for k, v in workspace.load().get("energies", {}).items()
        }
        calculator = new_calculator(self.needed(), workspace, meter)

        def energy(scale: float) -> float:
            if scale not in energies:
                atoms.set_cell(start * scale, scale_atoms=True)
                atoms.calc = calculator
                energies[scale] = float(atoms.get_potential_energy())
                workspace.save(energies={str(k): v for k, v in energies.items()}, **meter.read())
                workspace.progress(f"lattice x {scale:.3f}")
            return energies[scale]

        centre = 1.0
        for _ in range(20):
            scales = [round(centre + s, 4) for s in EOS_STRAINS]
            values = [energy(s) for s in scales]
            lowest = int(np.argmin(values))
            if 0 < lowest < len(scales) - 1:
                break
            centre = scales[lowest]
        else:
            raise NotConvergedError("no minimum in the equation of state", where=self.label)
        used = sorted(s for s in energies if abs(s - scales[lowest]) < 0.031)
        volumes = [abs(np.linalg.det(start)) * s**3 for s in used]
        fit = EquationOfState(volumes, [energies[s] for s in used], eos="birchmurnaghan")
        volume, lowest_energy, modulus = fit.fit()
        atoms.calc = None
        atoms.set_cell(start * (volume / abs(np.linalg.det(start))) ** (1 / 3), scale_atoms=True)
        return new_document(
            BulkDocument, self, recipe, meter,
            geometry=Geometry.from_ase(atoms), energy_eV=float(lowest_energy),
            volumes_A3=volumes, energies_eV=[energies[s] for s in used],
            bulk_modulus_GPa=float(modulus / GPa),
        )  # fmt: skip

    def _relax_cell(
        self, atoms: Atoms, recipe: Recipe, workspace: Workspace, meter: Meter
    ) -> BulkDocument:
        """Relax cell and positions together."""
        past = workspace.load()
        if past:
            atoms = Geometry.model_validate(past["geometry"]).to_ase()
        atoms.calc = new_calculator(self.needed(), workspace, meter)
        steps = past.get("steps", 0)

        def record() -> None:
            nonlocal steps
            steps += 1
            workspace.save(
                geometry=Geometry.from_ase(atoms).model_dump(mode="json"),
                steps=steps,
                **meter.read(),
            )

        optimizer = BFGS(FrechetCellFilter(atoms), logfile=None, maxstep=MAX_STEP_A)
        optimizer.attach(record)
        if not optimizer.run(fmax=0.02, steps=200):
            return new_document(
                BulkDocument, self, recipe, meter, status="unconverged",
                reason="the cell was not relaxed after 200 steps",
                geometry=Geometry.from_ase(atoms),
            )  # fmt: skip
        return new_document(
            BulkDocument, self, recipe, meter,
            geometry=Geometry.from_ase(atoms), energy_eV=float(atoms.get_potential_energy()),
        )  # fmt: skip


def is_cubic_and_rigid(material: Material) -> bool:
    """Whether only the lattice constant is free: cubic, every atom fixed by symmetry."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    analyzer = SpacegroupAnalyzer(material.structure, symprec=1e-3)
    if analyzer.get_crystal_system() != "cubic":
        return False
    operations = analyzer.get_symmetry_operations()
    for site in material.structure:
        moved = np.array([o.operate(site.frac_coords) for o in operations]) - site.frac_coords
        stays = (np.abs(moved - np.round(moved)) < 1e-3).all(axis=1)
        # What all rotations about the site leave alone is where the atom could move.
        free = np.mean([o.rotation_matrix for o, s in zip(operations, stays, strict=True) if s], 0)
        if np.abs(free).max() > 1e-3:
            return False
    return True


@dataclass
class SlabMaker(CalculationMaker):
    """A slab cut from the level's bulk, strained into the common cell and relaxed there."""

    name: str = "slab"
    max_steps: int = MAX_STEPS

    @job(output_schema=SlabDocument)
    def make(
        self,
        recipe: dict[str, Any],
        film: Material | None = None,
        substrate: Material | None = None,
        film_bulk: Any = None,
        substrate_bulk: Any = None,
    ) -> SlabDocument:
        """Build and, where the recipe says so, relax one side.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'slab'; its 'side' says which of the two is built.
        film, substrate : Material
            The two crystals; both lattices decide the common cell.
        film_bulk, substrate_bulk : BulkDocument
            Their bulks.
        """
        parsed = Recipe.model_validate(recipe)
        workspace = Workspace(parsed)
        # The meter of the second start counts on from the first.
        meter = Meter(Workspace(parsed, Path(SLID), workspace).load() or workspace.load())
        if "geometry" in parsed.parameters:
            geometry = Geometry.model_validate(parsed.parameters["geometry"])
            return new_document(SlabDocument, self, parsed, meter, geometry=geometry)
        slab, strain_percent = common_slab(
            parsed.parameters,
            {
                "film": at_bulk(film, film_bulk),
                "substrate": at_bulk(substrate, substrate_bulk),
            },
        )
        slab.center(vacuum=parsed.parameters["vacuum_A"] / 2, axis=2)
        if not parsed.parameters["relax"]:
            return new_document(
                SlabDocument, self, parsed, meter,
                geometry=Geometry.from_ase(slab), strain_percent=strain_percent,
            )  # fmt: skip
        result = self._relaxed(slab, workspace, meter)
        if parsed.parameters.get("starts", 1) > 1 and result["status"] == "done":
            result = self._lower_of_two(result, slid(slab), workspace, meter)
        faults = relaxation_faults(Geometry.from_ase(slab), result["geometry"])
        return new_document(
            SlabDocument, self, parsed, meter, notes=[RELAXATION + fault for fault in faults],
            relaxed=True, strain_percent=strain_percent, **result,
        )  # fmt: skip

    def _relaxed(self, slab: Atoms, workspace: Workspace, meter: Meter) -> dict[str, Any]:
        return relax(
            slab.copy(),
            lambda: new_calculator(self.needed(), workspace, meter),
            workspace.recipe.parameters["fmax_eV_A"],
            self.max_steps,
            workspace,
            meter,
        )

    def _lower_of_two(
        self, first: dict[str, Any], slab: Atoms, workspace: Workspace, meter: Meter
    ) -> dict[str, Any]:
        """Relax from the second start as well; keep the lower, and both energies."""
        second = workspace.part(SLID)
        workspace.progress("relaxed from the crystal's stacking; now from slid layers")
        other = self._relaxed(slab, second, meter)
        if other["status"] != "done":
            return other
        found = {"crystal": first["energy_eV"], "slid": other["energy_eV"]}
        # The crystal's stacking is kept where the two are one to the accuracy of the forces.
        best = other if found["slid"] < found["crystal"] - 1e-3 * len(slab) else first
        return {**best, "start_energies_eV": found}


SLID = "slid"
"""Name of the second start's workspace."""

SLIDE = 0.12
"""Part of the film's mesh by which each layer of the second start is moved over the one below."""


def slid(slab: Atoms) -> Atoms:
    """Return a slab whose layers are sheared over each other, along the shorter neighbour vector.

    A strained film may lower its energy by sliding; the crystal's own stacking is too
    symmetric to find that out.
    """
    result = slab.copy()
    order = np.argsort(slab.positions[:, 2], kind="stable")
    heights = slab.positions[order, 2]
    layer = np.zeros(len(slab), int)
    layer[order] = np.concatenate([[0], np.cumsum(np.diff(heights) > 0.5)])
    lowest = np.flatnonzero(layer == 0)
    step = _shortest_in_plane(slab, lowest)
    result.positions[:, :2] += SLIDE * layer[:, None] * step
    return result


def _shortest_in_plane(slab: Atoms, indices: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shortest vector between two atoms of a layer, periodic images included, shape (2,)."""
    cell = np.array(slab.cell[:2, :2])
    images = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], float) @ cell
    flat = slab.positions[indices][:, :2]
    between = (flat[None, :] - flat[:1]).reshape(-1, 1, 2) + images
    vectors = between.reshape(-1, 2)
    lengths = np.linalg.norm(vectors, axis=1)
    shortest: np.ndarray[Any, np.dtype[np.float64]] = vectors[lengths > 1e-3][
        np.argmin(lengths[lengths > 1e-3])
    ]
    return shortest


def at_bulk(material: Material | None, bulk: Any) -> Material:
    """Return a material at the lattice of its bulk document."""
    if material is None:
        raise CalculationError("a slab needs both crystals")
    geometry = as_document(bulk).geometry
    return material.with_structure(AseAtomsAdaptor.get_structure(geometry.to_ase()))


def common_cells(
    parameters: dict[str, Any], materials: dict[str, Material]
) -> tuple[dict[str, Termination], dict[str, Any], Any]:
    """Return by side the face and the supercell at its own lattice, and the common cell.

    Parameters
    ----------
    parameters : dict
        Of a slab recipe.
    materials : dict
        'film' and 'substrate', both at the lattice of the level.
    """
    faces: dict[str, Termination] = {}
    for side, material in materials.items():
        name = parameters[f"{side}_termination"]
        faces[side] = face(material, parameters[f"{side}_miller"], name)
    cells = {s: np.array(parameters[f"{s}_transformation"]) @ faces[s].mesh_A for s in materials}
    return faces, cells, shared_cell(cells["film"], cells["substrate"], parameters["share"])


def face(material: Material, miller: Any, name: str) -> Termination:
    """Return the termination of a name.

    Raises
    ------
    CalculationError
        If the crystal has none of this name at this lattice.
    """
    for found in terminations(material, miller):
        if found.name == name:
            return found
    raise CalculationError(
        f"at the relaxed lattice {material.name} has no termination {name!r}",
        hint="choose another one with 'termination' in the study",
    )


def common_slab(
    parameters: dict[str, Any], materials: dict[str, Material]
) -> tuple[Atoms, tuple[float, float]]:
    """Cut one side from its bulk and strain it into the common cell.

    Parameters
    ----------
    parameters : dict
        Of a slab recipe.
    materials : dict
        'film' and 'substrate', both at the lattice of the level.

    Returns
    -------
    tuple
        The slab, and its principal strains in %, smaller first.
    """
    faces, cells, cell = common_cells(parameters, materials)
    side = parameters["side"]
    supercell = parameters[f"{side}_transformation"]
    slab = build_slab(materials[side], faces[side], parameters["thickness"], supercell)
    stretches = np.linalg.svd(np.linalg.solve(cells[side], cell), compute_uv=False)
    low, high = sorted(round(100 * (float(s) - 1), 3) for s in stretches)
    return strained(slab, cell), (low, high)


def relax(
    atoms: Atoms,
    calculator: Callable[[], Any],
    fmax_eV_A: float,
    max_steps: int,
    workspace: Workspace,
    meter: Meter,
    parts: Callable[[], tuple[Fragment, ...]] = tuple,
) -> dict[str, Any]:
    """Relax positions, with a checkpoint and the density after every step.

    Parameters
    ----------
    atoms : ase.Atoms
        Where to start; relaxed in place.
    calculator : callable
        Returns a new one.
    fmax_eV_A : float
        Largest force to end with, eV/Å.
    max_steps : int
        Ionic steps to take at most, those before a kill not counted.
    workspace : Workspace
        Where a checkpoint to go on from may lie.
    meter : Meter
        Of the calculation.
    parts : callable, optional
        Returns what the first density is put together from, where no step has left its own.

    Returns
    -------
    dict
        Fields of a document: geometry, energy_eV, fmax_start_eV_A, fmax_end_eV_A,
        ionic_steps, scf_iterations_saved, status and reason.
    """
    past = workspace.load()
    taken = bool(past) and _take_over(atoms, past, workspace)
    steps, start = past.get("steps", 0), past.get("fmax_start_eV_A")
    if taken and past.get("energy_eV") is not None and past["fmax_end_eV_A"] <= fmax_eV_A:
        # Killed after the last step, in the frozen sides: the relaxation itself is done.
        return {
            "status": "done", "reason": "", "geometry": Geometry.from_ase(atoms),
            "energy_eV": past["energy_eV"], "fmax_start_eV_A": start,
            "fmax_end_eV_A": past["fmax_end_eV_A"], "ionic_steps": steps,
            "scf_iterations_saved": past.get("scf_iterations_saved"),
        }  # fmt: skip
    before = steps
    energy: float | None = None
    try:
        whole = Fragment(density_file(workspace, STEP), tuple(range(len(atoms))))
        densities = (whole,) if whole.fits(atoms) else parts()
        atoms.calc = calculator()
        if getattr(atoms.calc, "keeps_densities", False):
            atoms.calc.fragments = densities
        if taken and past.get("results"):
            atoms.calc.remember(atoms, past["results"])
        savings = Savings(
            atoms.calc, past.get("scf_iterations_saved"), past.get("scf_iterations_first")
        )
        force = largest_force(atoms)
        start = force if start is None else start
        # With the Hessian so far a killed relaxation goes on as if nothing had been. ASE writes
        # it in the middle of a step, which a kill may cut off: it counts from the next save on.
        hessian = workspace.folder / "bfgs.json"
        if not taken:
            hessian.unlink(missing_ok=True)
        optimizer = _optimizer(atoms, hessian)
        following = workspace.folder / "bfgs.new.json"
        following.unlink(missing_ok=True)
        optimizer.restart = str(following)
        # The first geometry that irun hands out is the start: step 0.
        for step, _ in enumerate(optimizer.irun(fmax=fmax_eV_A, steps=max_steps)):
            steps = before + step
            energy, force = float(atoms.get_potential_energy()), largest_force(atoms)
            savings.count()
            if following.exists():
                following.replace(hessian)
            workspace.save(
                geometry=Geometry.from_ase(atoms).model_dump(mode="json"),
                energy_eV=energy, steps=steps, fmax_start_eV_A=start, fmax_end_eV_A=force,
                results=atoms.calc.known() if hasattr(atoms.calc, "remember") else None,
                scf_iterations_saved=savings.total, scf_iterations_first=savings.first,
                **meter.read(),
            )  # fmt: skip
            if getattr(atoms.calc, "keeps_densities", False):
                atoms.calc.keep_density(whole.file)
            workspace.progress(f"step {steps}: {energy:.4f} eV, largest force {force:.3f} eV/Å")
    except NotConvergedError as error:
        return {
            "status": "unconverged", "reason": str(error), "geometry": Geometry.from_ase(atoms),
            "fmax_start_eV_A": start, "ionic_steps": steps,
        }  # fmt: skip
    atoms.calc = None  # what follows needs its memory
    done = force <= fmax_eV_A
    return {
        "status": "done" if done else "unconverged",
        "reason": "" if done else f"largest force {force:.3f} eV/Å after {steps} steps",
        "geometry": Geometry.from_ase(atoms),
        "energy_eV": energy,
        "fmax_start_eV_A": start,
        "fmax_end_eV_A": force,
        "ionic_steps": steps,
        "scf_iterations_saved": savings.total,
    }


class Savings:
    """SCF iterations saved by going on from the geometry before, its density and wave functions.

    Counted against the relaxation's first SCF.

    Attributes
    ----------
    total, first : int or None
        Iterations saved, and of the first SCF; None where the calculator has no iterations.
    """

    def __init__(self, calculator: Any, total: int | None, first: int | None) -> None:
        self.total, self.first = total, first
        self._calculator = calculator
        self._counted = 0

    def count(self) -> None:
        """Take account of the SCF that has just ended."""
        iterations: int | None = getattr(self._calculator, "iterations", None)
        if iterations is None:
            return
        last, self._counted = iterations - self._counted, iterations
        if last == 0:  # a step that is remembered
            return
        if self.first is None:
            self.first = last
        self.total = (self.total or 0) + self.first - last


def _optimizer(atoms: Atoms, hessian: Path) -> BFGS:
    """Return BFGS with the Hessian of the file, if it holds one that fits."""
    try:
        return BFGS(atoms, restart=str(hessian), logfile=None, maxstep=MAX_STEP_A)
    except Exception:  # damaged, which ASE's reader tells in many ways
        hessian.unlink(missing_ok=True)
        return BFGS(atoms, restart=str(hessian), logfile=None, maxstep=MAX_STEP_A)


def _take_over(atoms: Atoms, past: dict[str, Any], workspace: Workspace) -> bool:
    """Go on from the positions of a checkpoint, in the cell that is wanted now.

    Its results are dropped where they are not those of just these atoms.
    """
    geometry = Geometry.model_validate(past["geometry"])
    if geometry.symbols != list(atoms.get_chemical_symbols()):
        workspace.progress("the checkpoint holds other atoms: started again")
        return False
    start = geometry.to_ase()
    start.set_constraint()
    if past.get("results") and np.allclose(start.cell[:], atoms.cell[:], atol=1e-6):
        atoms.positions[:] = start.positions
        return True
    past.pop("results", None)
    shifted = strained(start, np.array(atoms.cell[:2, :2]))
    # Held atoms stay where they are; without any, the height of the slab does.
    held = geometry.fixed or list(range(len(atoms)))
    height = atoms.positions[held, 2].mean() - shifted.positions[held, 2].mean()
    atoms.positions[:] = shifted.positions
    atoms.positions[:, 2] += height
    return True


@dataclass
class BindingCurveMaker(CalculationMaker):
    """The two slabs brought together rigidly over gaps and registries.

    The lowest energy is sought by geometry first: registries in which the film
    comes closest before atoms touch. Each starts where atoms touch; gaps are
    added until the lowest energy lies between two others.
    """

    name: str = "binding curve"

    @job(output_schema=CurveDocument)
    def make(
        self,
        recipe: dict[str, Any],
        film_slab: Any,
        substrate_slab: Any,
        shifts: list[Any],
        gap_A: float | None = None,
    ) -> CurveDocument:
        """Compute the curve.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'curve'.
        film_slab, substrate_slab : SlabDocument
            The two sides, in the same in-plane cell.
        shifts : list of tuple of float
            Registries to choose from, in fractions of the common cell.
        gap_A : float, optional
            Gap to start from; where atoms touch, if left out.
        """
        run = _Curve(self, Recipe.model_validate(recipe), film_slab, substrate_slab, gap_A)
        try:
            run.slabs()
            shifts = deepest_first(
                run.substrate, run.film, [(float(x), float(y)) for x, y in shifts]
            )
            for shift in shifts[: run.recipe.parameters["n_registries"]]:
                run.scan(shift)
        except NotConvergedError as error:
            return run.document(status="unconverged", reason=str(error))
        return run.document()


class _Curve:
    """State of one binding curve while it is computed."""

    def __init__(
        self,
        maker: BindingCurveMaker,
        recipe: Recipe,
        film: Any,
        substrate: Any,
        gap_A: float | None,
    ) -> None:
        self.maker, self.recipe = maker, recipe
        film, substrate = as_document(film), as_document(substrate)
        self.notes = [] if film.relaxed and substrate.relaxed else ["unrelaxed slabs"]
        self.film, self.substrate = film.geometry.to_ase(), substrate.geometry.to_ase()
        self.strains = film.strain_percent, substrate.strain_percent
        self.workspace = Workspace(recipe)
        past = self.workspace.load()
        self.meter = Meter(past)
        self.energies = {k: Energy.model_validate(v) for k, v in past.get("energies", {}).items()}
        self.start_gap_A = gap_A
        gap = self.touching((0.0, 0.0))
        extents = [float(np.ptp(s.positions[:, 2])) for s in (self.film, self.substrate)]
        self.height_A = round(sum(extents) + max(gap, 2.0) + recipe.parameters["vacuum_A"], 1)
        self.points: list[CurvePoint] = []

    def touching(self, shift: tuple[float, float]) -> float:
        if self.start_gap_A is not None:
            return self.start_gap_A
        return round(contact_gap(self.substrate, self.film, shift), 3)

    def at(self, shift: tuple[float, float], gap_A: float) -> Interface:
        return stack(self.substrate, self.film, gap_A=gap_A, registry=shift, height_A=self.height_A)

    def slabs(self) -> None:
        """Compute film and substrate alone, in the cell of the interface."""
        together = self.at((0.0, 0.0), self.touching((0.0, 0.0)))
        for name, atoms in (
            ("film", together.film_atoms()),
            ("substrate", together.substrate_atoms()),
        ):
            if name not in self.energies:
                calculator = new_calculator(self.maker.needed(), self.workspace, self.meter)
                self.energy(name, atoms, calculator)
                if hasattr(calculator, "keep_density"):
                    calculator.keep_density(density_file(self.workspace, name))

    def energy(self, name: str, atoms: Atoms, calculator: Any) -> Energy:
        """Compute one energy, or take it from the checkpoint."""
        if name not in self.energies:
            self.energies[name] = single_energy(atoms, calculator, self.recipe)
            self.workspace.save(
                energies={k: v.model_dump() for k, v in self.energies.items()}, **self.meter.read()
            )
            self.workspace.progress(f"{name}: {self.energies[name].energy_eV:.4f} eV")
        return self.energies[name]

    def scan(self, shift: tuple[float, float]) -> None:
        """Add gaps until the lowest energy is bracketed and the wanted number is there."""
        step, wanted = self.recipe.parameters["gap_step_A"], self.recipe.parameters["n_gaps"]
        first = self.touching(shift)
        found: dict[float, float] = {}
        following: float | None = first
        while following is not None and len(found) < wanted + EXTRA_POINTS:
            gap = round(following, 4)
            found[gap] = self.point(shift, gap)
            gaps = sorted(found)
            if len(found) == 1 and wanted > 1:
                following = first + step
                continue
            following = next_gap(gaps, [found[g] for g in gaps], step) if wanted > 1 else None
            if following is None and len(found) < wanted:
                lowest = min(found, key=lambda g: found[g])
                above = sum(g > lowest for g in gaps)
                following = gaps[-1] + step if above <= len(gaps) - 1 - above else gaps[0] - step

    def point(self, shift: tuple[float, float], gap_A: float) -> float:
        # Densities of the two sides, moved here, save a third of the iterations (19 to 13);
        # wave functions of a film 0.3 Å away are a worse start than atoms (24).
        calculator = new_calculator(self.maker.needed(), self.workspace, self.meter)
        interface = self.at(shift, gap_A)
        if hasattr(calculator, "fragments"):
            calculator.fragments = fragments(self.workspace, len(interface.atoms), interface.film)
        name = f"registry {shift[0]:.4f} {shift[1]:.4f} gap {gap_A:.4f} Å"
        energy = self.energy(name, interface.atoms, calculator)
        self.points.append(CurvePoint(registry=shift, gap_A=gap_A, energy=energy))
        return energy.energy_eV

    def document(self, **status: Any) -> CurveDocument:
        """Return what was computed, with the interface of lowest energy."""
        content: dict[str, Any] = {"notes": self.notes, **status}
        if self.points:
            best = min(self.points, key=lambda p: p.energy.energy_eV)
            interface = self.at(best.registry, best.gap_A)
            content |= {
                "geometry": Geometry.from_ase(interface.atoms),
                "film_indices": list(interface.film),
                "area_A2": interface.area_A2,
            }
        return new_document(
            CurveDocument, self.maker, self.recipe, self.meter,
            film=self.energies.get("film"), substrate=self.energies.get("substrate"),
            points=self.points, film_strain_percent=self.strains[0],
            substrate_strain_percent=self.strains[1], **content,
        )  # fmt: skip


def density_file(workspace: Workspace, side: str) -> Path:
    """Where the density of one side alone is kept."""
    return workspace.folder / f"{side}.npz"


def fragments(workspace: Workspace, n_atoms: int, film: Sequence[int]) -> tuple[Fragment, ...]:
    """Return what the first density of an interface is put together from."""
    taken = set(film)
    rest = tuple(i for i in range(n_atoms) if i not in taken)
    parts = {"film": tuple(film), "substrate": rest}
    return tuple(Fragment(density_file(workspace, name), i) for name, i in parts.items())


def single_energy(atoms: Atoms, calculator: Any, recipe: Recipe) -> Energy:
    """Total energy of a geometry, with D3 apart where the recipe asks for it."""
    atoms = atoms.copy()
    atoms.set_constraint()
    before = getattr(calculator, "iterations", None)
    atoms.calc = calculator
    energy = float(atoms.get_potential_energy())
    if not np.isfinite(energy):
        raise CalculationError("the calculator returned an energy that is no number")
    dispersion = recipe.parameters.get("dispersion") and not recipe.calculator.get("proxy")
    return Energy(
        energy_eV=energy,
        d3_eV=d3_energy(atoms, recipe.calculator["functional"]) if dispersion else None,
        scf_iterations=None if before is None else calculator.iterations - before,
    )


@dataclass
class RelaxedInterfaceMaker(CalculationMaker):
    """The interface relaxed from the lowest point of its curve, then pulled apart frozen."""

    name: str = "relaxed interface"
    max_steps: int = MAX_STEPS

    @job(output_schema=InterfaceDocument)
    def make(self, recipe: dict[str, Any], curve: Any) -> InterfaceDocument:
        """Relax the interface and compute its two frozen sides.

        Parameters
        ----------
        recipe : dict
            Recipe of kind 'interface'.
        curve : CurveDocument
            The binding curve it starts from.
        """
        parsed = Recipe.model_validate(recipe)
        document = as_document(curve)
        workspace = Workspace(parsed)
        meter = Meter(workspace.load())
        atoms = document.geometry.to_ase()
        start = atoms.positions.copy()
        film = list(document.film_indices)
        atoms.set_constraint(
            FixAtoms(far_substrate(atoms, film, parsed.parameters["free_layers_A"]))
        )
        result = relax(
            atoms,
            lambda: new_calculator(self.needed(), workspace, meter),
            parsed.parameters["fmax_eV_A"],
            self.max_steps,
            workspace,
            meter,
            lambda: self._sides(atoms, film, workspace, meter),
        )
        energy = result.pop("energy_eV", None)
        content = {**result, "film_indices": film, "area_A2": document.area_A2}
        if result["status"] == "done" and energy is not None:
            content["max_displacement_A"] = float(
                np.linalg.norm(atoms.positions - start, axis=1).max()
            )
            try:
                content |= self._frozen(atoms, film, energy, parsed, workspace, meter)
            except NotConvergedError as error:
                content |= {"status": "unconverged", "reason": f"frozen sides: {error}"}
        return new_document(InterfaceDocument, self, parsed, meter, **content)

    def _sides(
        self, atoms: Atoms, film: list[int], workspace: Workspace, meter: Meter
    ) -> tuple[Fragment, ...]:
        """Compute the densities of the two sides, for the first SCF to start from.

        From atoms the energy of a metal on a metal may already jump by 100 eV.
        """
        parts = fragments(workspace, len(atoms), film)
        for side, part in zip(("film", "substrate"), parts, strict=True):
            if part.fits(atoms):
                continue
            alone = new_calculator(self.needed(), workspace, meter)
            if not getattr(alone, "keeps_densities", False):
                return ()
            workspace.progress(f"density of the {side} alone")
            one = atoms[list(part.indices)]
            one.set_constraint()
            one.calc = alone
            one.get_potential_energy()
            alone.keep_density(part.file)
        return parts

    def _frozen(
        self,
        atoms: Atoms,
        film: list[int],
        energy: float,
        recipe: Recipe,
        workspace: Workspace,
        meter: Meter,
    ) -> dict[str, Energy]:
        """Energies of the relaxed interface and of its two sides pulled apart as they are."""
        dispersion = recipe.parameters["dispersion"] and not recipe.calculator.get("proxy")
        functional = recipe.calculator["functional"]
        found = {
            "interface": Energy(
                energy_eV=energy, d3_eV=d3_energy(atoms, functional) if dispersion else None
            )
        }
        rest = [i for i in range(len(atoms)) if i not in set(film)]
        for name, part in (("film_frozen", film), ("substrate_frozen", rest)):
            past = workspace.load()
            if name in past:
                found[name] = Energy.model_validate(past[name])
                continue
            calculator = new_calculator(self.needed(), workspace, meter)
            found[name] = single_energy(atoms[part], calculator, recipe)
            state = {k: v for k, v in past.items() if k != "hash"}
            workspace.save(**{**state, **meter.read(), name: found[name].model_dump()})
            workspace.progress(f"{name}: {found[name].energy_eV:.4f} eV")
        return found


def far_substrate(atoms: Atoms, film: list[int], free_A: float) -> list[int]:
    """Indices of the substrate atoms deeper than the free layers; at least the lowest."""
    rest = [i for i in range(len(atoms)) if i not in set(film)]
    heights = atoms.positions[rest, 2]
    limit = max(heights.max() - free_A, heights.min() + 1e-3)
    return [i for i, z in zip(rest, heights, strict=True) if z < limit]
