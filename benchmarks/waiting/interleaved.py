"""Runs the pipeline's sensors and the peers in the same rounds."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness.rounds import Figures

#: Runs the round with this number. In its outcome `waiting` is the number of waiting cases, `items` the number of those
#: that were resolved in time.
Round = Callable[[int], dict[str, Any]]


def interleave(subjects: Mapping[str, Round], rounds: int) -> tuple[dict[str, Figures], dict[str, dict[str, Any]]]:
    """Runs each subject once in a round, every other round in reverse order.

    A subject that doesn't finish a round isn't run again, and its figures don't count.

    :return: the figures of the subjects that finished every round, and the last outcome of each other subject
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
