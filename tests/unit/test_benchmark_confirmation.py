"""The benchmark `confirmation`: what is asked for, the rounds of ours and the peers, and what the peers do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.records import FRAUD_CONFIRMATION

from benchmarks.rounds import BenchmarkFailed
from benchmarks.waiting import hitl, peers, progress, shared_stream, stages, trickle
from benchmarks.waiting.interleaved import Round, interleave
from benchmarks.waiting.peers import PEERS, answer_to, connections


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
    """Subjects that note who ran when; `finishes` says how many of 10 a subject resolves in each round."""

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


class Clock:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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
    """An Airflow in which 5 cases wait already and two more each second, up to a number; and its customers."""

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


def test_the_conf_of_a_run_names_each_case_once() -> None:
    cases = ["a", "b"]
    tuned, default = (PEERS[name].conf("topic", cases)["sensors"] for name in ("stock_tuned", "stock_default"))
    for sensors in (tuned, default):
        assert [sensor["apply_function_kwargs"]["case"] for sensor in sensors] == cases
        assert all(sensor["topics"] == ["topic"] for sensor in sensors)
    assert [sensor["kafka_config_id"] for sensor in tuned] == ["stock_0", "stock_1"]
    assert {sensor["kafka_config_id"] for sensor in default} == {"kafka_default"}
    assert PEERS["shared_stream"].conf("topic", cases) == {"topic": "topic", "cases": cases}
    assert PEERS["hitl"].conf("topic", cases) == {"questions": [{"subject": "a"}, {"subject": "b"}]}


def test_each_tuned_sensor_and_each_triggerers_stream_has_a_group_of_its_own() -> None:
    first, second = (
        {name: json.loads(text)["extra"] for name, text in connections("kafka:9092", part).items()}
        for part in ("airflow-triggerer", "airflow-triggerer-2")
    )
    groups = [extra["group.id"] for extra in first.values()]
    assert len(set(groups)) == len(groups) == 102
    apart = [name for name in first if first[name] != second[name]]
    assert apart == ["AIRFLOW_CONN_SHARED_STREAM"]
    assert first[apart[0]]["enable.auto.commit"] == "false"


async def _stream(*values: bytes) -> AsyncIterator[bytes]:
    for value in values:
        yield value


def test_a_trigger_of_the_shared_stream_takes_its_own_answer_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_stream, "answer_in", lambda value: tuple(value.decode().split("=")))
    trigger = shared_stream.CaseTrigger(case="b", topics=["topic"], kafka_config_id="shared_stream")

    async def events() -> list[Any]:
        stream = _stream(b"a=REPORTED_FRAUD", b"b=REPORTED_NOT_FRAUD", b"b=REPORTED_FRAUD")
        return [event async for event in trigger.filter_shared_stream(stream)]

    (event,) = asyncio.run(events())
    assert type(event).__name__ == "TaskSuccessEvent"  # which ends the task
    assert event.xcoms == {"return_value": "REPORTED_NOT_FRAUD"}


def test_triggers_of_the_shared_stream_are_made_again_and_share_a_consumer() -> None:
    first, second = (
        shared_stream.CaseTrigger(case=case, topics=["topic"], kafka_config_id="shared_stream") for case in ("a", "b")
    )
    path, arguments = first.serialize()
    assert path == "benchmarks.waiting.shared_stream.CaseTrigger"
    assert shared_stream.CaseTrigger(**arguments).serialize() == (path, arguments)
    assert first.shared_stream_key() == second.shared_stream_key()


def test_the_script_finds_where_each_case_is_answered() -> None:
    details = [
        {
            "subject": case,
            "task_instance": {"dag_id": "hitl", "dag_run_id": "run", "task_id": "wait", "map_index": number},
        }
        for number, case in enumerate(["a", "b"])
    ]
    assert hitl.places(details) == {
        "a": "/api/v2/dags/hitl/dagRuns/run/taskInstances/wait/0/hitlDetails",
        "b": "/api/v2/dags/hitl/dagRuns/run/taskInstances/wait/1/hitlDetails",
    }


class Registry:
    """Knows the schema of answers."""

    def identifier(self, topic: str, schema: str) -> int:
        return 1

    def schema(self, identifier: int, topic: str) -> RegisteredSchema:
        return RegisteredSchema(schema_text(FRAUD_CONFIRMATION))


CODEC = Codec(FRAUD_CONFIRMATION, Registry())


class Message:
    """A record of the topic, or an error of the consumer."""

    def __init__(self, case: str = "", error: str | None = None) -> None:
        self._value, self._error = CODEC.encode(answer_to(case)), error

    def error(self) -> str | None:
        return self._error

    def value(self) -> bytes:
        return self._value


def test_an_answer_fits_the_topics_schema_and_each_reader_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_stream, "_codec", lambda: CODEC)
    monkeypatch.setattr(peers, "_codec", lambda: CODEC)
    message = Message("a")
    assert CODEC.decode(message.value())["channel"] == "LINK"
    assert shared_stream.answer_in(message.value()) == ("a", "REPORTED_FRAUD")
    assert peers.answer_of(message, "a") == "REPORTED_FRAUD"
    assert peers.answer_of(message, "b") is None


def test_the_script_passes_each_answer_on() -> None:
    answered: list[tuple[str, str]] = []
    with ThreadPoolExecutor(2) as requests:
        hitl.pass_on([Message("a"), Message("b")], CODEC, lambda *answer: answered.append(answer), requests)
    assert sorted(answered) == [("a", "REPORTED_FRAUD"), ("b", "REPORTED_FRAUD")]


def test_the_script_fails_where_airflow_does_not_take_an_answer() -> None:
    def refuse(case: str, _: str) -> None:
        raise BenchmarkFailed(f"no {case}")

    with ThreadPoolExecutor(2) as requests, pytest.raises(BenchmarkFailed, match="no b"):
        hitl.pass_on([Message("b")], CODEC, refuse, requests)


def test_the_script_fails_on_an_error_of_the_consumer() -> None:
    with ThreadPoolExecutor(2) as requests, pytest.raises(BenchmarkFailed, match="broker down"):
        hitl.pass_on([Message("a"), Message(error="broker down")], CODEC, lambda *_: None, requests)
