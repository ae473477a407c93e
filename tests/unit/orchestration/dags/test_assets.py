"""The asset graph: at least one DAG writes each topic, folder and table, and DAGs read them where expected."""

from typing import Any

import pytest
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.kafka.topic.definitions import TOPICS, dead_letter_topic
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.orchestration.assets import folder_asset, table_asset, topic_asset
from fraudstream.orchestration.operators.kafka import Consume
from fraudstream.pipeline.sampling.groups import GROUPS

from tests.unit.orchestration.dags.dag_files import DAGS, parsed

#: Topics that may be missing among the outlets of the DAGs.
_NOBODY = {"case_event.dead_letter"}


@pytest.fixture(scope="module")
def tasks() -> list[tuple[str, Any]]:
    """All tasks, each with its DAG."""
    return [(dag.dag_id, task) for dag in map(parsed, DAGS) for task in dag.tasks]


def names(tasks: list[tuple[str, Any]], side: str) -> set[str]:
    found = set()
    for _, task in tasks:
        there = task.partial_kwargs.get(side) if hasattr(task, "partial_kwargs") else getattr(task, side)
        found |= {asset.name for asset in there or ()}
    return found


def test_topics_folders_and_tables_are_in_the_graph(tasks: list[tuple[str, Any]]) -> None:
    written = names(tasks, "outlets")
    wanted = {topic_asset(topic.name).name for topic in TOPICS if topic.name not in _NOBODY}
    wanted |= {asset(folder).name for folder in FOLDERS for asset in (folder_asset, table_asset)}
    assert wanted <= written
    read = names(tasks, "inlets")
    assert {"fraudstream_files", topic_asset(FRAUD_CONFIRMATION).name, folder_asset(FOLDERS[0]).name} <= read
    assert topic_asset(dead_letter_topic(FRAUD_CONFIRMATION)).name in written


def test_the_page_and_the_alerts_know_every_consumer_group(tasks: list[tuple[str, Any]]) -> None:
    consumers = {
        (task.partial_kwargs["topic"], task.partial_kwargs["role"], dag)
        for dag, task in tasks
        if getattr(task, "operator_class", None) is Consume
    }
    assert consumers == {(group.topic, group.role, group.dag) for group in GROUPS}
