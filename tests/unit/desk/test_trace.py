"""What a time line shows of a transaction, and what it reports as missing, with a lake in memory."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fraudstream import __main__ as command
from fraudstream.cases.claims import Part, Plan
from fraudstream.cases.expiry import OpenCase, expired_by_claim
from fraudstream.cases.opening import FOLDER, case_of
from fraudstream.desk import facts
from fraudstream.desk.topic_search import Hit, Searched
from fraudstream.desk.trace import trace
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    NON_FRAUD_TRANSACTION,
    Partition,
)
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.names import MAILS, object_name
from fraudstream.lake.stream.totals import totals_of
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from tests.fakes.lakes import new_lake
from tests.unit.lake.compaction import engine_behaviour
from tests.unit.lake.rows import MIDNIGHT_MS, answer, batch, row

CASES, TRANSACTIONS = "fraud_confirmation", "transaction"
MIDNIGHT = datetime.fromtimestamp(MIDNIGHT_MS / 1000, UTC)
DAY = MIDNIGHT.date()
CASE = "tx-0"
FRAUDS, ANSWERS = Partition(FRAUD_TRANSACTION, 1), Partition(FRAUD_CONFIRMATION, 2)


class Topics:
    """Stands for the search of topics; `searched` has its requests."""

    def __init__(self) -> None:
        self.hits: dict[str, list[Hit]] = {}
        self.searched: list[tuple[str, Mapping[int, int]]] = []

    def __call__(self, settings: Settings) -> "Topics":
        return self

    def __enter__(self) -> "Topics":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def partitions(self, topic: str) -> list[int]:
        return [0, 1, 2]

    def search(self, topic: str, id_transaction: str, starts: Mapping[int, int], seconds: float) -> Searched:
        self.searched.append((topic, starts))
        return Searched(self.hits.get(topic, []), 5, True)

    def of_key(self, topic: str, id_transaction: str, seconds: float, *, every: bool = False) -> Searched:
        return self.search(topic, id_transaction, {}, seconds)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    found = Topics()
    monkeypatch.setattr(facts, "TopicSearch", found)
    monkeypatch.setattr(facts, "_source", lambda settings, id_transaction: "gs://bucket/paysim.csv")
    return found


def put_mail(lake: Lake, partition: Partition, kind: str, status: str, reply: str = "") -> None:
    line = {
        "idTransaction": CASE,
        "kind": kind,
        "recipient": "C12345@example.com",
        "messageId": f"<{kind}@example.com>",
        "status": status,
        "reply": reply,
        "attempts": 1,
        "firstTriedAt": "2023-10-07T00:00:05.000Z",
        "finishedAt": f"2023-10-07T00:00:{7 if kind == 'receipt' else 6:02}.000Z",
        "topic": partition.topic,
        "partition": partition.number,
        "offset": 0,
        "recordTimestamp": "2023-10-07T00:00:00.000Z",
    }
    made = batch([0], partition=partition)
    engine_behaviour.put(lake, MAILS, made, body=json.dumps(line, separators=(",", ":")).encode() + b"\n")


def put_claim(lake: Lake, expires: datetime, day: date = DAY) -> str:
    made = batch([0], rows=[row(0)], partition=FRAUDS)
    case = case_of(made.rows.to_pylist()[0], MIDNIGHT, expires - MIDNIGHT)
    link = Link(FRAUDS, 0, 0, 1, totals_of(made.offsets, made.rows))
    plan = Plan((Part(link, day, (case,)),))
    lake.store.create(object_name(FOLDER, day, *FRAUDS, 0), plan.body(), content_type=GZIP, metadata=link.metadata())
    return plan.run_id


def whole_case(topics: Topics, lake: Lake) -> str:
    engine_behaviour.put(lake, CASES, batch([0], rows=[row(0)], partition=FRAUDS))
    engine_behaviour.put(lake, CASES, batch([0], rows=[answer(0, "REPORTED_FRAUD")], partition=ANSWERS))
    put_mail(lake, FRAUDS, "fraud_notice", "accepted")
    put_mail(lake, ANSWERS, "receipt", "accepted")
    said = answer(0, "REPORTED_FRAUD") | {"answeredAt": MIDNIGHT + timedelta(seconds=60)}
    topics.hits[FRAUD_CONFIRMATION] = [Hit(FRAUD_CONFIRMATION, 2, 0, MIDNIGHT, said)]
    event: dict[str, Any] = {
        "idTransaction": CASE,
        "eventType": "MAIL_BOUNCED",
        "at": MIDNIGHT + timedelta(seconds=30),
        "by": "bounces",
        "reason": "mailbox full",
        "recipient": "C1***@example.com",
        "details": "{}",
    }
    topics.hits[CASE_EVENT] = [Hit(CASE_EVENT, 0, 7, MIDNIGHT, event)]
    return put_claim(lake, MIDNIGHT + timedelta(days=3))


def test_a_case_that_went_its_whole_way_misses_nothing(topics: Topics) -> None:
    lake = new_lake()
    run_id = whole_case(topics, lake)
    line = trace(Settings(), lake, CASE)
    assert line.missing == []
    told = [(step.what, step.text, step.place) for step in line.in_order()]
    assert told[0] == ("file row", "row 0 of the file tx", "gs://bucket/paysim.csv")
    assert ("case", "waits until 2023-10-10 00:00:00 UTC", f"run {run_id} of fraud_confirmation") in told
    assert [text for what, text, _ in told if what == "event"] == [
        "MAIL_BOUNCED by bounces, mail to C1***@example.com: mailbox full"
    ]
    assert [text for what, text, _ in told if what == "answer"] == ["fraud; 9,839.64 to be refunded"]
    assert [text for what, text, _ in told if what == "mail"] == [
        "fraud notice to C1***@example.com accepted",
        "receipt to C1***@example.com accepted",
    ]
    assert [text for what, text, _ in told if what == "lake row"] == [
        "the transaction, PENDING",
        "the outcome, REPORTED_FRAUD",
    ]
    times = [step.at for step in line.in_order() if step.at]
    assert times == sorted(times)
    assert "C12345" not in json.dumps(line.to_dict())


def test_of_a_new_case_the_line_says_what_is_still_to_come_and_who_does_it(topics: Topics) -> None:
    lake = new_lake()
    record = row(0) | {"timestamp": MIDNIGHT}
    topics.hits[FRAUD_TRANSACTION] = [Hit(FRAUD_TRANSACTION, 1, 0, MIDNIGHT, record)]
    line = trace(Settings(), lake, CASE)
    assert [step.what for step in line.in_order()] == ["file row", "record"]
    assert line.in_order()[1].text == "fraud, PAYMENT of 9,839.64 from C0 to M0"
    assert line.in_order()[1].place == "topic fraud_transaction, partition 1, offset 0"
    looks = {one.what: one.look for one in line.missing}
    assert list(looks) == ["lake row", "mail", "case", "answer"]
    assert "write_lake of the DAG consume_fraud_transactions" in looks["lake row"]
    assert "send_mail of the DAG consume_fraud_transactions" in looks["mail"]
    assert "open_cases" in looks["case"]


@pytest.mark.parametrize("days", [0, 7, 30])
def test_a_run_is_found_whose_claim_began_days_before_the_case_as_the_closing_of_expired_cases_finds_it(
    days: int,
) -> None:
    lake = new_lake()
    run_id = put_claim(lake, MIDNIGHT + timedelta(days=3), DAY - timedelta(days=days))
    found = facts.find_run(lake.store, facts.Place(FRAUDS, 0, MIDNIGHT), CASE)
    assert found is not None
    assert found.run_id == run_id
    frauds = [OpenCase(MIDNIGHT, {"idTransaction": CASE})]
    late = expired_by_claim(lake.store, frauds, MIDNIGHT + timedelta(days=4), timedelta(days=3), {})
    assert late == frauds


@pytest.mark.parametrize(("left", "look"), [(1, "has not answered"), (-1, "close_expired_cases")])
def test_a_case_without_an_answer_waits_until_its_time_is_up(topics: Topics, left: int, look: str) -> None:
    lake = new_lake()
    whole_case(topics, lake)
    lake.store.objects = {name: one for name, one in lake.store.objects.items() if FRAUD_CONFIRMATION + "-" not in name}  # type: ignore[attr-defined]
    topics.hits[FRAUD_CONFIRMATION] = []
    lake.store.objects = {name: o for name, o in lake.store.objects.items() if not name.startswith(FOLDER)}  # type: ignore[attr-defined]
    put_claim(lake, datetime.now(UTC) + timedelta(days=left))
    (missing,) = trace(Settings(), lake, CASE).missing
    assert missing.what == "answer"
    assert look in missing.look


@pytest.mark.parametrize("again", [False, True])
def test_a_case_whose_notice_was_accepted_late_waits_for_longer(topics: Topics, again: bool) -> None:
    lake, now = new_lake(), datetime.now(UTC)
    engine_behaviour.put(lake, CASES, batch([0], rows=[row(0)], partition=FRAUDS))
    put_mail(lake, FRAUDS, "fraud_notice", "accepted")
    limit = now - timedelta(minutes=1) - MIDNIGHT
    put_claim(lake, MIDNIGHT + limit)
    accepted = MIDNIGHT + timedelta(hours=6)
    event = {"idTransaction": CASE, "eventType": "NOTICE_ACCEPTED", "by": "send_mail", "reason": "", "recipient": ""}
    topics.hits[CASE_EVENT] = [
        Hit(CASE_EVENT, 0, offset, at, event | {"at": at, "details": "{}"})
        for offset, at in enumerate([accepted, now] if again else [accepted])
    ]
    line = trace(Settings(), lake, CASE)
    (waits,) = (step.text for step in line.in_order() if step.what == "case")
    assert waits == f"waits until {accepted + limit:%Y-%m-%d %H:%M:%S} UTC"
    (missing,) = line.missing
    assert "has not answered" in missing.look


def test_a_staff_decision_supersedes_what_the_customer_answered_and_has_to_get_into_the_lake_too(
    topics: Topics,
) -> None:
    lake = new_lake()
    whole_case(topics, lake)
    decided = answer(0, "REPORTED_NOT_FRAUD", channel="STAFF", decidedBy="ana", reason="She called.")
    decided["answeredAt"] = MIDNIGHT + timedelta(hours=1)
    topics.hits[FRAUD_CONFIRMATION].append(Hit(FRAUD_CONFIRMATION, 2, 1, MIDNIGHT + timedelta(hours=1), decided))
    line = trace(Settings(), lake, CASE)
    assert [step.text for step in line.in_order() if step.what == "answer"] == [
        "fraud; another answer counts",
        "not fraud, decided by ana: She called.",
    ]
    assert [one.what for one in line.missing] == ["lake row of the outcome"]


def test_a_deferred_mail_leads_to_the_dag_that_tries_it_again(topics: Topics) -> None:
    lake = new_lake()
    engine_behaviour.put(lake, TRANSACTIONS, batch([0], partition=Partition(NON_FRAUD_TRANSACTION, 3)))
    put_mail(lake, Partition(NON_FRAUD_TRANSACTION, 3), "notice", "deferred", "451 later")
    line = trace(Settings(), lake, CASE)
    assert [step.text for step in line.in_order() if step.what == "mail"] == [
        "notice to C1***@example.com deferred: 451 later"
    ]
    assert [(one.what, "retry_mails" in one.look) for one in line.missing] == [("accepted mail", True)]


def test_topics_are_read_from_the_lakes_ends_unless_all_is_asked_for(topics: Topics) -> None:
    lake = new_lake()
    engine_behaviour.put(lake, TRANSACTIONS, batch(range(1, 9), partition=Partition(NON_FRAUD_TRANSACTION, 1)))
    (missing,) = trace(Settings(), lake, "tx-99").missing
    assert missing.what == "record"
    assert topics.searched == [(FRAUD_TRANSACTION, {0: 0, 1: 0, 2: 0}), (NON_FRAUD_TRANSACTION, {0: 0, 1: 9, 2: 0})]
    topics.searched.clear()
    line = trace(Settings(), lake, "tx-99", whole=True)
    assert "--whole" in missing.look
    assert "--whole" not in line.missing[0].look
    assert topics.searched[1] == (NON_FRAUD_TRANSACTION, {0: 0, 1: 0, 2: 0})
    assert "topic non_fraud_transaction from its beginning: 5 records" in line.searched


def test_of_an_unknown_transaction_it_is_said_whether_its_file_is_known(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    (missing,) = trace(Settings(), new_lake(), "0123456789-000000007").missing
    assert missing.look.startswith("row 7 of the file gs://bucket/paysim.csv was rejected")
    monkeypatch.setattr(facts, "_source", lambda settings, id_transaction: None)
    (missing,) = trace(Settings(), new_lake(), "0123456789-000000007").missing
    assert missing.look.startswith("check the id: topic ingest_progress knows no file 0123456789.")


@pytest.mark.parametrize("case", ["-7", "0-7", "tx", "0123456789-x", "0123456789abcdef-7"])
def test_an_id_whose_first_part_stands_for_no_file_is_not_looked_up(case: str) -> None:
    assert facts._source(Settings(), case) is None  # without a broker to ask


def test_the_command_prints_text_or_json_and_says_by_its_code_whether_something_is_missing(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = new_lake()
    run_id = whole_case(topics, lake)
    monkeypatch.setattr(Lake, "connect", classmethod(lambda cls, settings: lake))
    assert command.main(["trace", CASE]) == 0
    assert f"run {run_id} of fraud_confirmation" in capsys.readouterr().out
    assert command.main(["trace", "tx-5", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["steps"] == []
    assert printed["missing"][0]["what"] == "record"
    with pytest.raises(SystemExit):
        command.main(["trace", "tx\n5"])


def test_what_cannot_be_reached_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object, **__: object) -> None:
        raise KafkaUnavailable("no broker answers")

    monkeypatch.setattr(Lake, "connect", classmethod(lambda cls, settings: new_lake()))
    monkeypatch.setattr(command, "trace", away)
    assert command.main(["trace", CASE]) == 2
    assert capsys.readouterr().err == "trace: no broker answers\n"
