"""Ours and the peers in the same rounds."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.rounds import Figures

#: Runs one round, by its number; `waiting` is of how many, `items` how many of them were resolved in time.
Round = Callable[[int], dict[str, Any]]


def interleave(subjects: Mapping[str, Round], rounds: int) -> tuple[dict[str, Figures], dict[str, dict[str, Any]]]:
    """Runs each subject once a round, every other round in reverse order.

    :return: the figures of those that finished each round, and the last outcome of those that did not finish one: they
        are not run again, and their figures don't count
    """
    figures: dict[str, Figures] = {}
    unfinished: dict[str, dict[str, Any]] = {}
    for number in range(rounds):
        names = [name for name in subjects if name not in unfinished]
        for name in names if number % 2 == 0 else reversed(names):
            outcome = subjects[name](number)
            if outcome["items"] == outcome["waiting"]:
                figures.setdefault(name, Figures()).outcomes.append(outcome)
            else:
                unfinished[name] = outcome
                figures.pop(name, None)
    return figures, unfinished
