"""The event of an opened page: once for each case, and without delaying a page."""

import threading
from collections.abc import Iterable

import pytest
from fraudstream.cases.events import PAGE_OPENED, CaseEvent
from fraudstream.errors import KafkaUnavailable
from fraudstream.site import opened as opened_module
from fraudstream.site.opened import OpenedPages

from tests.unit.site.conftest import Site


class Topic:
    """A topic that accepts events, blocks the writer until it is released, or is down."""

    def __init__(self) -> None:
        self.events: list[CaseEvent] = []
        self.away = False
        self.tried = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()

    def publish(self, events: Iterable[CaseEvent]) -> None:
        self.tried.release()
        assert self.free.wait(10)
        if self.away:
            raise KafkaUnavailable("no broker")
        self.events += events

    @property
    def cases(self) -> list[str]:
        return [event.id_transaction for event in self.events]


def test_each_case_gets_one_event_however_often_its_page_is_opened() -> None:
    topic = Topic()
    with OpenedPages(topic.publish) as opened:
        for case in ("a", "b", "a", "a", "b"):
            opened(case)
    assert topic.cases == ["a", "b"]
    assert {(event.event_type, event.by) for event in topic.events} == {(PAGE_OPENED, "site")}


def test_pages_do_not_wait_for_the_brokers_and_what_is_too_much_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_module, "_WAITING", 3)
    topic = Topic()
    topic.free.clear()
    with OpenedPages(topic.publish) as opened:
        opened("first")
        assert topic.tried.acquire(timeout=10)
        for number in range(10):  # returns although no event is accepted
            opened(f"case-{number}")
        topic.free.set()
    assert topic.cases == ["first", "case-0", "case-1", "case-2"]


def test_a_case_whose_event_could_not_be_written_gets_it_when_its_page_is_opened_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = Topic()
    topic.away = True
    opened = OpenedPages(topic.publish)
    with opened:
        opened("a")
    assert "the pages of 1 cases were opened isn't recorded: no broker" in caplog.text
    topic.away = False
    with OpenedPages(topic.publish) as again:
        again._known = opened._known
        again("a")
    assert topic.cases == ["a"]


def test_only_so_many_cases_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_module, "_REMEMBERED", 2)
    topic = Topic()
    with OpenedPages(topic.publish) as opened:
        for case in ("a", "b", "c", "b", "a"):
            opened(case)
    assert topic.cases == ["a", "b", "c", "a"]


def test_the_site_tells_of_a_page_with_its_two_answers_and_of_nothing_else(site: Site) -> None:
    url = site.url()
    site.browser.head(url)
    site.browser.get(url.replace("/confirm/", "/confirm/x"))
    assert site.opened == []
    assert site.browser.get(url).status_code == 200
    assert site.opened == ["case-1"]
    site.press()
    site.browser.get(url)
    assert site.opened == ["case-1", "case-1"]  # once more by `press`; an answered case's page isn't one
