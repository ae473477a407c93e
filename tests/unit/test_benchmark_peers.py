"""The benchmark `confirmation`: the behaviour of its peers."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.records import FRAUD_CONFIRMATION

from benchmarks.harness.rounds import BenchmarkFailed
from benchmarks.waiting import hitl, peers, progress, shared_stream
from benchmarks.waiting.peers import PEERS, answer_to, connections
from tests.fakes.clock import Clock


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


class Answered:
    """An Airflow whose tasks end a second after the answers; the first `failing` of them fail."""

    def __init__(self, clock: Clock, failing: int = 0) -> None:
        self._clock, self._failing = clock, failing
        self._cases = 0
        self.answered: float | None = None
        self.closed: list[str] = []

    def open(self, dag: str, run: str, conf: dict[str, Any]) -> None:
        self._cases = len(conf["cases"])

    def waiting(self, dag: str) -> int:
        return self._cases

    def over(self, dag: str, task: str) -> int:
        return 40 + (self._cases if self.answered is not None and self._clock.now > self.answered else 0)

    def ends(self, dag: str, task: str) -> list[float]:
        assert self.answered is not None
        return [1.0] * 40 + [self.answered + 1] * (self._cases - self._failing)

    def close(self, dag: str) -> None:
        self.closed.append(dag)


@pytest.mark.parametrize(
    ("failing", "line"),
    [(0, "shared_stream, 2: 10 of 10 resolved in 1.0 s"), (1, "shared_stream, 2: 9 of 10 resolved in 0.5 s, 1 failed")],
)
def test_a_peers_tasks_are_answered_once_they_have_settled(
    failing: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    airflow, topics, said = Answered(clock, failing), [], []

    def answer(settings: object, topic: str, cases: list[str]) -> None:
        airflow.answered = clock.now

    for module in (peers, progress):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(peers, "settings_of", lambda _: None)
    monkeypatch.setattr(peers, "create", lambda _, names: topics.extend(names))
    monkeypatch.setattr(peers, "_answer", answer)
    outcome = peers.run_peer("shared_stream", "2", 10, {}, airflow, said.append)
    assert airflow.answered == 15
    assert (outcome["items"], outcome["waiting"]) == (10 - failing, 10)
    assert said[-1] == line
    assert topics == ["shared_stream-2"]
    assert airflow.closed == ["shared_stream"]


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
    assert type(event).__name__ == "TaskSuccessEvent"  # this event ends the task
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
    """A registry with the schema of answers."""

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
