"""What is under way, as bars in the terminal; nothing where rich is missing or quiet is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

Tell = Callable[[str, int, int | None, str], None]  # (stage, done, total, note); total None where it is not known


@contextmanager
def progress(quiet: bool) -> Iterator[Tell]:
    """Gives the function to call whenever something is done. A stage appears when it is first told of."""
    if quiet or find_spec("rich") is None:
        yield lambda stage, done, total, note: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<11}"), BarColumn(bar_width=16), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[note]}")) as bar:
        tasks = {}

        def tell(stage: str, done: int, total: int | None, note: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, note=note)
            bar.update(tasks[stage], completed=done, total=total, note=note)

        yield tell
