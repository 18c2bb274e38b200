"""Errors meant for people: what is wrong, where, and what to type next.

Each class carries the exit status that the command line ends with.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 3


class AdhesionError(Exception):
    """An error that a user can cause or mend.

    Parameters
    ----------
    what : str
        What is wrong, one sentence.
    where : str, optional
        The file and key, interface or calculation it is about.
    hint : str, optional
        What to type or change next.
    """

    exit_status = EXIT_FAILED

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  -> {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.hint)


def _rebuild(cls: type[AdhesionError], what: str, where: str, hint: str) -> AdhesionError:
    return cls(what, where=where, hint=hint)


class InputError(AdhesionError):
    """A study, crystal, machine or settings file that cannot be used."""

    exit_status = EXIT_BAD_INPUT


class SetupError(AdhesionError):
    """The machine lacks something: a program, a dataset, a writable folder."""

    exit_status = EXIT_BAD_INPUT


class NoMatchError(InputError):
    """No common cell of film and substrate lies within the limits."""


class UnlikeEnergiesError(AdhesionError):
    """Energies of unlike settings were about to be subtracted."""


class CalculationError(AdhesionError):
    """A calculation ended without a result."""


class NotConvergedError(CalculationError):
    """An SCF or a relaxation stopped before it met its criteria."""

    exit_status = EXIT_INCOMPLETE


class DamagedFileError(AdhesionError):
    """A file of the store, the archive or a checkpoint cannot be trusted."""


def printable(text: str) -> str:
    """Return a text whose control characters a terminal shows, and does not obey."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word comes nearest, or list all of them."""
    known = sorted(known)
    close = get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    if close:
        return f"did you mean {next(k for k in known if k.lower() == close[0])!r}?"
    return "known: " + ", ".join(known) if known else "none are known"
