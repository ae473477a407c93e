"""The table of the pipeline's topics. Other code derives from it all that it needs to know about a topic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    INGEST_PROGRESS,
    MAIL_RETRY,
    MAIL_RETRY_KEPT,
    MAIL_RETRY_WAITS,
    NON_FRAUD_TRANSACTION,
)
from fraudstream.settings import Settings

#: Kept for ever: Kafka is the source of truth; lake, mail and sensors are derived from it.
_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


@dataclass(frozen=True)
class Topic:
    """The definition of a topic: its configuration, and what its records are used for.

    :param schema: file of the values' Avro schema under include/schemas/
    :param partitions: 0 stands for the setting kafka_partitions
    :param dead_letters_by: the role whose consumer group sends invalid records to `<name>.dead_letter`
    :param folder: the lake's folder for the records
    :param mail: the kind of mail that each record causes
    """

    name: str
    schema: str | None = None
    partitions: int = 0
    config: Mapping[str, str] = field(default_factory=_FOR_EVER.copy)
    dead_letters_by: Literal["write_lake", "send_mail"] | None = None
    folder: str | None = None
    mail: Literal["notice", "fraud_notice", "receipt"] | None = None

    def wanted_partitions(self, settings: Settings) -> int:
        """The minimum number of partitions."""
        return self.partitions or settings.kafka_partitions

    def wanted_config(self, settings: Settings) -> dict[str, str]:
        """The configuration, with values as the brokers return them.

        The timestamp of a record is the time at which a broker appended it. So no client's clock decides which answer
        is the first, or which day of the lake a record belongs to.
        """
        return {
            **self.config,
            "min.insync.replicas": str(min(2, settings.kafka_replication_factor)),
            "message.timestamp.type": "LogAppendTime",
        }


#: The audit reads the topics that have a folder in this order. Answers come before cases, so that the audit finds the
#: case of each answer that it has read.
DEFINITIONS = (
    Topic(
        NON_FRAUD_TRANSACTION,
        "transaction.avsc",
        dead_letters_by="write_lake",
        folder="transaction",
        mail="notice",
    ),
    Topic(
        FRAUD_CONFIRMATION,
        "fraud_confirmation.avsc",
        dead_letters_by="write_lake",
        folder="fraud_confirmation",
        mail="receipt",
    ),
    Topic(
        FRAUD_TRANSACTION,
        "transaction.avsc",
        dead_letters_by="write_lake",
        folder="fraud_confirmation",
        mail="fraud_notice",
    ),
    Topic(CASE_EVENT, "case_event.avsc", dead_letters_by="write_lake", folder="case_event"),
    # A mail is retried for about a day. The mail log has its outcome.
    Topic(
        MAIL_RETRY,
        "mail_retry.avsc",
        partitions=len(MAIL_RETRY_WAITS),
        config={"retention.ms": str(MAIL_RETRY_KEPT * 1000)},
        dead_letters_by="send_mail",
    ),
    Topic(INGEST_PROGRESS, "ingest_progress.avsc", partitions=1, config={"cleanup.policy": "compact"}),
    Topic(INGEST_DEAD_LETTER, partitions=1),
)

#: File of the Avro schema of each topic's values.
SCHEMA_FILES = {topic.name: topic.schema for topic in DEFINITIONS if topic.schema}
#: The role that sends the dead letters of a topic.
DEAD_LETTER_ROLES = {topic.name: topic.dead_letters_by for topic in DEFINITIONS if topic.dead_letters_by}
#: The folder of the lake that keeps a topic's records.
FOLDERS = {topic.name: topic.folder for topic in DEFINITIONS if topic.folder}
#: The kind of mail that a record of a topic causes.
MAILS = {topic.name: topic.mail for topic in DEFINITIONS if topic.mail}


def dead_letter_topic(topic: str) -> str:
    """The name of the topic for the invalid records of a topic."""
    return f"{topic}.dead_letter"


#: Every topic that start_kafka creates.
TOPICS = (*DEFINITIONS, *(Topic(dead_letter_topic(name), partitions=1) for name in DEAD_LETTER_ROLES))
