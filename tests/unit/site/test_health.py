import pytest
from fraudstream.errors import KafkaUnavailable
from fraudstream.site.health import create_health
from fraudstream.site.metrics import Metrics
from starlette.testclient import TestClient

from tests.fakes.cases import FakeAnswers, FakeCases, transaction


class Health:
    def __init__(self) -> None:
        self.cases, self.answers = FakeCases(), FakeAnswers()
        self.client = TestClient(create_health(self.cases, self.answers, self.answers, Metrics()))

    def status(self, path: str) -> int:
        return int(self.client.get(path).status_code)


@pytest.fixture
def health() -> Health:
    return Health()


def test_it_is_live_and_ready_when_all_is_well(health: Health) -> None:
    assert (health.status("/health/live"), health.status("/health/ready")) == (200, 200)


def test_it_is_live_but_not_ready_while_it_catches_up(health: Health) -> None:
    health.answers.caught_up = False
    assert (health.status("/health/live"), health.status("/health/ready")) == (200, 503)


def test_it_stays_ready_while_the_brokers_are_away_so_that_no_balancer_drops_all_sites_at_once(health: Health) -> None:
    assert health.status("/health/kafka") == 200
    assert "fraudstream_site_kafka_up 1.0" in health.client.get("/metrics").text
    health.answers.refuse = KafkaUnavailable("no broker")
    assert (health.status("/health/live"), health.status("/health/ready")) == (200, 200)
    assert health.client.get("/health/ready").json() == {"cases": True, "answers": True}
    assert health.status("/health/kafka") == 503
    assert "fraudstream_site_kafka_up 0.0" in health.client.get("/metrics").text


def test_it_is_neither_once_a_view_has_ended(health: Health) -> None:
    health.cases.alive = False
    assert (health.status("/health/live"), health.status("/health/ready")) == (503, 503)


def test_the_figures_are_prometheus_text_and_count_what_is_in_memory(health: Health) -> None:
    health.cases.add(transaction())
    figures = health.client.get("/metrics")
    assert figures.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "fraudstream_site_cases 1.0" in figures.text
    assert "fraudstream_site_answered_cases 0.0" in figures.text
