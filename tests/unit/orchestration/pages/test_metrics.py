"""Metrics are sent to StatsD through Airflow's own client, with tags, as Airflow is configured."""

import socket

import pytest
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from fraudstream.orchestration.monitoring.metrics import report
from fraudstream.pipeline.metrics import FLUSH, LAG_SECONDS, RECORDS


def test_counters_gauges_and_timers_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"role": "write_lake", "topic": "fraud_transaction.dead_letter"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        settings = {"ON": "True", "HOST": "127.0.0.1", "PORT": str(server.getsockname()[1]), "INFLUXDB_ENABLED": "True"}
        for name, value in settings.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{name}", value)
        logger = stats_utils.get_stats_factory()()
        stats.initialize(factory=lambda: logger, export_legacy_names=False)
        try:
            for metric, value in ((RECORDS, 3), (LAG_SECONDS, 1.5), (FLUSH, 0.25)):
                report(metric, value, **tags)
            lines = [server.recv(1_000).decode() for _ in range(3)]
        finally:
            logger.statsd.close()
            for name in settings:
                monkeypatch.delenv(f"AIRFLOW__METRICS__STATSD_{name}")
            stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
    of_tags = ",role=write_lake,topic=fraud_transaction.dead_letter"
    assert lines == [
        f"airflow.fraudstream.records{of_tags}:3|c",
        f"airflow.fraudstream.lag_seconds{of_tags}:1.5|g",
        f"airflow.fraudstream.flush{of_tags}:250.000000|ms",
    ]
