"""BibTeX entries of everything a report used: codes, methods, crystals, what it compares with."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from adhesion.report.tex import escaped, typeset

ENTRIES = Path(__file__).with_name("references.bib")
DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>{}]+")

PRINTED_AS = {
    "ANL/RE-95/2": "fink-leibowitz",
    "Chem. Sci. 2022, 13, 14132": "li-2022",
    "Chem. Mater. 2020, 32, 3970": "gao-2020",
}
"""How sources name entries other than by DOI."""


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

        A source that the project knows, by its DOI or as it is printed, becomes that entry; any
        other with a DOI or a year an entry of its words. The rest are no publications, and
        give no citation.
        """
        found = DOI.search(source)
        doi = doi or (found.group().rstrip(".,;)") if found else None)
        keys = [key for key, entry in known().items() if doi and doi.lower() in entry.lower()]
        keys += [key for words, key in PRINTED_AS.items() if words in source]
        if keys:
            return self.cite(*dict.fromkeys(keys))
        if not doi and not re.search(r"\b(1[89]|20)\d\d\b", source):
            return ""
        key = _key(source, doi)
        lines = [f"  note = {{{_escaped(source)}}}"] + ([f"  doi = {{{doi}}}"] if doi else [])
        self._entries.setdefault(key, "@misc{" + key + ",\n" + ",\n".join(lines) + "\n}")
        return f"[@{key}]"

    def text(self) -> str:
        """Return all entries as a BibTeX file."""
        return "\n\n".join(self._entries.values()) + "\n" if self._entries else ""


def _key(source: str, doi: str | None) -> str:
    """Return a key of plain letters and digits that is the same for the same source."""
    words = re.findall(r"[a-z0-9]+", (doi or source).lower())
    return "-".join(words)[:60].strip("-") or "source"


def _escaped(text: str) -> str:
    """Escape for an entry, in which braces must pair."""
    return escaped(re.sub("[{}]", "", text))


def to_latex(text: str) -> str:
    r"""Turn pandoc citations into \cite, symbols into formulas; paragraphs stay apart."""
    return "\n\n".join(_paragraph(words) for words in text.strip().split("\n\n")) + "\n"


def _paragraph(text: str) -> str:
    parts = re.split(r"(\[@[^\]]+\])", text)
    return "".join(
        r"\cite{" + ",".join(re.findall(r"@([\w-]+)", part)) + "}"
        if part.startswith("[@")
        else typeset(part)
        for part in parts
    )
