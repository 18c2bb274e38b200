"""The command line: commands only; what takes long to import is imported inside them."""

from __future__ import annotations

import sys
import tempfile
import traceback

import typer

from adhesion.cli import cluster, comparing, compute, control, converge, reporting, search, setup
from adhesion.cli.common import app, say
from adhesion.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, AdhesionError

__all__ = [
    "cluster",
    "comparing",
    "compute",
    "control",
    "converge",
    "entry",
    "main",
    "reporting",
    "search",
    "setup",
]

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; every error becomes a message and an exit status.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process if left out.

    Returns
    -------
    int
        0 done, 1 failed, 2 bad input or set-up, 3 incomplete, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(args=arguments or ["--help"], prog_name="adhesion", standalone_mode=False)
    except AdhesionError as error:
        say(f"adhesion: {error}")
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the reader of a pipe went away, as head does
        return EXIT_DONE
    except Exception as error:
        return _unexpected(error)
    if status == INTERRUPTED:
        say("adhesion: interrupted; what was finished is kept, the same command goes on")
    return status if isinstance(status, int) else EXIT_DONE


def _unexpected(error: Exception) -> int:
    """Tell apart a wrong command line, a trouble with files, and a bug."""
    # By its methods: newer versions of typer carry a copy of click, with classes of its own.
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "adhesion"
        say(f"adhesion: {error.format_message()}\n  -> see: {command} --help")
        return EXIT_BAD_INPUT
    if isinstance(error, OSError) and error.filename is not None:
        say(f"adhesion: {error.filename}: {error.strerror}")
        return EXIT_BAD_INPUT
    with tempfile.NamedTemporaryFile(
        "w", prefix="adhesion-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    say(f"adhesion: a bug, {type(error).__name__}; please report it with {file.name}")
    return EXIT_FAILED


def entry() -> None:
    """Console script."""
    sys.exit(main())
