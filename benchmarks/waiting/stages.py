"""Reads the options of the benchmark `confirmation` from environment variables."""

import os
from collections.abc import Sequence

from fraudstream.dataset.generator import PUBLISHED_FRAUDS

from benchmarks.harness.rounds import BenchmarkFailed
from benchmarks.waiting.peers import PEERS, WAITING

STAGES = ("peers", "100", "1000", "2500", "idle")
TRICKLE = "trickle"
WHOLE = sum(PUBLISHED_FRAUDS.values())
WHOLE_STAGE = str(WHOLE)
TRICKLE_CASES = 3_000
_TRIGGERERS = 2


def stages() -> list[str]:
    """The stages in STAGES, in the order in which they are run; by default all but trickle and 8213.

    :raises BenchmarkFailed: a stage doesn't exist
    """
    return _asked("STAGES", STAGES, [*STAGES, TRICKLE, WHOLE_STAGE])


def peers() -> list[str]:
    """The peers in PEERS, in the order of the first round; by default all.

    :raises BenchmarkFailed: a peer doesn't exist
    """
    return _asked("PEERS", list(PEERS), list(PEERS))


def peer_cases() -> int:
    """The number of cases for each peer; CASES sets a smaller number for a quick run."""
    return min(_cases(WAITING), WAITING)


def trickle_cases() -> int:
    """The number of cases in the stage `trickle`; CASES sets another number."""
    return _cases(TRICKLE_CASES)


def triggerers() -> int:
    """The number of triggerers, from TRIGGERERS."""
    return int(os.environ.get("TRIGGERERS", _TRIGGERERS))


def _cases(default: int) -> int:
    return int(os.environ.get("CASES", default))


def _asked(variable: str, default: Sequence[str], there_are: Sequence[str]) -> list[str]:
    asked = os.environ.get(variable, ",".join(default)).split(",")
    if unknown := set(asked) - set(there_are):
        raise BenchmarkFailed(f"{variable} has {', '.join(sorted(unknown))}; there are {', '.join(there_are)}")
    return [name for name in there_are if name in asked]
