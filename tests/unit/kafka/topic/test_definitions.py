"""The table of topics, compared with code that can't be derived from it."""

import pytest
from fraudstream.kafka.avro.valid_records import RULES
from fraudstream.kafka.records import (
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    INGEST_PROGRESS,
    MAIL_RETRY,
)
from fraudstream.kafka.topic.definitions import (
    DEAD_LETTER_ROLES,
    DEFINITIONS,
    FOLDERS,
    SCHEMA_FILES,
    TOPICS,
    dead_letter_topic,
)
from fraudstream.lake.audit import topics as audited
from fraudstream.lake.stream import names
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.settings import SCHEMAS, Settings


def test_names_are_given_once() -> None:
    found = [topic.name for topic in TOPICS]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("topic", SCHEMA_FILES)
def test_a_topic_s_schema_is_there_and_has_rules(topic: str) -> None:
    assert (SCHEMAS / SCHEMA_FILES[topic]).is_file()
    assert SCHEMA_FILES[topic] in RULES


def test_whose_invalid_records_someone_sends_has_a_topic_for_them() -> None:
    assert {dead_letter_topic(name) for name in DEAD_LETTER_ROLES} <= {topic.name for topic in TOPICS}


def test_what_is_kept_in_the_lake_has_a_known_folder_and_lines() -> None:
    assert set(FOLDERS.values()) <= set(names.FOLDERS)
    assert LINES_OF.keys() == FOLDERS.keys()


def test_what_causes_mails_is_read_by_a_group_that_sends_its_dead_letters() -> None:
    assert [topic.name for topic in DEFINITIONS if topic.mail and not topic.dead_letters_by] == []


def test_the_audit_reads_answers_before_cases() -> None:
    order = list(audited.TOPICS)
    assert order.index(FRAUD_CONFIRMATION) < order.index(FRAUD_TRANSACTION)


@pytest.mark.parametrize("name", [INGEST_PROGRESS, INGEST_DEAD_LETTER])
def test_a_file_s_positions_and_its_rejected_rows_are_in_one_order(name: str) -> None:
    (topic,) = [topic for topic in TOPICS if topic.name == name]
    assert topic.wanted_partitions(Settings(kafka_partitions=6)) == 1


def test_deferred_mails_are_kept_for_a_week_and_every_other_record_for_ever() -> None:
    kept = {topic.name: topic.wanted_config(Settings()) for topic in TOPICS}
    assert kept.pop(MAIL_RETRY)["retention.ms"] == str(7 * 24 * 3600 * 1000)
    assert kept.pop(INGEST_PROGRESS)["cleanup.policy"] == "compact"
    assert {config["retention.ms"] for config in kept.values()} == {"-1"}
