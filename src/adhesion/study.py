"""The input: a study file in YAML, checked field by field before anything runs."""

from __future__ import annotations

import math
import os
import re
from copy import deepcopy
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from adhesion.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 200_000
MAX_NODES = 20_000
"""Keys and values of a file, each alias counted as what it stands for."""
MAX_DEPTH = 20
MAX_MILLER = 9
LEVEL_ORDER = ("smoke", "quick", "workstation", "production")

Lines = dict[tuple[str, ...], int]
"""Path of a key to its line in the file."""


def _checked_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]{0,63}", value):
        raise ValueError(f"{value[:70]!r} is no name: letters, digits and . _ + - only, at most 64")
    return value


def _checked_miller(value: tuple[int, int, int]) -> tuple[int, int, int]:
    if value == (0, 0, 0):
        raise ValueError("0, 0, 0 is no plane: give three integers that are not all 0")
    if max(abs(i) for i in value) > MAX_MILLER:
        raise ValueError(f"an index is above {MAX_MILLER}")
    return value


MaterialKind = Literal["metal", "layered", "compound"]
Name = Annotated[str, AfterValidator(_checked_name)]
Miller = Annotated[tuple[int, int, int], AfterValidator(_checked_miller)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Source = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A part of a study file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_or_no(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where they mean nothing: as numbers they would be 1 and 0."""
        field = cls.model_fields[info.field_name or ""]
        if not _takes_bool(field.annotation) and _holds_bool(value):
            raise ValueError(
                f"should be text (put it in quotes) or a number, not {str(value)[:40]}; "
                "YAML takes yes, no, on and off for true and false"
            )
        return value


def _takes_bool(annotation: Any) -> bool:
    """Whether a field may hold true or false; a section inside looks after itself."""
    if annotation in (bool, Any):
        return True
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return True
    return any(_takes_bool(inner) for inner in get_args(annotation))


def _holds_bool(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, bool) or any(_holds_bool(v) for v in inner)


class MaterialSpec(Section):
    """A crystal of the user's own."""

    cif: Path = Field(description="CIF file, relative to the study file.")
    kind: MaterialKind = Field(default="compound", description="metal, layered or compound.")
    oxidation_states: dict[str, Finite] | None = Field(
        default=None, description="Element to oxidation state; guessed if left out."
    )
    keep_bonds: list[tuple[str, str]] | None = Field(
        default=None,
        description="Bonds that a cut must not break; C-O, Si-O, P-O and those inside finite "
        "groups of nonmetals if left out.",
    )
    bulk_modulus_GPa: Positive | None = Field(
        default=None, description="For sharing the strain by stiffness, GPa."
    )


class SideSpec(Section):
    """One side of an interface."""

    material: Name = Field(description="Name in structures/ or under materials.")
    miller: Miller = Field(default=(0, 0, 1), description="Of the conventional cell.")
    termination: str | None = Field(default=None, description="Name shown by 'adhesion plan'.")

    @property
    def label(self) -> str:
        """As 'Na(001)'."""
        return f"{self.material}({''.join(str(i) for i in self.miller)})"


class ReferenceSpec(Section):
    """A published work of adhesion to print beside the computed one."""

    W_ad_J_m2: Finite
    source: Source


class MeasurementSpec(Section):
    """A measured contact angle that this interface stands for."""

    surface: str
    theta_deg: Annotated[float, Field(ge=0, le=180)]
    temperature_C: Finite | None = None
    source: Source
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
    candidate: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Place in the ranked list of cells and faces of 'adhesion plan'."
    )
    reference: ReferenceSpec | None = None
    measured: list[MeasurementSpec] = []

    @field_validator("film", "substrate", mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return value if isinstance(value, dict | SideSpec) else {"material": value}

    @model_validator(mode="after")
    def _ready_made(self) -> InterfaceSpec:
        if (self.structure is None) != (self.film_atoms is None):
            raise ValueError("structure and film_atoms go together: give both or neither")
        chosen = [s for s in (self.film, self.substrate) if s.termination is not None]
        if self.structure is not None and (chosen or self.candidate > 1):
            raise ValueError("a ready-made structure has no candidate or termination to choose")
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

    name: Literal["paper", "liquid Na", "own"] | None = Field(
        default=None, description="'own': the film's surface energy by the same calculator."
    )
    temperature_K: Positive | None = Field(default=None, description="For 'liquid Na', K.")
    sigma_J_m2: Positive | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> SurfaceTensionSpec:
        if (self.name is None) == (self.sigma_J_m2 is None):
            raise ValueError(
                "give either a name (paper, liquid Na, own) or sigma_J_m2 with its source"
            )
        if self.sigma_J_m2 is not None and not self.source:
            raise ValueError("sigma_J_m2 needs its source")
        return self


class ProxySpec(Section):
    """Other elements in place of the real ones: proves the plumbing, never a number."""

    species: dict[str, str] = Field(description="Real element to the element computed.")
    scale: Annotated[float, Field(gt=0.1, lt=10)] = Field(description="Factor on all lengths.")


class CalculatorSpec(Section):
    """Which calculator, with its settings."""

    name: str = Field(description="gpaw, emt, an atomate2 force field, or package.module.Class.")
    settings: dict[str, Any] = {}
    proxy: ProxySpec | None = None

    @field_validator("settings")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        _refuse_what_is_not_plain(value)
        return value


def _refuse_what_is_not_plain(value: Any, key: str = "") -> None:
    """Refuse what a recipe cannot hold: NaN, infinity, dates, bytes."""
    if isinstance(value, dict):
        for inner, one in value.items():
            _refuse_what_is_not_plain(one, f"{key}.{inner}" if key else str(inner))
    elif isinstance(value, list):
        for one in value:
            _refuse_what_is_not_plain(one, key)
    elif not isinstance(value, str | int | float | None):
        raise ValueError(f"{key} is neither text nor a number: {value!r}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} is no finite number: {value}")


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
    max_area_A2: Annotated[float, Field(gt=0, le=5000)]
    layers: LayersSpec
    vacuum_A: Annotated[float, Field(ge=3, le=200)] = Field(
        description="Vacuum above the interface at the largest gap, Å."
    )
    kpoint_length_A: Annotated[float, Field(gt=0, le=500)] = Field(
        description="In-plane k-points times cell length, Å."
    )
    kpoint_length_bulk_A: Annotated[float, Field(gt=0, le=500)] = 34.0
    relax_slabs: list[MaterialKind] = Field(description="Kinds of crystal whose slabs are relaxed.")
    relax_interface: bool = Field(description="Whether W_ad and W_rigid are computed.")
    film_starts: Annotated[int, Field(ge=1, le=2)] = Field(
        default=1,
        description="2: a relaxed metal film is relaxed from slid layers as well, the lower kept.",
    )
    fmax_eV_A: Annotated[float, Field(gt=0, le=10)]
    max_steps: Annotated[int, Field(ge=1, le=100_000)] = 200
    free_layers_A: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=4.0, description="Depth from the interface that may relax, Å; the rest is held."
    )
    n_gaps: Annotated[int, Field(ge=1, le=30)] = Field(description="Gaps of the binding curve.")
    gap_step_A: Annotated[float, Field(ge=0.01, le=5)] = 0.3
    n_registries: Annotated[int, Field(ge=1, le=100)] = Field(
        description="Registries on the curve."
    )
    dispersion: bool = Field(description="Add D3(BJ) energies on the same geometries.")
    with_oxygen: dict[str, Any] = Field(
        default={}, description="Settings that replace these where either side holds oxygen."
    )

    @field_validator("with_oxygen")
    @classmethod
    def _settings_only(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in ("with_oxygen", "name"):
            if key in value:
                raise ValueError(f"{key!r} cannot stand here")
        return value

    def for_elements(self, elements: set[str]) -> Level:
        """Resolve the settings for an interface made of these elements."""
        data = self.model_dump(exclude={"with_oxygen"})
        if "O" in elements and self.with_oxygen:
            data = merge(data, self.with_oxygen)
        return Level.model_validate(data)


class Study(Section):
    """A study: interfaces, what they are compared with, and levels of theory."""

    name: Name
    title: str = ""
    interfaces: Annotated[list[InterfaceSpec], Field(min_length=1)]
    materials: dict[Name, MaterialSpec] = {}
    surface_tensions: list[SurfaceTensionSpec] = Field(
        default=[], description="Sodium's where every film is Na, none otherwise, if left out."
    )
    levels: dict[Name, dict[str, Any]] = Field(
        default={}, description="Changes to the built-in levels, or levels of your own."
    )
    _path: Path | None = PrivateAttr(None)
    _lines: Lines = PrivateAttr({})

    @field_validator("interfaces")
    @classmethod
    def _distinct(cls, value: list[InterfaceSpec]) -> list[InterfaceSpec]:
        labels = [i.label for i in value]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"{label} stands here twice: give each a study of its own")
        return value

    @model_validator(mode="after")
    def _tensions_of_sodium(self) -> Study:
        given = "surface_tensions" in self.model_fields_set
        if not given and all(i.film.material == "Na" for i in self.interfaces):
            self.surface_tensions = [
                SurfaceTensionSpec(name="paper"),
                SurfaceTensionSpec(name="liquid Na", temperature_K=393.15),
                SurfaceTensionSpec(name="own"),
            ]
        return self

    def level(self, name: str) -> Level:
        """Return a level by name, with the study's changes.

        Raises
        ------
        InputError
            If no level has this name or the study's changes do not fit.
        """
        known = builtin_levels()
        changes = self.levels.get(name, {})
        if name not in known and name not in self.levels:
            raise InputError(
                f"unknown level {name!r}",
                where=self.where,
                hint=nearest(name, {*known, *self.levels}),
            )
        if "name" in changes:
            raise InputError("unknown key 'name'", where=self.place("levels", name, "name"))
        base = _without_foreign_settings(known.get(name, {}), changes)
        at: tuple[str, ...] = ("levels", name)
        try:
            level = Level.model_validate(merge(merge(base, changes), {"name": name}))
            at = (*at, "with_oxygen")
            level.for_elements({"O"})
        except ValidationError as error:
            hint = "" if name in known else f"a level of your own? {nearest(name, known)}"
            raise _refusal(error, self.where, self._lines, Level, at, hint) from None
        return level

    @property
    def level_names(self) -> list[str]:
        """All levels, cheapest first; the study's own last."""
        return [*LEVEL_ORDER, *(n for n in self.levels if n not in LEVEL_ORDER)]

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self._path) if self._path else self.name

    def place(self, *keys: str) -> str:
        """Where a key stands, for messages: file, line and the key with all above it."""
        return _place(self.where, self._lines, keys)

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
def _levels() -> dict[str, dict[str, Any]]:
    text = data_path("configs", "levels.yaml").read_text(encoding="utf-8")
    levels: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return levels


def builtin_levels() -> dict[str, dict[str, Any]]:
    """Levels of configs/levels.yaml, as plain data of the caller's own."""
    return deepcopy(_levels())


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
        raise _refusal(error, str(path), lines, Study) from None
    study._path, study._lines = path, lines
    for spec in study.materials.values():
        spec.cif = path.parent / spec.cif
    for interface in study.interfaces:
        if interface.structure is not None:
            interface.structure = path.parent / interface.structure
    for name in study.levels:
        study.level(name)
    return study


def load_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """Read a YAML mapping safely, with the line of each key.

    Raises
    ------
    InputError
        If the file is missing, too large, no text, no YAML, no mapping, or has a key twice.
    """
    loader = yaml.SafeLoader(_read(path))
    lines: Lines = {}
    try:
        node = loader.get_single_node()
        if node is not None:
            _collect_lines(node, str(path), lines)
        data = loader.construct_document(node) if node is not None else None
    except InputError:
        raise
    except Exception as error:  # PyYAML raises what it likes over a tag that does not fit
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        told = isinstance(error, yaml.YAMLError | ValueError | RecursionError) and str(error)
        problem = getattr(error, "problem", None) or told or "a value does not fit its !!tag"
        problem = problem.splitlines()[0]
        raise InputError(f"is no YAML: {problem}", where=f"{path}{line}") from None
    hint = "write one with: adhesion init"
    if data is None:
        raise InputError("the file is empty", where=str(path), hint=hint)
    if not isinstance(data, dict):
        what = f"holds a {type(data).__name__} where a mapping of keys is wanted"
        raise InputError(what, where=str(path), hint=hint)
    return data, lines


def require_file(path: Path, max_bytes: int) -> None:
    """Refuse what is no plain file of a modest size: a pipe or a device may never end.

    Raises
    ------
    InputError
        Naming the file and the limit.
    OSError
        If there is none.
    """
    if path.is_dir():
        raise InputError("is a folder, not a file", where=str(path))
    if path.stat().st_size > max_bytes:
        raise InputError(f"the file is larger than {max_bytes} bytes", where=str(path))
    if not path.is_file():
        raise InputError("is a pipe or a device, not a file", where=str(path))


def _read(path: Path) -> str:
    where = str(path)
    try:
        require_file(path, MAX_BYTES)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = "write one with: adhesion init"
        raise InputError("no such file", where=where, hint=hint) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as text ({error})", where=where) from None
    bad = yaml.SafeLoader.NON_PRINTABLE.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise InputError(f"is no text: it holds {bad.group()!r}", where=f"{where}, line {line}")
    return text


def _collect_lines(root: yaml.Node, where: str, lines: Lines) -> None:
    """Note the line of each key; refuse keys that stand twice, and aliases that grow."""
    stack: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())]
    for _ in range(MAX_NODES):
        if not stack:
            return
        node, at = stack.pop()
        if len(at) > MAX_DEPTH:
            break
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*at, str(key.value)[:80])
                if inner in lines:
                    raise InputError(
                        f"the key {inner[-1]!r} stands here twice, first in line {lines[inner]}",
                        where=f"{where}, line {key.start_mark.line + 1}, {'.'.join(inner)}",
                        hint="keep one of them",
                    )
                lines[inner] = key.start_mark.line + 1
                stack.append((value, inner))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                inner = (*at, str(i))
                lines[inner] = value.start_mark.line + 1
                stack.append((value, inner))
    raise InputError(
        f"more than {MAX_NODES} values, or {MAX_DEPTH} levels of them",
        where=where,
        hint="write out what its aliases stand for, and leave out what is not needed",
    )


def _place(where: str, lines: Lines, keys: tuple[str, ...]) -> str:
    """File, line and key; the line of the innermost key above it where it stands in no line."""
    enough = min(2, len(keys))
    line = next((lines[keys[:n]] for n in range(len(keys), enough - 1, -1) if keys[:n] in lines), 0)
    key = ".".join(k if k.isprintable() else ascii(k)[1:-1] for k in keys)
    return ", ".join([where, *([f"line {line}"] if line else []), *([key] * bool(keys))])


_WANTED = {
    **dict.fromkeys(("string_type", "invalid_key", "path_type"), "text (put it in quotes)"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list, as [0, 0, 1]"),
    **dict.fromkeys(("dict_type", "model_type"), "a mapping of keys"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "finite_number": "a finite number",
    "too_short": "a list of one or more",
}
"""Pydantic's errors of type, in the words of a study file."""


def _refusal(
    error: ValidationError,
    where: str,
    lines: Lines,
    model: type[BaseModel],
    at: tuple[str, ...] = (),
    hint: str = "",
) -> InputError:
    """Turn pydantic's first complaint into one sentence with file, line and key."""
    first = error.errors()[0]
    loc = [str(p) for p in first["loc"]]
    # Branches of a union and marks of dictionary keys are no keys of the file.
    marks = re.compile(r"[\[(]|^(constrained-)?(float|int|str)$")
    named = first["type"] in ("extra_forbidden", "missing")  # the last is a key, whatever it holds
    path = tuple(p for p in loc[: len(loc) - named] if not marks.search(p))
    path += tuple(loc[-1:] * named)
    value, context = first["input"], first.get("ctx", {})
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message, hint = f"unknown key {path[-1]!r}", nearest(path[-1], _fields_at(model, path[:-1]))
    elif first["type"] == "missing" and path[-1].isdigit():
        path, message = path[:-1], "too few values"
    elif first["type"] == "missing":
        path, message = path[:-1], f"the key {path[-1]!r} is missing"
    elif first["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        message, hint = f"unknown word {value!r}", nearest(str(value), known)
    elif first["type"] in _WANTED:
        message = f"should be {_WANTED[first['type']]}, not {str(value)[:40]}"
    elif first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, not {str(value)[:40]}"
    return InputError(message, where=_place(where, lines, (*at, *path)), hint=hint)


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
    return set(model.model_fields) - ({"name"} if model is Level else set())


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return base with changes laid over it, mapping by mapping.

    Another calculator takes the place of the whole entry: settings of one mean nothing to another.
    """
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        anew = key == "calculator" and _other_calculator(old, value)
        if isinstance(old, dict) and isinstance(value, dict) and not anew:
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def _other_calculator(old: Any, new: Any) -> bool:
    names = [str(c.get("name", "")).lower() for c in (old, new) if isinstance(c, dict)]
    return len(names) == 2 and all(names) and names[0] != names[1]


def _without_foreign_settings(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a level sets for oxides where the study changes the calculator."""
    oxides = base.get("with_oxygen")
    if oxides and _other_calculator(base.get("calculator"), changes.get("calculator")):
        return {**base, "with_oxygen": {k: v for k, v in oxides.items() if k != "calculator"}}
    return base


Engine = Literal["local", "slurm", "script", "jobflow-remote"]
Role = Literal["bulk", "slab", "curve", "interface"]
Count = Annotated[int, Field(ge=1, le=100_000)]


def _checked_word(value: str) -> str:
    if not re.fullmatch(r"[\w@+%/][\w.:,@+%=/&|*()\[\]-]*", value, re.ASCII):
        raise ValueError(f"{value[:40]!r} is no single word of letters, digits, . : , @ + % = / -")
    return value


Word = Annotated[str, AfterValidator(_checked_word)]
OneLine = Annotated[str, Field(pattern=r"^[^\n\r\x00]*$")]


SBATCH_WORDS = {
    "ntasks": "cores",
    "cpus-per-task": "threads_per_core",
    "nodes": "num_nodes",
    "mem": "memory_max",
    "time": "run_time_max",
    "partition": "partition",
    "account": "account",
    "qos": "qos",
}
"""Options of sbatch to the word of `Resources` that they are written from."""


class Resources(Section):
    """What a queue job asks for, in the words of executorlib's ``resource_dict``."""

    cores: Count | None = Field(default=None, description="MPI ranks of GPAW; all else takes one.")
    threads_per_core: Count | None = Field(default=None, description="OpenMP threads of each.")
    memory_max: Annotated[float, Field(ge=0.01, le=1e6)] | None = Field(
        default=None, description="Memory of the job, GB."
    )
    run_time_max: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        default=None, description="Longest walltime, s; an estimate may ask for less."
    )
    num_nodes: Count | None = None
    exclusive: bool | None = None
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None


class RemoteSpec(Section):
    """Where jobflow-remote takes a flow to."""

    project: Name = Field(default="adhesion", description="Name of jobflow-remote's project.")
    worker: Name = Field(default="cluster", description="Worker of that project.")
    exec_config: Name | None = Field(default=None, description="Its modules and environment.")
    resources: dict[str, Any] = Field(
        default={}, description="For qtoolkit: nodes, processes_per_node, time, queue_name, ..."
    )


class Machine(Section):
    """Where and how a study runs: this machine, or a queue."""

    engine: Engine = Field(default="local", description="What computes.")
    workers: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Calculations side by side; the number of cores if left out."
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="OpenMP threads of each calculation."
    )
    allow_calculators: list[str] = Field(
        default=[], description="Import paths of ASE calculators that a study may name."
    )
    resource_dict: Resources = Resources()
    roles: dict[Role, Resources] = Field(
        default={}, description="Changes of resource_dict for one kind of calculation."
    )
    sbatch: dict[Word, Word | int | bool] = Field(
        default={}, description="Further long options of sbatch, without the dashes."
    )
    setup: list[OneLine] = Field(
        default=[], description="Shell lines before each job: modules, environment."
    )
    launcher: list[OneLine] = Field(
        default=[], description="How GPAW starts on several cores, as [mpiexec, -n, '{cores}']."
    )
    walltime_factor: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=4.0, description="Walltime asked for, in units of the estimate."
    )
    max_jobs: Count = Field(default=200, description="Jobs in the queue at one time.")
    queue_patience_s: Positive = Field(
        default=900.0, description="How long the driver waits for a queue that does not answer, s."
    )
    remote: RemoteSpec = RemoteSpec()
    _path: Path | None = PrivateAttr(default=None)

    @field_validator("sbatch")
    @classmethod
    def _own_words(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = {"chdir", "job-name", "output", "error", "parsable", "wait", "wrap", "array"}
        for key in value:
            if key in taken or key.startswith("-"):
                raise ValueError(f"{key!r} cannot be set here")
            if key in SBATCH_WORDS:  # its value would win, also over retry --walltime
                raise ValueError(f"{key!r} is {SBATCH_WORDS[key]} of resource_dict: set it there")
        return value

    @field_validator("launcher")
    @classmethod
    def _one_place_to_fill(cls, value: list[str]) -> list[str]:
        for word in value:
            if not word or re.search(r"[{}]", word.replace("{cores}", "")):
                raise ValueError(
                    f"{word!r}: each word holds text, and {{cores}} where it is wanted"
                )
        return value

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self._path) if self._path else "machine"

    def resources(self, role: str) -> Resources:
        """Return what a kind of calculation asks for: bulk, slab, curve or interface."""
        changes = self.roles.get(role, Resources())  # type: ignore[call-overload]
        return self.resource_dict.model_copy(update=changes.model_dump(exclude_none=True))


def load_machine(path: str | os.PathLike[str]) -> Machine:
    """Read and check a machine file.

    Raises
    ------
    InputError
        Naming the file, the line and the key that is wrong.
    """
    data, lines = load_yaml(Path(path))
    try:
        machine = Machine.model_validate(data)
    except ValidationError as error:
        raise _refusal(error, str(path), lines, Machine) from None
    machine._path = Path(path)
    return machine
