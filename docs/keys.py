"""Tables of the keys of a study or machine file, from the models that check it."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from adhesion import study

WORDS = {str: "text", float: "number", int: "whole number", bool: "true or false", Path: "file"}


def keys_of(name: str) -> str:
    """Return a Markdown table of the keys of a model of adhesion.study."""
    model: type[BaseModel] = getattr(study, name)
    lines = ["| key | | default | |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        if (name, key) == ("Level", "name"):  # the key above it
            continue
        cells = (f"`{key}`", _kind(field), _default(field), field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _kind(field: FieldInfo) -> str:
    limits = [f"{sign} {value}" for sign, value in _limits(field.metadata)]
    return ", ".join([_words(field.annotation), *limits])


def _limits(metadata: list[Any]) -> list[tuple[str, Any]]:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    flat = [m for one in metadata for m in (one.metadata if isinstance(one, FieldInfo) else [one])]
    return [(sign, getattr(m, key)) for m in flat for key, sign in signs.items() if hasattr(m, key)]


def _words(kind: Any) -> str:
    """Name a type in the words of a study file."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(inner[0])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(one) for one in inner if one is not type(None))
    if origin is list:
        return f"list of {_words(inner[0])}"
    if origin is tuple:
        return f"{len(inner)} of {_words(inner[0])}"
    if origin is dict:
        return f"{_words(inner[0])} to {_words(inner[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"[{kind.__name__}](#{_anchor(kind.__name__)})"
    return WORDS.get(kind, "anything" if kind is Any else str(kind))


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9-]", "", name.lower())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = list(value)
    return "" if value == "" or value == {} or value == [] else f"`{value}`"
