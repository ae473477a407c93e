"""Creates the topics of the pipeline that are missing, compares those that exist, and repairs them."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    TopicDescription,
)

from fraudstream.errors import TopicsDiffer
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.topic.definitions import TOPICS, Topic
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

_SECONDS = 30


@dataclass(frozen=True)
class Difference:
    """A difference between an existing topic and its definition, and the command of Kafka's tools that repairs it."""

    topic: str
    what: str
    command: str


def create_topics(settings: Settings) -> list[str]:
    """Creates the topics that are missing, compares those that exist, and returns the names of the new ones.

    :raises TopicsDiffer: existing topics differ from their definitions; missing topics were created
    :raises KafkaError: the brokers don't answer, or refuse to create a topic
    """
    connection = Connection(settings)
    admin = _admin(settings, connection)
    connection.open(admin)
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=topic.wanted_partitions(settings),
            replication_factor=settings.kafka_replication_factor,
            config=topic.wanted_config(settings),
        )
        for topic in TOPICS
    ]
    created = []
    for name, future in admin.create_topics(wanted, operation_timeout=_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != Code.TOPIC_ALREADY_EXISTS:
                raise connection.error(error, doing=f"creating topic {name}") from error
        else:
            created.append(name)
    log.info("topics created: %s; already there: %d", ", ".join(created) or "none", len(TOPICS) - len(created))
    differences = compare_topics(settings, [topic for topic in TOPICS if topic.name not in created])
    if differences:
        raise TopicsDiffer(
            f"{len({difference.topic for difference in differences})} topics aren't as the pipeline needs them: "
            + "; ".join(f"{difference.topic}: {difference.what}" for difference in differences)
            + ". Repair them as a user that may alter topics, with `python -m fraudstream.kafka topics --repair` or "
            "with Kafka's own tools, then run start_kafka again:\n"
            + "\n".join(difference.command for difference in differences)
        )
    return created


def compare_topics(settings: Settings, topics: Iterable[Topic] = TOPICS) -> list[Difference]:
    """The differences between existing topics and their definitions.

    :raises KafkaError: the brokers don't answer, one of the topics doesn't exist, or the user may not describe it
    """
    topics = list(topics)
    if not topics:
        return []
    connection = Connection(settings)
    admin = _admin(settings, connection)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in topics]
    try:
        brokers = sorted(connection.open(admin).brokers)
        described = admin.describe_topics(TopicCollection([topic.name for topic in topics]), request_timeout=_SECONDS)
        configs = {
            resource.name: future.result(_SECONDS)
            for resource, future in admin.describe_configs(resources, request_timeout=_SECONDS).items()
        }
        found = {name: future.result(_SECONDS) for name, future in described.items()}
    except (KafkaException, TimeoutError) as error:
        raise connection.error(error, doing="comparing the topics with what they have to be") from error
    return [
        difference
        for topic in topics
        for difference in _differences(settings, topic, found[topic.name], configs[topic.name], brokers)
    ]


def repair_topics(settings: Settings) -> list[Difference]:
    """Adds partitions and changes configurations where they differ. Returns what it can't repair: the replication.

    :raises KafkaError: as :func:`compare_topics`, or the user may not alter a topic
    """
    connection = Connection(settings)
    admin = _admin(settings, connection)
    by_name = {topic.name: topic for topic in TOPICS}
    try:
        for name in sorted({difference.topic for difference in compare_topics(settings)}):
            topic = by_name[name]
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in topic.wanted_config(settings).items()
            ]
            resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
            for future in admin.incremental_alter_configs([resource]).values():
                future.result(_SECONDS)
            partitions = topic.wanted_partitions(settings)
            described = admin.describe_topics(TopicCollection([name]))[name].result(_SECONDS)
            if len(described.partitions) < partitions:
                admin.create_partitions([NewPartitions(name, partitions)])[name].result(_SECONDS)
            log.info("topic %s is repaired", name)
    except (KafkaException, TimeoutError) as error:
        raise connection.error(error, doing="repairing topics") from error
    return compare_topics(settings)


def _admin(settings: Settings, connection: Connection) -> AdminClient:
    """An admin client that logs errors only, and not the events that it drops when it is closed."""
    return AdminClient(settings.kafka_config(error_cb=connection.on_error, log_level=3))


def _differences(
    settings: Settings,
    topic: Topic,
    found: TopicDescription,
    config: Mapping[str, ConfigEntry],
    brokers: list[int],
) -> list[Difference]:
    differences = []
    tools = f"--bootstrap-server {settings.kafka_bootstrap_servers}"
    wanted_config = topic.wanted_config(settings)
    other = {key: config[key].value for key, value in wanted_config.items() if config[key].value != value}
    if other:
        what = ", ".join(f"{key} is {value}, expected {wanted_config[key]}" for key, value in other.items())
        add = ",".join(f"{key}={wanted_config[key]}" for key in other)
        command = f"kafka-configs.sh {tools} --alter --entity-type topics --entity-name {topic.name} --add-config {add}"
        differences.append(Difference(topic.name, what, command))
    wanted = topic.wanted_partitions(settings)
    if len(found.partitions) < wanted:
        what = f"{len(found.partitions)} partitions, expected {wanted}"
        command = f"kafka-topics.sh {tools} --alter --topic {topic.name} --partitions {wanted}"
        differences.append(Difference(topic.name, what, command))
    factor = settings.kafka_replication_factor
    few = {p.id: [node.id for node in p.replicas] for p in found.partitions if len(p.replicas) < factor}
    if few:
        what = f"{min(map(len, few.values()))} replicas of partitions {sorted(few)}, expected {factor}"
        differences.append(Difference(topic.name, what, _reassignment(tools, topic.name, few, brokers, factor)))
    return differences


def _reassignment(tools: str, topic: str, few: dict[int, list[int]], brokers: list[int], factor: int) -> str:
    """The command that gives partitions with too few replicas more of them, on brokers that have none."""
    partitions = [
        {
            "topic": topic,
            "partition": number,
            "replicas": [*replicas, *(broker for broker in brokers if broker not in replicas)][:factor],
        }
        for number, replicas in sorted(few.items())
    ]
    plan = json.dumps({"version": 1, "partitions": partitions})
    return (
        f"echo '{plan}' >{topic}.json && "
        f"kafka-reassign-partitions.sh {tools} --reassignment-json-file {topic}.json --execute"
    )
