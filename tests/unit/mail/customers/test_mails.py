"""Mails to customers of a directory: who gets them, and what is logged about the others."""

from collections.abc import Callable, Iterable
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from fraudstream.cases.events import MAIL_SUPPRESSED, NOTICE_ACCEPTED, CaseEvent
from fraudstream.errors import SettingsError
from fraudstream.mail import follow_up
from fraudstream.mail.follow_up import FollowUp
from fraudstream.settings import Settings

from tests.unit.lake.rows import batch, row
from tests.unit.mail.bench import FRAUD, Bench

CUSTOMERS = """account,address,language,time_zone,name
C1,siti@example.com,id,Asia/Jakarta,Siti Rahayu
C2,ben@example.com,en,Europe/London,
C3,nobody,en,,
"""


@pytest.fixture
def directory(tmp_path: Path) -> str:
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS)
    return str(path)


def test_each_customer_gets_a_mail_of_their_own_and_the_others_are_suppressed_with_the_reason(
    make: Callable[..., Bench], directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(customer_directory=directory)
    sink = bench.start()
    sink.assigned(FRAUD, None)
    sink.write(batch(range(4), rows=[row(number, isFraud=1) for number in range(4)], partition=FRAUD))
    assert sink.flush() == {FRAUD: 4}, "nobody holds up the others"

    siti, ben = (message_from_bytes(mail.content, policy=default) for mail in bench.outbox.sent)
    assert (siti["To"], siti["Subject"]) == ("siti@example.com", "Apakah Anda melakukan pembayaran ini?")
    assert (ben["To"], ben["Subject"]) == ("ben@example.com", "Did you make this payment?")
    text = siti.get_body(("plain",)).get_content()
    assert "Yth. Siti Rahayu," in text
    assert "07:00 WIB" in text
    assert "/fraud?lang=id" in text

    lines = {line["offset"]: (line["status"], line["recipient"], line["reply"]) for line in bench.log()}
    assert lines[0] == (
        "suppressed",
        "",
        "not sent: not reachable, the customer directory has no entry for the account",
    )
    assert lines[3][:2] == ("suppressed", "")
    assert "malformed: address is not a mail address" in lines[3][2]

    events: list[CaseEvent] = []

    class Events:
        def __init__(self, settings: Settings) -> None: ...

        def publish(self, published: Iterable[CaseEvent]) -> None:
            events.extend(published)

    monkeypatch.setattr(follow_up, "CaseEvents", Events)
    FollowUp(bench.settings).done(bench.followed_up.letters)
    assert [(event.id_transaction, event.event_type, event.recipient) for event in events] == [
        ("tx-0", MAIL_SUPPRESSED, None),
        ("tx-3", MAIL_SUPPRESSED, None),
        ("tx-1", NOTICE_ACCEPTED, "si***@example.com"),
        ("tx-2", NOTICE_ACCEPTED, "be***@example.com"),
    ]
    assert "no entry for the account" in events[0].reason


def test_safe_mode_holds_for_a_directory_too(make: Callable[..., Bench], directory: str) -> None:
    bench = make(customer_directory=directory, mail_allowed_recipients=["siti@example.com"])
    sink = bench.start()
    sink.assigned(FRAUD, None)
    sink.write(batch([1, 2], rows=[row(1, isFraud=1), row(2, isFraud=1)], partition=FRAUD))
    sink.flush()
    assert [mail.recipient for mail in bench.outbox.sent] == ["siti@example.com"]


def test_a_directory_that_is_no_table_stops_the_task_and_moves_no_offset(
    make: Callable[..., Bench], tmp_path: Path
) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("id,mail\nC1,siti@example.com\n")
    bench = make(customer_directory=str(path))
    sink = bench.start()
    sink.assigned(FRAUD, None)
    sink.write(batch([1], rows=[row(1, isFraud=1)], partition=FRAUD))
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_CUSTOMER_DIRECTORY names .* no column account"):
        sink.flush()
    assert bench.log() == bench.outbox.sent == []
    path.write_text(CUSTOMERS)
    again = bench.start()
    again.assigned(FRAUD, None)
    again.write(batch([1], rows=[row(1, isFraud=1)], partition=FRAUD))
    assert again.flush() == {FRAUD: 2}


def test_a_directory_that_is_not_there_stops_the_task_before_it_reads_anything(make: Callable[..., Bench]) -> None:
    with pytest.raises(SettingsError, match="FRAUDSTREAM_CUSTOMER_DIRECTORY"):
        make(customer_directory="/no/such/customers.csv").start()
