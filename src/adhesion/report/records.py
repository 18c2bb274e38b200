"""Rows as CSV and JSON: all fields, for other programs."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from adhesion.report.layout import fixed
from adhesion.schemas import AdhesionRow, ContactAngle, Document, Formation

NESTED: dict[str, tuple[str, type[Document]]] = {
    "contact_angles": ("angle", ContactAngle),
    "alloys": ("alloy", Formation),
}
"""Field of a row to the stem of its columns, numbered from 1, and what stands in each."""
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
DECIMALS = {
    **{"J_m2": 4, "deg": 2, "A2": 4, "eV_A": 4, "A": 3, "GPa": 3},
    **{"percent": 3, "seconds": 1, "": 6},
}
"""Decimals in CSV by the unit that a field's name ends with."""


def as_csv(rows: list[AdhesionRow]) -> str:
    """Return one line for each row, one column for each field; angles and alloys last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _names(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(row) for row in rows)
    return text.getvalue()


def _names(rows: list[AdhesionRow]) -> list[str]:
    names = list(_flat(AdhesionRow.model_construct()))
    for field, (stem, model) in NESTED.items():
        longest = max((len(getattr(row, field)) for row in rows), default=0)
        names += [f"{stem}_{i}_{n}" for i in range(1, longest + 1) for n in model.model_fields]
    return names


def fields_of(rows: list[AdhesionRow]) -> list[dict[str, str]]:
    """Describe the columns of `as_csv` as fields of a Frictionless table schema."""
    return [_described(name) for name in _names(rows)]


def _described(name: str) -> dict[str, str]:
    model: type[Document] = AdhesionRow
    plain = name
    for stem, nested in NESTED.values():
        if nested_name := re.fullmatch(rf"{stem}_\d+_(.+)", name):
            model, plain = nested, nested_name[1]
    field = model.model_fields.get(plain) or model.model_fields.get(
        re.sub(r"_[12]_percent$", "_percent", plain)
    )
    kind = "string"
    if field is not None:
        said = str(field.annotation)
        number = "float" in said and "dict" not in said
        whole = re.search(r"\bint\b", said)
        kind = "number" if number else "integer" if whole else "string"
        kind = "boolean" if "bool" in said else kind
    described = {"name": name, "type": kind}
    if field is not None and field.description:
        described["description"] = field.description
    return described


def _flat(row: AdhesionRow) -> dict[str, str]:
    """One text for each field; pairs and lists of models spread over columns of their own."""
    flat: dict[str, str] = {}
    for name in AdhesionRow.model_fields:
        value = getattr(row, name, None)
        if name in NESTED:
            continue
        if name.endswith("strain_percent"):
            stem = name.removesuffix("_percent")
            for i, part in enumerate(value or (None, None), 1):
                flat[f"{stem}_{i}_percent"] = _csv_cell("percent", part)
        else:
            flat[name] = _csv_cell(name, value)
    for field, (stem, model) in NESTED.items():
        for i, one in enumerate(getattr(row, field, []), 1):
            for name in model.model_fields:
                flat[f"{stem}_{i}_{name}"] = _csv_cell(name, getattr(one, name))
    return flat


def _csv_cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        value = [f"{key}: {why}" for key, why in value.items()]
    if isinstance(value, list):
        value = "; ".join(value)
    if isinstance(value, float):
        decimals = next(d for unit, d in DECIMALS.items() if name.endswith(unit))
        return fixed(value, decimals)
    return harmless(str(value))


def harmless(text: str) -> str:
    """Quote a text that starts like a formula, which a spreadsheet would run; not a number."""
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not NUMBER.fullmatch(text)
    return f"'{text}" if formula else text


def as_json(rows: list[AdhesionRow]) -> str:
    """Return the list of rows as data."""
    data = [row.model_dump(mode="json") for row in rows]
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
