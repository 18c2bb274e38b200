"""The input: a study file in YAML, checked field by field before anything runs."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from adhesion.errors import InputError, nearest

MAX_BYTES = 1_000_000
MAX_ALIASES = 100
LEVEL_ORDER = ("smoke", "quick", "workstation", "production")

MaterialKind = Literal["metal", "layered", "compound"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a study file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class MaterialSpec(Section):
    """A crystal of the user's own."""

    cif: Path = Field(description="CIF file, relative to the study file.")
    kind: MaterialKind = Field(default="compound", description="metal, layered or compound.")
    oxidation_states: dict[str, Finite] | None = Field(
        default=None, description="Element to oxidation state; guessed if left out."
    )
    keep_bonds: list[tuple[str, str]] | None = Field(
        default=None, description="Bonds that a cut must not break; C-O, Si-O, P-O if left out."
    )
    bulk_modulus_GPa: Positive | None = Field(
        default=None, description="For sharing the strain by stiffness, GPa."
    )


class SideSpec(Section):
    """One side of an interface."""

    material: str = Field(description="Name in structures/ or under materials.")
    miller: tuple[int, int, int] = Field(default=(0, 0, 1), description="Of the conventional cell.")
    termination: str | None = Field(default=None, description="Name shown by 'adhesion plan'.")

    @field_validator("miller")
    @classmethod
    def _not_zero(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if value == (0, 0, 0):
            raise ValueError("is no plane; give three integers that are not all 0")
        if max(abs(i) for i in value) > 9:
            raise ValueError("has an index above 9")
        return value

    @property
    def label(self) -> str:
        """As 'Na(001)'."""
        return f"{self.material}({''.join(str(i) for i in self.miller)})"


class ReferenceSpec(Section):
    """A published work of adhesion to print beside the computed one."""

    W_ad_J_m2: Finite
    source: str


class MeasurementSpec(Section):
    """A measured contact angle that this interface stands for."""

    surface: str
    theta_deg: Annotated[float, Field(ge=0, le=180)]
    temperature_C: Finite | None = None
    source: str
    note: str = ""


class InterfaceSpec(Section):
    """One interface of the study: two crystals, or one made elsewhere."""

    film: SideSpec
    substrate: SideSpec
    structure: Path | None = Field(
        default=None, description="A ready-made interface (any file ASE reads)."
    )
    film_atoms: list[int] | None = Field(
        default=None, description="Indices (from 0) of its film atoms."
    )
    reference: ReferenceSpec | None = None
    measured: list[MeasurementSpec] = []

    @field_validator("film", "substrate", mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"material": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ready_made(self) -> InterfaceSpec:
        if (self.structure is None) != (self.film_atoms is None):
            raise ValueError("structure and film_atoms go together: give both or neither")
        return self

    @property
    def label(self) -> str:
        """As 'Na(001)/Pb(001)'."""
        return f"{self.film.label}/{self.substrate.label}"

    @property
    def short(self) -> str:
        """As 'Na/Pb', what --only takes."""
        return f"{self.film.material}/{self.substrate.material}"


class SurfaceTensionSpec(Section):
    """A surface tension for the contact angles: a known name or a value with a source."""

    name: Literal["paper", "liquid Na"] | None = None
    temperature_K: Positive | None = Field(default=None, description="For 'liquid Na', K.")
    sigma_J_m2: Positive | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> SurfaceTensionSpec:
        if (self.name is None) == (self.sigma_J_m2 is None):
            raise ValueError("give either a name (paper, liquid Na) or sigma_J_m2 with its source")
        if self.sigma_J_m2 is not None and not self.source:
            raise ValueError("sigma_J_m2 needs its source")
        return self


class ProxySpec(Section):
    """Other elements in place of the real ones: proves the plumbing, never a number."""

    species: dict[str, str] = Field(description="Real element to the element computed.")
    scale: Positive = Field(description="Factor on all lengths.")


class CalculatorSpec(Section):
    """Which calculator, with its settings."""

    name: str = Field(description="gpaw, emt, an atomate2 force field, or package.module.Class.")
    settings: dict[str, Any] = {}
    proxy: ProxySpec | None = None


class LayersSpec(Section):
    """Thickness of the slabs."""

    film: Annotated[int, Field(ge=1, le=50)] = Field(description="Atomic layers of the film.")
    metal: Annotated[int, Field(ge=1, le=50)] = Field(
        description="Atomic layers of a metal substrate."
    )
    layered: Annotated[int, Field(ge=1, le=50)] = Field(
        description="Sheets of a layered substrate."
    )
    compound: Annotated[int, Field(ge=1, le=50)] = Field(description="Repeat units of a compound.")


class StrainSpec(Section):
    """How far each side may be strained into the common cell, and who gives way."""

    share: Literal["stiffness", "film", "substrate"] | Annotated[float, Field(ge=0, le=1)] = Field(
        default="stiffness", description="By bulk modulus, one side only, or the substrate's part."
    )
    max_film: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        description="Principal strain limit of the film."
    )
    max_substrate: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        description="Principal strain limit of the substrate."
    )


class Level(Section):
    """A level of theory: everything between two crystals and a number."""

    name: str = ""
    description: str
    calculator: CalculatorSpec
    lattice: dict[MaterialKind, Literal["given", "relaxed"]] = Field(
        description="Lattice of each kind of crystal: from its file, or relaxed here."
    )
    strain: StrainSpec
    max_area_A2: Positive
    layers: LayersSpec
    vacuum_A: Positive = Field(description="Vacuum above the interface at the largest gap, Å.")
    kpoint_length_A: Positive = Field(description="In-plane k-points times cell length, Å.")
    kpoint_length_bulk_A: Positive = 34.0
    relax_slabs: list[MaterialKind] = Field(description="Kinds of crystal whose slabs are relaxed.")
    relax_interface: bool = Field(description="Whether W_ad and W_rigid are computed.")
    fmax_eV_A: Positive
    max_steps: Annotated[int, Field(ge=1)] = 200
    free_layers_A: Positive = Field(
        default=4.0, description="Depth from the interface that may relax, Å; the rest is held."
    )
    n_gaps: Annotated[int, Field(ge=1, le=30)] = Field(description="Gaps of the binding curve.")
    gap_step_A: Positive = 0.3
    n_registries: Annotated[int, Field(ge=1, le=100)] = Field(
        description="Registries on the curve."
    )
    dispersion: bool = Field(description="Add D3(BJ) energies on the same geometries.")
    with_oxygen: dict[str, Any] = Field(
        default={}, description="Settings that replace these where either side holds oxygen."
    )

    def for_elements(self, elements: set[str]) -> Level:
        """Resolve the settings for an interface made of these elements."""
        data = self.model_dump(exclude={"with_oxygen"})
        if "O" in elements and self.with_oxygen:
            data = merge(data, self.with_oxygen)
        return Level.model_validate(data)


class Study(Section):
    """A study: interfaces, what they are compared with, and levels of theory."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    title: str = ""
    interfaces: Annotated[list[InterfaceSpec], Field(min_length=1)]
    materials: dict[str, MaterialSpec] = {}
    surface_tensions: list[SurfaceTensionSpec] = [
        SurfaceTensionSpec(name="paper"),
        SurfaceTensionSpec(name="liquid Na", temperature_K=393.15),
    ]
    levels: dict[str, dict[str, Any]] = Field(
        default={}, description="Changes to the built-in levels, or levels of your own."
    )
    path: Path | None = Field(default=None, exclude=True)

    @field_validator("interfaces")
    @classmethod
    def _distinct(cls, value: list[InterfaceSpec]) -> list[InterfaceSpec]:
        labels = [i.label for i in value]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"{label} stands here twice")
        return value

    def level(self, name: str) -> Level:
        """Return a level by name, with the study's changes.

        Raises
        ------
        InputError
            If no level has this name or the study's changes do not fit.
        """
        known = builtin_levels()
        if name not in known and name not in self.levels:
            raise InputError(
                f"unknown level {name!r}",
                where=self.where,
                hint=nearest(name, {*known, *self.levels}),
            )
        data = merge(known.get(name, {}), self.levels.get(name, {}))
        data = merge(data, {"name": name})
        try:
            level = Level.model_validate(data)
            level.for_elements({"O"})
        except ValidationError as error:
            raise _refusal(error, self.where, {}, f"levels.{name}.", Level) from None
        return level

    @property
    def level_names(self) -> list[str]:
        """All levels, cheapest first; the study's own last."""
        return [*LEVEL_ORDER, *(n for n in self.levels if n not in LEVEL_ORDER)]

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self.path) if self.path else self.name

    def select(self, only: list[str]) -> list[InterfaceSpec]:
        """Return the interfaces named, as 'Na/Pb' or 'Na(001)/Pb(001)'; all if none is named."""
        if not only:
            return self.interfaces
        names = {n: i for i in self.interfaces for n in (i.short, i.label)}
        for name in only:
            if name not in names:
                raise InputError(
                    f"no interface {name!r}",
                    where=f"{self.where}, interfaces",
                    hint=nearest(name, names),
                )
        return [i for i in self.interfaces if i.short in only or i.label in only]


def data_path(*parts: str) -> Path:
    """Path of a file that travels with the project: structures/ and configs/."""
    packaged = Path(str(resources.files("adhesion"))) / "data"
    root = packaged if packaged.is_dir() else Path(__file__).resolve().parents[2]
    return root.joinpath(*parts)


@cache
def _levels_text() -> str:
    return data_path("configs", "levels.yaml").read_text(encoding="utf-8")


def builtin_levels() -> dict[str, dict[str, Any]]:
    """Levels of configs/levels.yaml, as plain data."""
    levels: dict[str, dict[str, Any]] = yaml.safe_load(_levels_text())
    return levels


def load_study(path: str | os.PathLike[str]) -> Study:
    """Read and check a study file.

    Raises
    ------
    InputError
        Naming the file, the line and the key that is wrong.
    """
    path = Path(path)
    data, lines = load_yaml(path)
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        raise _refusal(error, str(path), lines) from None
    study.path = path
    for spec in study.materials.values():
        spec.cif = path.parent / spec.cif
    for interface in study.interfaces:
        if interface.structure is not None:
            interface.structure = path.parent / interface.structure
    for name in study.levels:
        study.level(name)
    return study


def load_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """Read a YAML mapping safely, with the line of each key."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"the file is larger than {MAX_BYTES} bytes", where=str(path))
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            "no such file", where=str(path), hint="write one with: adhesion init"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as text ({error})", where=str(path)) from None
    try:
        aliases = sum(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text, yaml.SafeLoader))
        if aliases > MAX_ALIASES:
            raise InputError(f"more than {MAX_ALIASES} YAML aliases", where=str(path))
        node = yaml.compose(text, yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"is no YAML: {problem}", where=f"{path}{line}") from None
    if data is None:
        raise InputError("the file is empty", where=str(path), hint="write one with: adhesion init")
    if not isinstance(data, dict):
        raise InputError(
            f"holds a {type(data).__name__} where a mapping of keys is wanted",
            where=str(path),
            hint="write one with: adhesion init",
        )
    lines: dict[tuple[str, ...], int] = {}
    _collect_lines(node, (), lines, depth=0)
    return data, lines


def _collect_lines(
    node: Any, at: tuple[str, ...], lines: dict[tuple[str, ...], int], depth: int
) -> None:
    if depth > 12:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*at, str(key.value))
            lines[inner] = key.start_mark.line + 1
            _collect_lines(value, inner, lines, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            inner = (*at, str(i))
            lines[inner] = value.start_mark.line + 1
            _collect_lines(value, inner, lines, depth + 1)


def _refusal(
    error: ValidationError,
    where: str,
    lines: dict[tuple[str, ...], int],
    prefix: str = "",
    model: type[BaseModel] = Study,
) -> InputError:
    """Turn pydantic's first complaint into one sentence with file, line and key."""
    first = error.errors()[0]
    path = tuple(str(p) for p in first["loc"])
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    key = prefix + ".".join(path)
    place = f"{where}, line {line}, {key}" if line else f"{where}, {key}" if key else where
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return InputError(f"unknown key {path[-1]!r}", where=place, hint=nearest(path[-1], known))
    message = first["msg"].removeprefix("Value error, ")
    return InputError(message[0].lower() + message[1:], where=place)


def _fields_at(model: type[BaseModel], path: tuple[str, ...]) -> set[str]:
    """Names of the keys that may stand at a path of the model."""
    for part in path:
        if part.isdigit() or part not in model.model_fields:
            continue
        stack = [model.model_fields[part].annotation]
        while stack:
            annotation: Any = stack.pop()
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
                break
            stack.extend(getattr(annotation, "__args__", ()))
    return {n for n in model.model_fields if n != "path"}


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return base with changes laid over it, mapping by mapping."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


class Machine(Section):
    """Where and how a study runs on this machine."""

    workers: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Calculations side by side; the number of cores if left out."
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="OpenMP threads of each calculation."
    )
    allow_calculators: list[str] = Field(
        default=[], description="Import paths of ASE calculators that a study may name."
    )


def load_machine(path: str | os.PathLike[str]) -> Machine:
    """Read and check a machine file.

    Raises
    ------
    InputError
        Naming the file, the line and the key that is wrong.
    """
    data, lines = load_yaml(Path(path))
    try:
        return Machine.model_validate(data)
    except ValidationError as error:
        raise _refusal(error, str(path), lines, model=Machine) from None
