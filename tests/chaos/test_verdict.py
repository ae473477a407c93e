"""The verdict finds what is lost, duplicated or unexpected."""

from decimal import Decimal
from typing import Any

from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION

from tests.chaos import verdict
from tests.chaos.contents import Content, Row
from tests.chaos.fleet import Interruption
from tests.chaos.mailbox import Delivery

GOOD = Row(NON_FRAUD_TRANSACTION, "f-0", "PAYMENT", Decimal("1.00"), "C1", "M1")
FRAUD = Row(FRAUD_TRANSACTION, "f-1", "TRANSFER", Decimal("2.00"), "C2", "C3")
AT_GOOD, AT_FRAUD, AT_BAD = (NON_FRAUD_TRANSACTION, 0, 5), (FRAUD_TRANSACTION, 1, 8), (FRAUD_TRANSACTION, 1, 9)
TOPIC_OF = {"f-0": NON_FRAUD_TRANSACTION, "f-1": FRAUD_TRANSACTION}
IDS = {"f-0": {"<a>"}, "f-1": {"<b>"}}


def logged(place: tuple[str, int, int], case: str, status: str = "sent") -> dict[str, Any]:
    topic, partition, offset = place
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "idTransaction": case,
        "messageId": f"<{case}>",
        "status": status,
        "reply": "",
    }


def content(**changed: Any) -> Content:
    records = [(AT_GOOD, GOOD), (AT_FRAUD, FRAUD)]
    whole = Content(
        rows=[GOOD, FRAUD],
        rejected_lines=[4],
        topics=records,
        lake=records,
        mail_log=[logged(AT_GOOD, "f-0"), logged(AT_FRAUD, "f-1")],
        runs=[("run", ["f-1"])],
        dead=[(AT_BAD, b"bad")],
        dead_lines=[4],
    )
    return whole._replace(**changed)


def doubled(
    deliveries: list[Delivery], interruptions: list[Interruption], in_flight: int = 10, ids: Any = IDS
) -> verdict.Check:
    return verdict.check_doubled_mails(deliveries, ids, interruptions, TOPIC_OF, in_flight)


def test_a_row_lost_doubled_changed_or_in_the_other_topic_is_seen() -> None:
    assert verdict.check_topics(content()).ok
    assert not verdict.check_topics(content(topics=[(AT_GOOD, GOOD)])).ok
    assert not verdict.check_topics(content(topics=[*content().topics, (AT_BAD, FRAUD)])).ok
    assert not verdict.check_topics(content(topics=[(AT_GOOD, GOOD), (AT_FRAUD, FRAUD._replace(nameDest="C9"))])).ok
    other = FRAUD._replace(topic=NON_FRAUD_TRANSACTION)
    assert not verdict.check_topics(content(topics=[(AT_GOOD, GOOD), (AT_FRAUD, other)])).ok


def test_a_rejected_line_lost_or_doubled_is_seen() -> None:
    assert not verdict.check_topics(content(dead_lines=[])).ok
    assert not verdict.check_topics(content(dead_lines=[4, 4])).ok


def test_a_record_lost_doubled_or_invented_in_the_lake_is_seen() -> None:
    assert verdict.check_lake(content()).ok
    assert not verdict.check_lake(content(lake=[(AT_GOOD, GOOD)])).ok
    assert not verdict.check_lake(content(lake=[*content().topics, (AT_GOOD, GOOD)])).ok
    assert not verdict.check_lake(content(lake=[*content().topics, (AT_BAD, FRAUD)])).ok


def test_a_case_without_a_run_or_in_two_is_seen_and_one_run_twice_is_none() -> None:
    assert verdict.check_cases(content(runs=[("run", ["f-1"]), ("run", ["f-1"])])).ok
    assert not verdict.check_cases(content(runs=[])).ok
    assert not verdict.check_cases(content(runs=[("run", ["f-1"]), ("other", ["f-1"])])).ok
    assert not verdict.check_cases(content(runs=[("run", ["f-1"]), ("run", [])])).ok


def test_a_dead_letter_missing_invented_or_changed_is_seen_and_one_twice_is_none() -> None:
    written = {AT_BAD: b"bad"}
    assert verdict.check_dead_letters(content(dead=[(AT_BAD, b"bad")] * 2), written).ok
    assert not verdict.check_dead_letters(content(dead=[]), written).ok
    assert not verdict.check_dead_letters(content(), {}).ok
    assert not verdict.check_dead_letters(content(dead=[(AT_BAD, b"good")]), written).ok


def test_a_mail_missing_or_failed_without_a_refusal_is_seen() -> None:
    taken = [Delivery("f-0", 1.0, False), Delivery("f-1", 1.0, False)]
    refused = content(mail_log=[logged(AT_GOOD, "f-0", "failed"), logged(AT_FRAUD, "f-1")])
    assert verdict.check_mail_log(content(), taken, {}, 8).ok
    assert verdict.check_mail_log(refused, taken[1:], {"f-0": ["answers 550"]}, 8).ok
    assert verdict.check_mail_log(refused, taken[1:], {"f-0": ["answers 451"] * 8}, 8).ok
    assert not verdict.check_mail_log(refused, taken[1:], {"f-0": ["answers 451"] * 7}, 8).ok
    assert not verdict.check_mail_log(content(), taken[1:], {}, 8).ok
    deferred = [logged(AT_GOOD, "f-0", "deferred"), logged(AT_FRAUD, "f-1")]
    again = logged(("mail_retry", 1, 0), "f-0")
    assert verdict.check_mail_log(content(mail_log=[*deferred, again]), taken, {}, 8).ok
    assert not verdict.check_mail_log(content(mail_log=deferred), taken, {}, 8).ok
    assert not verdict.check_mail_log(content(mail_log=[*deferred, again, again]), taken, {}, 8).ok
    assert not verdict.check_mail_log(content(mail_log=[logged(AT_GOOD, "f-0")]), taken, {}, 8).ok
    assert not verdict.check_mail_log(content(mail_log=[*content().mail_log, logged(AT_GOOD, "f-0")]), taken, {}, 8).ok


def test_a_notice_may_be_left_out_only_if_its_case_is_over() -> None:
    taken = [Delivery("f-0", 1.0, False)]
    over = content(mail_log=[logged(AT_GOOD, "f-0"), logged(AT_FRAUD, "f-1", "over")])
    assert verdict.check_mail_log(over, taken, {}, 8, {"f-1"}).ok
    assert not verdict.check_mail_log(over, taken, {}, 8).ok
    other = content(mail_log=[logged(AT_GOOD, "f-0", "over"), logged(AT_FRAUD, "f-1", "over")])
    assert not verdict.check_mail_log(other, taken, {}, 8, {"f-0", "f-1"}).ok


def test_a_mail_goes_twice_only_after_a_lost_reply_or_at_an_interruption_of_its_own_worker() -> None:
    twice = [Delivery("f-0", 1.0, False), Delivery("f-0", 9.0, False)]
    killed = Interruption(5.0, f"send_mail-{NON_FRAUD_TRANSACTION}-2", "kill -9")
    assert doubled([Delivery("f-0", 1.0, True), twice[1]], []).ok
    assert doubled(twice, [killed]).ok
    assert doubled(twice, [killed._replace(worker="kafka-1")]).ok
    assert not doubled(twice, []).ok
    assert not doubled(twice, [killed._replace(at=10.0)]).ok
    assert not doubled(twice, [killed._replace(at=-10.0)]).ok
    assert not doubled(twice, [killed._replace(worker=f"send_mail-{FRAUD_TRANSACTION}")]).ok
    assert not doubled(twice, [killed], in_flight=0).ok


def test_copies_have_one_message_id_and_mails_have_their_own() -> None:
    assert not doubled([], [], ids={"f-0": {"<a>", "<b>"}}).ok
    assert not doubled([], [], ids={"f-0": {"<a>"}, "f-1": {"<a>"}}).ok
