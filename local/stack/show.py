"""Prints the state of the stack: a live table on a terminal, otherwise a line for each part that is ready."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from local.supervisor.part import State, Status

_STYLE = {
    State.READY: "green",
    State.DONE: "dim",
    State.STARTING: "yellow",
    State.FAILED: "red",
    State.DIED: "red",
}


def table(parts: Sequence[Status], memory: Mapping[str, int], faults: Mapping[str, str]) -> Table:
    """A table with state, pid, memory, uptime and address of each part, and a last row with the sum of memory.

    :param memory: bytes by part
    :param faults: failed readiness checks by part; such a part is shown as silent: it runs and was ready before
    """
    out = Table("part", "state", "pid", "ready after", "PSS", "up", "address", box=None, pad_edge=False)
    for part in parts:
        out.add_row(
            part.name,
            "[red]silent[/]" if part.name in faults else f"[{_STYLE.get(part.state, 'none')}]{part.state}[/]",
            str(part.pid or ""),
            f"{part.seconds:.1f} s" if part.seconds else "",
            _mebibytes(memory.get(part.name, 0)),
            _duration(time.time() - part.started) if part.pid and part.started else "",
            part.address,
        )
    out.add_row("all", "", "", "", _mebibytes(sum(memory.values())), "", "")
    return out


def addresses(parts: Sequence[Status]) -> Table:
    """A table with the address of each part that has one."""
    out = Table.grid(padding=(0, 2))
    for part in parts:
        if part.address:
            out.add_row(part.name, part.address)
    return out


def report_problems(parts: Sequence[Status], faults: Mapping[str, str], console: Console) -> int:
    """Prints the problems of each part. Returns 1 if there are any or if nothing runs, else 0."""
    problems = [part.problem for part in parts if part.problem]
    problems += [f"{name} runs, but {fault}; its log: make logs PART={name}" for name, fault in faults.items()]
    for problem in problems:
        console.print(f"\n{problem}", style="red", markup=False, highlight=False)
    return 1 if problems or not parts else 0


class Progress:
    """Shows the parts while they start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._said: set[str] = set()

    def update(self, parts: Sequence[Status]) -> None:
        """Updates the state of every part."""
        if self._live:
            self._live.update(table(parts, {}, {}))
            return
        for part in parts:
            if part.seconds and part.name not in self._said and part.state in {State.READY, State.DONE}:
                self._said.add(part.name)
                self._console.print(f"{part.name:<24} {part.state:<6} {part.seconds:6.1f} s", highlight=False)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
