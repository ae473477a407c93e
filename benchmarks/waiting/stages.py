"""What of the benchmark `confirmation` is asked for, by environment variables."""

import os
from collections.abc import Sequence

from fraudstream.dataset.generator import PUBLISHED_FRAUDS

from benchmarks.rounds import BenchmarkFailed
from benchmarks.waiting.peers import PEERS, WAITING

STAGES = ("peers", "100", "1000", "2500", "idle")
TRICKLE = "trickle"
WHOLE = sum(PUBLISHED_FRAUDS.values())
WHOLE_STAGE = str(WHOLE)
TRICKLE_CASES = 3_000
_TRIGGERERS = 2


def stages() -> list[str]:
    """STAGES, in the order in which they are run.

    :raises BenchmarkFailed: there is no such stage
    """
    return _asked("STAGES", STAGES, [*STAGES, TRICKLE, WHOLE_STAGE])


def peers() -> list[str]:
    """PEERS, in the order of the first round.

    :raises BenchmarkFailed: there is no such peer
    """
    return _asked("PEERS", list(PEERS), list(PEERS))


def peer_cases() -> int:
    """How many cases wait for each peer; CASES picks fewer, for a look."""
    return min(_cases(WAITING), WAITING)


def trickle_cases() -> int:
    """How many cases come in the stage `trickle`; CASES picks fewer, for a look."""
    return _cases(TRICKLE_CASES)


def triggerers() -> int:
    """How many triggerers share the cases."""
    return int(os.environ.get("TRIGGERERS", _TRIGGERERS))


def _cases(default: int) -> int:
    return int(os.environ.get("CASES", default))


def _asked(variable: str, default: Sequence[str], there_are: Sequence[str]) -> list[str]:
    asked = os.environ.get(variable, ",".join(default)).split(",")
    if unknown := set(asked) - set(there_are):
        raise BenchmarkFailed(f"{variable} has {', '.join(sorted(unknown))}; there are {', '.join(there_are)}")
    return [name for name in there_are if name in asked]
