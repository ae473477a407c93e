"""The brokers of these tests, which are started once."""

from collections.abc import Iterator

import pytest
from fraudstream.kafka.topic.cluster import wait_for_brokers
from fraudstream.kafka.topic.definitions import TOPICS
from fraudstream.kafka.topic.topics import create_topics
from fraudstream.settings import Settings

from tests.integration.kafka_access.secured_brokers import Secured, secured_brokers


@pytest.fixture(scope="package")
def secured(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Brokers with users and ACLs, and with topics that role airflow created, as start_kafka does."""
    with secured_brokers(tmp_path_factory.mktemp("secured"), settings) as brokers:
        airflow = brokers.settings_of("airflow")
        assert wait_for_brokers(airflow) == 3
        assert set(create_topics(airflow)) == {topic.name for topic in TOPICS}
        yield brokers
