"""Progress of a run in the terminal: a bar per calculation, a line per finished row."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from adhesion.planning import Plan
from adhesion.runner import Event
from adhesion.schemas import AdhesionRow


class Watch:
    """Show the events of a run.

    Parameters
    ----------
    plans : list of Plan
        What is being computed.
    rows : callable
        Makes the rows of plans whose calculations are all there.
    """

    def __init__(self, plans: list[Plan], rows: Callable[[list[Plan]], list[AdhesionRow]]) -> None:
        self._console = Console(stderr=True)
        self._waiting = {plan.spec.label: (plan, set(plan.hashes.values())) for plan in plans}
        self._rows = rows
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16, pulse_style="green"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[last]}", style="dim"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Watch:
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        """Take one event of the runner."""
        if event.kind == "started":
            self._tasks[event.hash] = self._progress.add_task(event.label, total=None, last="")
            if not self._console.is_terminal:
                self._say(f"started   {event.label}")
        elif event.kind == "progress" and event.hash in self._tasks:
            self._progress.update(self._tasks[event.hash], last=event.message[:60], advance=1)
        elif event.kind != "progress":
            if event.hash in self._tasks:
                self._progress.remove_task(self._tasks.pop(event.hash))
            where = f" ({event.source})" if event.source else ""
            talk = f": {event.message}" if event.message else ""
            self._say(f"{event.kind:9} {event.label}{where}{talk}")
            if event.kind in ("finished", "reused"):
                self._finish(event.hash)

    def _finish(self, hash: str) -> None:
        """Print a row as soon as its last calculation is there."""
        for label, (plan, missing) in list(self._waiting.items()):
            missing.discard(hash)
            if not missing:
                del self._waiting[label]
                (row,) = self._rows([plan])
                found = [
                    f"{name} {value:.3f}"
                    for name, value in (
                        ("W_curve", row.W_curve_J_m2),
                        ("W_ad", row.W_ad_J_m2),
                        ("W_rigid", row.W_rigid_J_m2),
                    )
                    if value is not None
                ]
                proxy = " (proxy: no number)" if row.proxy else ""
                numbers = f"{', '.join(found)} J/m2{proxy}" if found else row.status
                self._say(f"row       {label}: {numbers}")

    def _say(self, text: str) -> None:
        """Print one line as it is: labels and messages are no markup, and are not wrapped."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
