"""The queue shows of each case what its records say, in whatever order they were read."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from fraudstream.cases.answers.publisher import DecidedBy, channel_of
from fraudstream.cases.events import (
    ASSIGNED,
    DECISION_CONFIRMED,
    DECISION_REQUESTED,
    ESCALATED,
    MAIL_BOUNCED,
    MAIL_FAILED,
    MAIL_RESENT,
    NOTICE_ACCEPTED,
    REMINDED,
    CaseEvent,
)
from fraudstream.desk.case_index import CaseIndex, Placed
from fraudstream.desk.queue import STATES, Filter

from tests.fakes.cases import transaction
from tests.fakes.desk import CAME, LIMIT, FakeDeskViews, ms

NOW = datetime.now(UTC)
NOTICE = {"kind": "fraud_notice"}
ALL = Filter(states=STATES)


def state(views: FakeDeskViews, case: str = "case-1") -> str:
    known = views.index.case(case)
    assert known is not None
    return known.queued.state


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], "waiting"),
        ([(MAIL_BOUNCED, NOTICE)], "not reached"),
        ([(MAIL_FAILED, {"kind": "receipt"})], "waiting"),
        ([(MAIL_BOUNCED, NOTICE), (MAIL_RESENT, NOTICE)], "waiting"),
        ([(MAIL_BOUNCED, NOTICE), (MAIL_RESENT, NOTICE), (MAIL_FAILED, NOTICE)], "not reached"),
        ([(MAIL_FAILED, NOTICE), (NOTICE_ACCEPTED, {})], "waiting"),
        ([(REMINDED, {})], "reminded"),
        ([(REMINDED, {}), (MAIL_BOUNCED, NOTICE)], "not reached"),
        ([(REMINDED, {}), (ESCALATED, {"cause": "no_answer"})], "escalated"),
        ([("A_TYPE_OF_THE_FUTURE", {})], "waiting"),
    ],
)
def test_events_decide_the_state_of_an_open_case(events: list[tuple[str, dict[str, str]]], expected: str) -> None:
    views = FakeDeskViews()
    views.add()
    for event_type, details in events:
        views.event("case-1", event_type, **details)
    assert state(views) == expected
    views.answer("case-1", "REPORTED_FRAUD")
    assert state(views) == "answered"
    views.answer("case-1", "REPORTED_NOT_FRAUD", DecidedBy("ana", "called"))
    assert state(views) == "decided"
    known = views.index.case("case-1")
    assert known is not None
    assert known.queued.outcome == "REPORTED_NOT_FRAUD"


def test_a_late_answer_of_the_customer_changes_nothing() -> None:
    views = FakeDeskViews()
    views.add()
    views.answer("case-1", "NO_RESPONSE")
    views.answer("case-1", "REPORTED_FRAUD")
    known = views.index.case("case-1")
    assert known is not None
    assert (known.queued.state, known.queued.outcome) == ("answered", "NO_RESPONSE")


@pytest.mark.parametrize(
    ("again", "amount"),
    [(Placed(0, 6, ms(CAME) - 1), 1), (Placed(1, 0, ms(CAME) - 1), 2), (Placed(1, 0, ms(CAME) + 1), 1)],
)
def test_of_two_records_of_a_case_the_first_counts_whatever_the_clock_of_its_broker_did(
    again: Placed, amount: int
) -> None:
    index = CaseIndex(LIMIT)
    index.add_case(transaction("case-1") | {"amount": 1}, Placed(0, 5, ms(CAME)))
    index.add_case(transaction("case-1") | {"amount": 2}, again)
    known = index.case("case-1")
    assert known is not None
    assert known.queued.amount == amount


def test_the_order_in_which_topics_are_read_does_not_matter() -> None:
    record = transaction("case-1")
    at = CAME + timedelta(minutes=1)
    answers = [
        {**record, "status": "NO_RESPONSE", "answeredAt": at, **channel_of("NO_RESPONSE", None)},
        {**record, "status": "REPORTED_FRAUD", "answeredAt": at, **channel_of("REPORTED_FRAUD", DecidedBy("a", "b"))},
    ]
    events = [
        CaseEvent("case-1", NOTICE_ACCEPTED, "send_mail", at=at),
        CaseEvent("case-1", ASSIGNED, "ana", details={"assignee": "ben"}, at=at),
        CaseEvent("case-1", ASSIGNED, "ana", details={"assignee": "cleo"}, at=at),
    ]
    seen = set()
    for seed in range(20):
        index = CaseIndex(LIMIT)
        feeds = [lambda i=index: i.add_case(record, Placed(0, 5, ms(CAME)))]
        feeds += [lambda i=index, n=n, a=a: i.add_answer(a, Placed(1, n, ms(at) + n)) for n, a in enumerate(answers)]
        feeds += [
            lambda i=index, n=n, e=e: i.add_event(e.record(), Placed(2, n, ms(at) + n)) for n, e in enumerate(events)
        ]
        random.Random(seed).shuffle(feeds)  # noqa: S311 - an order, no secret
        for feed in feeds:
            feed()
        known = index.case("case-1")
        assert known is not None
        seen.add(known.queued)
        assert known.history.transaction == record
        assert [answer.status for answer in known.history.answers] == ["NO_RESPONSE", "REPORTED_FRAUD"]
    (one,) = seen
    assert (one.state, one.assignee, one.deadline, one.came_at) == ("decided", "cleo", at + LIMIT, CAME)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [([], 72), ([6], 78), ([6, 20], 78), ([80], 72), ([-1], 72)],
)
def test_the_time_limit_runs_from_when_the_first_notice_was_accepted(accepted: list[int], expected: int) -> None:
    notices = [
        CaseEvent("case-1", NOTICE_ACCEPTED, "send_mail", details={"attempts": hours}, at=CAME + timedelta(hours=hours))
        for hours in accepted
    ]
    for case_first in (True, False):
        views = FakeDeskViews()
        if case_first:
            views.add()
        views.publish_events(notices)
        if not case_first:
            views.add()
        known = views.index.case("case-1")
        assert known is not None
        assert known.queued.deadline == CAME + timedelta(hours=expected)


def test_an_event_that_was_written_twice_after_a_crash_is_told_once() -> None:
    views = FakeDeskViews()
    views.add()
    for _ in range(2):
        views.event("case-1", MAIL_BOUNCED, reason="mailbox full", **NOTICE)
    known = views.index.case("case-1")
    assert known is not None
    assert len(known.history.events) == 1


def test_what_happens_again_to_a_notice_that_was_sent_anew_is_told_again() -> None:
    views = FakeDeskViews()
    views.add()
    for mail in ("first", "second"):
        views.event("case-1", NOTICE_ACCEPTED, messageId=mail)
        for _ in range(2):  # written again after a crash
            views.event("case-1", MAIL_BOUNCED, reason="mailbox full", **NOTICE)
        assert state(views) == "not reached"
        if mail == "first":
            views.event("case-1", MAIL_RESENT, messageId="second", **NOTICE)
            views.event("case-1", NOTICE_ACCEPTED, messageId=mail)
    known = views.index.case("case-1")
    assert known is not None
    assert [event.event_type for event in known.history.events] == [
        NOTICE_ACCEPTED,
        MAIL_BOUNCED,
        MAIL_RESENT,
        NOTICE_ACCEPTED,
        MAIL_BOUNCED,
    ]


def test_a_request_waits_until_it_is_confirmed() -> None:
    views = FakeDeskViews()
    views.add()
    views.event("case-1", DECISION_REQUESTED, "ana", "called", request="r1", outcome="REPORTED_FRAUD")
    assert [case.id for case in views.index.queue(Filter(to_confirm=True), NOW).cases] == ["case-1"]
    views.event("case-1", DECISION_CONFIRMED, "ben", "called", request="r1", outcome="REPORTED_FRAUD")
    assert views.index.queue(Filter(to_confirm=True), NOW).total == 0


def filled() -> FakeDeskViews:
    views = FakeDeskViews()
    for number in range(10):
        came = NOW - timedelta(hours=10 * number)
        views.add(f"case-{number}", came, amount=number * 100, nameOrig=f"C{number % 2}")
    views.event("case-3", REMINDED)
    views.answer("case-4", "REPORTED_FRAUD")
    return views


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), [9, 8, 7, 6, 5, 3, 2, 1, 0]),
        (Filter(sort="-deadline"), [0, 1, 2, 3, 5, 6, 7, 8, 9]),
        (Filter(sort="-amount", rows=2), [9, 8]),
        (Filter(sort="-amount", rows=2, first=2), [7, 6]),
        (Filter(sort="amount", least=200, most=500), [2, 3, 5]),
        (Filter(sort="amount", customer="C1"), [1, 3, 5, 7, 9]),
        (Filter(sort="amount", states=("reminded", "answered")), [3, 4]),
        (Filter(sort="amount", older=timedelta(hours=65)), [7, 8, 9]),
        (Filter(sort="amount", within=timedelta(0)), [8, 9]),
        (Filter(customer="C1' OR 1=1 --"), []),
    ],
)
def test_the_queue_is_filtered_sorted_and_cut_into_pages(wanted: Filter, numbers: list[int]) -> None:
    found = filled().index.queue(wanted, NOW)
    assert [case.id for case in found.cases] == [f"case-{number}" for number in numbers]
    if wanted.rows > 10:
        assert found.total == len(numbers)


def test_counts_are_of_all_states_that_the_rest_of_the_filter_lets_through() -> None:
    views = filled()
    counts = dict.fromkeys(STATES, 0)
    assert views.index.queue(Filter(states=("waiting",)), NOW).counts == counts | {
        "waiting": 8,
        "reminded": 1,
        "answered": 1,
    }
    assert views.index.queue(Filter(customer="C0"), NOW).counts == counts | {"waiting": 4, "answered": 1}


def test_the_money_at_stake_is_that_of_all_pages() -> None:
    assert filled().index.queue(Filter(rows=1), NOW).amount == 100 * (sum(range(10)) - 4)
    assert filled().index.queue(Filter(customer="nobody"), NOW).amount == 0


def test_the_largest_amounts_have_a_sum() -> None:
    views, largest = FakeDeskViews(), 10**18 - 1
    for number in range(20):
        views.add(f"case-{number}", amount=largest)
    views.add("case-x", amount=-3)
    assert views.index.queue(Filter(rows=1), NOW).amount == 20 * largest - 3


def test_what_is_known_of_a_case_is_kept_until_its_record_is_read_and_is_old() -> None:
    views = FakeDeskViews()
    views.event("case-1", ASSIGNED, assignee="ana")
    views.answer("case-2", "REPORTED_FRAUD")
    views.index.forget(timedelta(days=1), NOW)
    for case in ("case-1", "case-2"):
        views.add(case)
    known = views.index.case("case-1")
    assert known is not None
    assert known.queued.assignee == "ana"
    assert state(views, "case-2") == "answered"
    views.event("case-3", ASSIGNED, assignee="ana")
    views.add("case-4", NOW + timedelta(days=2))
    views.index.forget(timedelta(days=1), NOW + timedelta(days=2))
    views.add("case-3")
    known = views.index.case("case-3")
    assert known is not None
    assert known.queued.assignee == ""


def test_answers_and_events_of_unknown_cases_are_in_no_queue_and_old_cases_are_forgotten() -> None:
    views = filled()
    views.event("case-x", ESCALATED)
    views.answer("case-y", "REPORTED_FRAUD")
    assert views.index.case("case-x") is None
    assert views.index.queue(ALL, NOW).total == len(views.index) == 10
    views.index.forget(timedelta(hours=35), NOW)
    assert views.index.queue(ALL, NOW).total == 4
    assert views.index.case("case-4") is None


@pytest.mark.parametrize("ahead_is_the_brokers_clock", [False, True])
def test_one_clock_that_is_ahead_makes_the_index_forget_nothing_that_is_young(ahead_is_the_brokers_clock: bool) -> None:
    views, ahead = FakeDeskViews(), NOW + timedelta(days=365)
    views.add("case-1")
    views.add("case-2", ahead if ahead_is_the_brokers_clock else CAME)
    views.index.forget(timedelta(days=30), NOW if ahead_is_the_brokers_clock else ahead)
    assert len(views.index) == 2
