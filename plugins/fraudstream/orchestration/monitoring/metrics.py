"""Reports metrics through Airflow: to StatsD, to OpenTelemetry, or nowhere, as Airflow is configured."""

from airflow.sdk.observability import stats

from fraudstream.pipeline.metrics import PREFIX, Metric


def report(metric: Metric, value: float, **tags: str) -> None:
    """Reports a value: the increment of a counter, the value of a gauge, or the seconds of a timer.

    :raises ValueError: the tags aren't those of the metric
    """
    if set(tags) != set(metric.tags):
        raise ValueError(f"metric {metric.name} has the tags {metric.tags}, found {tuple(tags)}")
    name = PREFIX + metric.name
    if metric.kind == "counter":
        stats.incr(name, int(value), tags=tags)
    elif metric.kind == "gauge":
        stats.gauge(name, value, tags=tags)
    else:
        stats.timing(name, value * 1000, tags=tags)  # milliseconds, for StatsD and OpenTelemetry
