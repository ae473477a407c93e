"""Existing topics are compared with those that the pipeline needs, and the commands that repair them are exact."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import TopicsDiffer
from fraudstream.kafka.topic import topics
from fraudstream.kafka.topic.definitions import TOPICS
from fraudstream.kafka.topic.topics import compare_topics, create_topics, repair_topics
from fraudstream.settings import Settings

SETTINGS = Settings(kafka_bootstrap_servers="broker:9092")


class Done:
    def __init__(self, result: Any = None, error: Exception | None = None) -> None:
        self._result, self._error = result, error

    def result(self, timeout: float | None = None) -> Any:
        if self._error is not None:
            raise self._error
        return self._result


class Cluster:
    """The state that an admin client reads and changes: partitions, replicas and configuration by topic."""

    def __init__(self) -> None:
        self.replicas = {topic.name: [[1, 2, 3]] * topic.wanted_partitions(SETTINGS) for topic in TOPICS}
        self.config = {topic.name: topic.wanted_config(SETTINGS) for topic in TOPICS}
        self.created: dict[str, Any] = {}

    def list_topics(self, topic: str | None, timeout: float) -> Any:
        return SimpleNamespace(brokers={1: None, 2: None, 3: None})

    def poll(self, timeout: float) -> None: ...

    def describe_topics(self, asked: Any, **_: object) -> dict[str, Done]:
        return {
            name: Done(
                SimpleNamespace(
                    partitions=[
                        SimpleNamespace(id=number, replicas=[SimpleNamespace(id=node) for node in nodes])
                        for number, nodes in enumerate(self.replicas[name])
                    ]
                )
            )
            for name in _names(asked)
        }

    def describe_configs(self, resources: Any, **_: object) -> dict[Any, Done]:
        return {
            resource: Done({key: SimpleNamespace(value=value) for key, value in self.config[resource.name].items()})
            for resource in resources
        }

    def create_topics(self, wanted: Any, **_: object) -> dict[str, Done]:
        self.created = {topic.topic: topic for topic in wanted if topic.topic not in self.config}
        there = KafkaException(Code(Code.TOPIC_ALREADY_EXISTS))
        return {topic.topic: Done(error=None if topic.topic in self.created else there) for topic in wanted}

    def incremental_alter_configs(self, resources: Any) -> dict[Any, Done]:
        for resource in resources:
            self.config[resource.name] |= {entry.name: entry.value for entry in resource.incremental_configs}
        return {resource: Done() for resource in resources}

    def create_partitions(self, wanted: Any) -> dict[str, Done]:
        for topic in wanted:
            there = self.replicas[topic.topic]
            there += [[1, 2, 3]] * (topic.new_total_count - len(there))
        return {topic.topic: Done() for topic in wanted}


def _names(asked: Any) -> list[str]:
    return list(asked.topic_names)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(topics, "AdminClient", lambda config: made)
    monkeypatch.setattr(topics, "TopicCollection", lambda names: SimpleNamespace(topic_names=names))
    return made


def test_topics_as_they_have_to_be_stay_as_they_are(cluster: Cluster) -> None:
    assert create_topics(SETTINGS) == []


def test_new_topics_keep_records_for_ever_with_the_brokers_time(cluster: Cluster) -> None:
    del cluster.config["fraud_transaction"]
    assert create_topics(SETTINGS) == ["fraud_transaction"]
    config = cluster.created["fraud_transaction"].config
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert (config["retention.ms"], config["retention.bytes"], config["min.insync.replicas"]) == ("-1", "-1", "2")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000"),
        ("cleanup.policy", "compact"),
        ("min.insync.replicas", "1"),
        ("message.timestamp.type", "CreateTime"),
    ],
)
def test_a_configuration_that_differs_fails_with_the_command(cluster: Cluster, key: str, value: str) -> None:
    wanted = cluster.config["fraud_transaction"][key]
    cluster.config["fraud_transaction"][key] = value
    with pytest.raises(TopicsDiffer) as raised:
        create_topics(SETTINGS)
    assert f"fraud_transaction: {key} is {value}, expected {wanted}" in str(raised.value)
    assert (
        f"kafka-configs.sh --bootstrap-server broker:9092 --alter --entity-type topics "
        f"--entity-name fraud_transaction --add-config {key}={wanted}"
    ) in str(raised.value)
    assert not raised.value.retryable


def test_too_few_partitions_fail_with_the_command_and_more_do_not(cluster: Cluster) -> None:
    cluster.replicas["fraud_confirmation"] = [[1, 2, 3]] * 4
    cluster.replicas["fraud_transaction"] = [[1, 2, 3]] * 9
    (difference,) = compare_topics(SETTINGS)
    assert difference.what == "4 partitions, expected 6"
    assert difference.command.endswith("--alter --topic fraud_confirmation --partitions 6")


def test_too_few_replicas_fail_with_a_plan_that_adds_brokers(cluster: Cluster) -> None:
    cluster.replicas["ingest_progress"] = [[2]]
    (difference,) = compare_topics(SETTINGS)
    assert difference.what == "1 replicas of partitions [0], expected 3"
    plan = re.search(r"echo '(.*)' >", difference.command)
    assert plan is not None
    assert json.loads(plan[1])["partitions"] == [{"topic": "ingest_progress", "partition": 0, "replicas": [2, 1, 3]}]


def test_repair_changes_what_it_can_and_names_what_is_left(cluster: Cluster) -> None:
    cluster.config["fraud_transaction"]["retention.ms"] = "1"
    cluster.config["fraud_transaction"]["max.message.bytes"] = "7"
    cluster.replicas["fraud_confirmation"] = [[1, 2, 3]] * 4
    cluster.replicas["ingest_progress"] = [[2]]
    assert [difference.topic for difference in repair_topics(SETTINGS)] == ["ingest_progress"]
    assert cluster.config["fraud_transaction"]["retention.ms"] == "-1"
    assert cluster.config["fraud_transaction"]["max.message.bytes"] == "7"
    assert len(cluster.replicas["fraud_confirmation"]) == 6
