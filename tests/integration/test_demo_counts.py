"""What the demo counts in a stack before it starts."""

from pathlib import Path

import pytest
from fraudstream.dataset.source.source import open_source
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.demo.counts import Counts
from tests.integration.pipeline import good_row, lake_consumer, paysim, publisher, with_tables

pytestmark = pytest.mark.integration


def test_records_that_a_consumer_group_has_not_read_are_counted_until_it_has(
    settings: Settings, lake: Store, airflow: AirflowApi, tmp_path: Path
) -> None:
    group = f"write_lake-{FRAUD_TRANSACTION}"
    path = paysim([good_row(number, fraud=1) for number in range(1, 4)], tmp_path)
    lake_consumer(settings, lake, FRAUD_TRANSACTION).run()
    with Counts(settings, with_tables(lake), airflow, open_source(str(path), None), 3) as counts:
        assert group not in counts.unread()
        publisher(settings, path).run()
        assert counts.unread()[group] == 3
        lake_consumer(settings, lake, FRAUD_TRANSACTION).run()
        assert group not in counts.unread()
