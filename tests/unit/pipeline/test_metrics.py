"""A sink is measured without changing its behaviour; each reported metric is in the table of metrics."""

from collections import defaultdict
from typing import Any

import pytest
from fraudstream.kafka.records import Report
from fraudstream.pipeline.measured_sink import MeasuredSink
from fraudstream.pipeline.metrics import LAG, LAG_SECONDS, METRICS, Metric, of_health, of_sample
from fraudstream.pipeline.sampling.sample import GroupFigures

from tests.unit.lake.rows import PARTITION, batch
from tests.unit.pipeline.test_overview import HEALTHY, NOW, sample


class Sink:
    """A sink that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            return {"flush": {PARTITION: 3}, "due": True, "assigned": 7}.get(name)

        return call


def test_a_sink_s_work_is_measured_and_its_answers_pass_through() -> None:
    inner, seen = Sink(), defaultdict(list)
    sink = MeasuredSink(inner, lambda metric, value: seen[metric.name].append(value))  # type: ignore[arg-type]
    made = batch([0, 1, 2])
    assert sink.assigned(PARTITION, 1) == 7
    sink.write(made)
    assert sink.due()
    assert sink.flush() == {PARTITION: 3}
    sink.revoked([PARTITION])
    sink.close()
    assert inner.calls == [
        ("assigned", PARTITION, 1),
        ("write", made),
        ("due",),
        ("flush",),
        ("revoked", [PARTITION]),
        ("close",),
    ]
    assert (seen["records"], seen["bytes"]) == ([3], [made.rows.nbytes])
    assert len(seen["batch"]) == len(seen["flush"]) == len(seen["delay"]) == 1
    sink.report_invalid(Report("t", "g", invalid=2))
    assert seen["invalid_records"] == [2]


def test_a_sink_that_fails_has_no_records_to_its_name() -> None:
    class Failing(Sink):
        def write(self, made: Any) -> None:
            raise OSError

    seen: list[str] = []
    sink = MeasuredSink(Failing(), lambda metric, value: seen.append(metric.name))  # type: ignore[arg-type]
    with pytest.raises(OSError):
        sink.write(batch([0]))
    assert seen == []


def test_samples_report_only_metrics_of_the_table_with_their_tags() -> None:
    letters = {"topics": {"t": 1, "t.dead_letter": 2}, "dead_letters": {"t.dead_letter": {"reason": 2}}}
    reported = [*of_sample(sample(**letters), NOW), *of_health(HEALTHY, NOW)]
    assert all(isinstance(metric, Metric) and set(tags) == set(metric.tags) for metric, _, tags in reported)
    values = {(metric.name, *tags.values()): value for metric, value, tags in reported}
    assert values["dead_letters", "t.dead_letter"] == 2
    assert values["mails", "fraud_transaction", "sent"] == 10
    assert values["lag_seconds", "write_lake", "non_fraud_transaction"] == 0
    assert (values["audit_age_seconds",], values["audit_ok",]) == (3600, 1)
    assert values["compaction_age_seconds",] == 3600
    by_api_server = {metric.name for metric in METRICS if metric.reported_by == "API server"}
    assert {metric.name for metric, _, _ in reported} == by_api_server


@pytest.mark.parametrize(("lag", "age", "seconds"), [(0, None, [0.0]), (5, 7.0, [7.0]), (5, None, [])])
def test_an_unknown_age_of_a_lag_is_not_reported(lag: int, age: float | None, seconds: list[float]) -> None:
    reported = list(of_sample(sample(groups={"write_lake-fraud_transaction": GroupFigures(lag, age)}), NOW))
    assert [value for metric, value, _ in reported if metric == LAG] == [lag]
    assert [value for metric, value, _ in reported if metric == LAG_SECONDS] == seconds
