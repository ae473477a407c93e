"""The duration of each stage, and progress bars for stages that run in parallel."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Stages:
    """The stages of a run; ``seconds`` has the duration of each stage by its name."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Runs a stage that nothing runs in parallel with, and prints its duration at its end."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        self.console.print(f"{name:<24} {'done':>9} {self.seconds[name]:6.1f} s")


class Bars:
    """A progress bar for each stage that runs in parallel. Without a terminal, prints a line when a stage is done."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._started = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=stages.console,
            disable=not stages.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, name: str, total: int) -> None:
        """Adds a bar that is full at `total`."""
        self._tasks[name] = self._progress.add_task(name, total=total)

    def full(self, *names: str) -> bool:
        """Whether these bars are full."""
        return all(self._progress.tasks[self._tasks[name]].finished for name in names)

    def advance(self, name: str, completed: int) -> None:
        """Advances a bar, and records when it is full."""
        if self.full(name):
            return
        task = self._progress.tasks[self._tasks[name]]
        # Some offsets are transaction markers, so `completed` may exceed the total. A bar never goes back.
        reached = max(int(task.completed), min(completed, int(task.total or 0)))
        self._progress.update(task.id, completed=reached)
        if self.full(name):
            self._stages.seconds[name] = round(time.monotonic() - self._started, 1)
            if not self._stages.console.is_terminal:
                self._stages.console.print(f"{name:<24} {reached:>9,.0f} {self._stages.seconds[name]:6.1f} s")
