"""The benchmark `confirmation`: its options, the rounds of its subjects, and the progress of a wait."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.harness.rounds import BenchmarkFailed
from benchmarks.waiting import progress, stages, trickle
from benchmarks.waiting.interleaved import Round, interleave
from tests.fakes.clock import Clock


def test_without_names_all_stages_but_the_long_ones_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("STAGES", "PEERS", "CASES", "TRIGGERERS"):
        monkeypatch.delenv(variable, raising=False)
    assert stages.stages() == ["peers", "100", "1000", "2500", "idle"]
    assert stages.peers() == ["stock_default", "stock_tuned", "shared_stream", "hitl"]
    assert (stages.peer_cases(), stages.trickle_cases(), stages.triggerers()) == (100, 3_000, 2)


def test_stages_and_peers_are_run_in_their_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGES", "trickle,100,peers")
    monkeypatch.setenv("PEERS", "hitl,shared_stream")
    assert stages.stages() == ["peers", "100", "trickle"]
    assert stages.peers() == ["shared_stream", "hitl"]


@pytest.mark.parametrize(
    ("variable", "names", "there_is"),
    [("STAGES", stages.stages, "trickle, 8213"), ("PEERS", stages.peers, "shared_stream, hitl")],
)
def test_an_unknown_name_is_refused_with_the_known_ones(
    variable: str, names: Callable[[], list[str]], there_is: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "stock,hitl")
    with pytest.raises(BenchmarkFailed, match=rf"{variable} has .*stock.*; there are .*{there_is}"):
        names()


def test_fewer_cases_are_for_a_look_and_never_more_than_the_peers_have_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CASES", "20")
    assert (stages.peer_cases(), stages.trickle_cases()) == (20, 20)
    monkeypatch.setenv("CASES", "240")
    assert (stages.peer_cases(), stages.trickle_cases()) == (100, 240)


class Rounds:
    """Subjects that record their runs; `finishes` has how many of 10 cases a subject resolves in each round."""

    def __init__(self, **finishes: list[int]) -> None:
        self.ran: list[tuple[int, str]] = []
        self.subjects: dict[str, Round] = {name: self._subject(name, items) for name, items in finishes.items()}

    def _subject(self, name: str, items: list[int]) -> Round:
        def run(number: int) -> dict[str, Any]:
            self.ran.append((number, name))
            return {"items": items[number], "waiting": 10, "seconds": 2.0}

        return run


def test_every_other_round_is_in_reverse_order() -> None:
    rounds = Rounds(ours=[10, 10, 10], peer=[10, 10, 10])
    figures, unfinished = interleave(rounds.subjects, 3)
    assert rounds.ran == [(0, "ours"), (0, "peer"), (1, "peer"), (1, "ours"), (2, "ours"), (2, "peer")]
    assert figures["peer"].rates == [5, 5, 5]
    assert not unfinished


def test_a_peer_that_does_not_finish_has_no_figures_and_is_not_run_again() -> None:
    rounds = Rounds(ours=[10, 10, 10], never=[0], once=[10, 9])
    figures, unfinished = interleave(rounds.subjects, 3)
    assert list(figures) == ["ours"]
    assert {name: outcome["items"] for name, outcome in unfinished.items()} == {"never": 0, "once": 9}
    assert [name for number, name in rounds.ran if number == 2] == ["ours"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def test_a_long_wait_says_every_30_s_how_far_it_is(clock: Clock) -> None:
    said: list[str] = []
    assert progress.wait_for_count(lambda: int(clock.now * 2), 150, 100, said.append, "trickle, waiting") == 75
    assert said == ["trickle, waiting: 60 of 150 after 30 s", "trickle, waiting: 120 of 150 after 60 s"]


def test_a_wait_ends_in_time(clock: Clock) -> None:
    said: list[str] = []
    assert progress.wait_for_count(lambda: 1, 2, 20, said.append, "waiting") == 20
    assert not said


class Trickling:
    """An Airflow in which 5 cases already wait and two more arrive each second, up to a number; and its customers."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock, self._most = clock, most
        self.paused: list[str] = []
        self.api = SimpleNamespace(pause=lambda dag, _: self.paused.append(dag))

    def waiting(self) -> int:
        return 5 + min(self._most, int(self._clock.now * 2))

    def runs(self) -> int:
        return 1 + int(self._clock.now / 30)

    def frauds(self) -> list[str]:
        return [f"case-{number}" for number in range(self.waiting())]

    def replay(self, rows: int, frauds: int, *, rows_per_second: int) -> None:
        assert rows == frauds and rows_per_second == 2


def test_the_stage_trickle_says_how_far_it_is(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASES", "100")
    monkeypatch.setattr(trickle, "heartbeats", lambda _: nullcontext({"scheduler": 1.0}))
    airflow, said = Trickling(clock, 100), []
    cases, figures = trickle.trickle(airflow, airflow, said.append)
    assert said[0] == "trickle, waiting: 60 of 100 after 30 s"
    assert cases == [f"case-{number}" for number in range(5, 105)]
    assert (figures["cases"], figures["runs"]) == (100, 1)
    assert airflow.paused == ["consume_fraud_transactions"]


def test_the_stage_trickle_fails_where_cases_are_missing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASES", "100")
    monkeypatch.setattr(trickle, "heartbeats", lambda _: nullcontext({}))
    airflow = Trickling(clock, 90)
    with pytest.raises(BenchmarkFailed, match="90 cases wait"):
        trickle.trickle(airflow, airflow, lambda _: None)
