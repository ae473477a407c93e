"""The site's metrics, in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Metrics of one site; safe to use from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "fraudstream_site_requests",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "fraudstream_site_request_seconds",
            "Time to answer a request.",
            ["method", "route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        self.answers = Counter(
            "fraudstream_site_answers",
            "Buttons pressed by result: first, late (another answer was first), unknown (no acknowledgement), failed.",
            ["result"],
            registry=self._registry,
        )
        self.refused = Counter(
            "fraudstream_site_refused_links",
            "Links refused: expired, or invalid (forged, changed, of no current key).",
            ["reason"],
            registry=self._registry,
        )

        self.ended = Counter(
            "fraudstream_site_ended_connections",
            "Connections ended early: slow (a request or response took too long), crowded (others needed the place), "
            "or invalid (no request, or its head is too long).",
            ["reason"],
            registry=self._registry,
        )
        self.kafka_up = Gauge(
            "fraudstream_site_kafka_up",
            "Whether the brokers answered when these figures were asked for.",
            registry=self._registry,
        )

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Adds a gauge whose value is read at each scrape."""
        Gauge(f"fraudstream_site_{name}", text, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
