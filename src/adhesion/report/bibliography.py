"""BibTeX entries of everything a report used: codes, methods, crystals, what it compares with."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ENTRIES = Path(__file__).with_name("references.bib")
DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>{}]+")


@cache
def known() -> dict[str, str]:
    """Return the entries that travel with the project, by key."""
    parts = re.split(r"\n(?=@)", ENTRIES.read_text(encoding="utf-8"))
    return {re.match(r"@\w+\{([^,]+),", p).group(1): p.strip() for p in parts}  # type: ignore[union-attr]


class Bibliography:
    """The works cited so far, each once, in the order in which they were first cited."""

    def __init__(self) -> None:
        self._entries: dict[str, str] = {}

    def cite(self, *keys: str) -> str:
        """Cite entries of the project's own list; return the citation in pandoc's notation."""
        for key in keys:
            self._entries.setdefault(key, known()[key])
        return "[" + "; ".join(f"@{key}" for key in keys) + "]"

    def cite_source(self, source: str, doi: str | None = None) -> str:
        """Cite a source that a study or a crystal names in words; the same words give one entry.

        A source whose DOI the project knows becomes that entry, any other an entry of its
        words and its DOI.
        """
        found = DOI.search(source)
        doi = doi or (found.group().rstrip(".,;)") if found else None)
        for key, entry in known().items():
            if (doi and doi.lower() in entry.lower()) or _is_report(key, source):
                return self.cite(key)
        key = _key(source, doi)
        lines = [f"  note = {{{_escaped(source)}}}"]
        if doi:
            lines.append(f"  doi = {{{doi}}}")
        if year := re.search(r"\b(1[89]|20)\d\d\b", source):
            lines.append(f"  year = {{{year.group()}}}")
        self._entries.setdefault(key, "@misc{" + key + ",\n" + ",\n".join(lines) + "\n}")
        return f"[@{key}]"

    def text(self) -> str:
        """Return all entries as a BibTeX file."""
        return "\n\n".join(self._entries.values()) + "\n" if self._entries else ""


def _is_report(key: str, source: str) -> bool:
    return key == "fink-leibowitz" and "ANL/RE-95/2" in source


def _key(source: str, doi: str | None) -> str:
    """Return a key of plain letters and digits that is the same for the same source."""
    words = re.findall(r"[a-z0-9]+", (doi or source).lower())
    return "-".join(words)[:60].strip("-") or "source"


_SPECIAL = {
    **{c: f"\\{c}" for c in "&%$#_"},
    **dict.fromkeys("{}", ""),
    "\\": r"\textbackslash ",
    "~": r"\textasciitilde ",
    "^": r"\textasciicircum ",
}


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text if c.isprintable())


def to_latex(text: str) -> str:
    r"""Turn pandoc citations into \cite, and escape what LaTeX would read as a command."""
    parts = re.split(r"(\[@[^\]]+\])", text)
    return "".join(
        r"\cite{" + ",".join(re.findall(r"@([\w-]+)", part)) + "}"
        if part.startswith("[@")
        else _escaped(part)
        for part in parts
    )
