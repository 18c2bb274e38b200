"""What the commands share: options, reading a study, opening results, printing rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from adhesion.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE, InputError, printable

if TYPE_CHECKING:
    from adhesion.planning import Plan
    from adhesion.schemas import AdhesionRow
    from adhesion.store import Results
    from adhesion.study import Study
    from adhesion.wetting import SurfaceTension


class InOrderOfUse(TyperGroup):
    """Lists the commands as a study goes through them."""

    ORDER = (
        "init",
        "check",
        "plan",
        "match",
        "faces",
        "search",
        "run",
        "submit",
        "status",
        "cancel",
        "retry",
        "converge",
        "control",
        "alloys",
        "report",
        "compare",
        "verify",
    )

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        """Names of the commands, those without a place last."""
        names = [*self.ORDER, *sorted(self.commands)]
        return [n for n in dict.fromkeys(names) if n in self.commands]


app = typer.Typer(
    cls=InOrderOfUse,
    help="From two crystals to a work of adhesion and a contact angle.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

STORE = Path("adhesion-store")

StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).", metavar="STUDY")]
LevelName = Annotated[str, typer.Option(help="Level of theory.")]
AnyLevel = Annotated[
    str | None, typer.Option(help="Level of theory; the highest each interface has, if left out.")
]
Only = Annotated[list[str] | None, typer.Option(help="Only this interface, as Na/Pb; repeatable.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
JobStoreFile = Annotated[
    Path | None,
    typer.Option("--jobstore", help="jobflow settings file; its JobStore keeps the results."),
]
MachineFile = Annotated[Path | None, typer.Option(help="Machine file (YAML).")]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="Import path of an ASE calculator that the study may use; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(text: str) -> None:
    """Talk goes to stderr; data goes to stdout."""
    typer.echo(printable(text), err=True)


def read_study(path: Path) -> Study:
    """Read a study before what takes long is imported: a typo is told at once."""
    from adhesion.study import load_study

    return load_study(path)


def data(*parts: str) -> Path:
    """Path of what travels with the project."""
    from adhesion.study import data_path

    return data_path(*parts)


def open_results(store: Path, jobstore: Path | None = None, *, to_write: bool = True) -> Results:
    """Open store and archive; a JobStore of the user's own in place of the folder's."""
    from adhesion.store import Results, configured_store, open_store

    if store.exists() and not store.is_dir():
        raise InputError("is a file, not a folder of results", where=f"--store {store}")
    opened = configured_store(jobstore, to_write=to_write) if jobstore else open_store(store)
    return Results(opened, data("results"))


def rows_of(
    plans: list[Plan],
    results: Results,
    store: Path,
    tensions: list[SurfaceTension],
    study: Study,
) -> list[AdhesionRow]:
    """Rows of plans, from store and archive."""
    from adhesion.report.collect import row_of

    return [row_of(plan, results, store, tensions, study) for plan in plans]


def print_rows(rows: list[AdhesionRow], study: Study, format: str, output: Path | None) -> None:
    """Print the table, or write it to a file."""
    from adhesion.files import write_text
    from adhesion.report.tables import render

    text = render(rows, study, format)
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        write_text(output, text)
        say(f"wrote {output}")


def exit_status(rows: list[AdhesionRow]) -> int:
    """Exit status of a command that shows these rows."""
    states = {row.status for row in rows}
    if "failed" in states:
        return EXIT_FAILED
    return EXIT_DONE if states <= {"done"} else EXIT_INCOMPLETE
