"""The table of topics, held against what cannot be derived from it."""

import pytest
from fraudstream.kafka.avro.valid_records import RULES
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
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
from fraudstream.settings import SCHEMAS


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
