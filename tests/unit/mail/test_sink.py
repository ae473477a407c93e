"""The mail sink with a real chain on a store in memory: what it logs, and when it flushes."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fraudstream.lake.stream.names import parse_object_name

from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, PARTITION, answer, batch, row
from tests.unit.mail.bench import ANSWERS, FRAUD, OTHER, Bench


class TestLog:
    def test_a_line_says_all_of_a_mail(self, make: Callable[..., Bench]) -> None:
        bench = make()
        sink = bench.start()
        assert sink.assigned(PARTITION, None) is None
        sink.write(batch([41], timestamps=[MIDNIGHT_MS + 7]))
        assert sink.flush() == {PARTITION: 42}
        (line,) = bench.log()
        message_id = line.pop("messageId")
        assert f"Message-ID: {message_id}\r\n".encode() in bench.outbox.sent[0].content
        assert line == {
            "idTransaction": "tx-41",
            "kind": "notice",
            "recipient": "C6@example.com",
            "status": "sent",
            "reply": "250 queued",
            "attempts": 1,
            "firstTriedAt": "2023-11-14T22:13:20.250Z",
            "finishedAt": "2023-11-14T22:13:20.500Z",
            "topic": "non_fraud_transaction",
            "partition": 3,
            "offset": 41,
            "recordTimestamp": "2023-10-07T00:00:00.007Z",
        }

    def test_amounts_have_their_thousands_apart(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_amount_in_subject=True)
        sink = bench.start()
        sink.assigned(PARTITION, None)
        sink.write(batch([1], rows=[row(1) | {"amount": 18_198_343}]))
        sink.flush()
        assert b" (181,983.43)\r\n" in bench.outbox.sent[0].content

    def test_each_topic_causes_its_kind_of_mail(self, make: Callable[..., Bench]) -> None:
        bench = make()
        sink = bench.start()
        for partition in (PARTITION, FRAUD, ANSWERS):
            sink.assigned(partition, None)
        sink.write(batch([0]))
        sink.write(batch([0], rows=[row(1, isFraud=1)], partition=FRAUD))
        sink.write(batch([0], rows=[answer(2, "REPORTED_FRAUD")], partition=ANSWERS))
        sink.flush()
        assert {line["idTransaction"]: line["kind"] for line in bench.log()} == {
            "tx-0": "notice",
            "tx-1": "fraud_notice",
            "tx-2": "receipt",
        }
        fraud = next(mail.content for mail in bench.outbox.sent if b"fraud_notice." in mail.content)
        assert b"https://bank.example/confirm/tx-1/fraud=" in fraud
        assert b"https://bank.example/confirm/tx-1/not-fraud=" in fraud
        until = re.search(rb"by (\d+ \w+ \d+, \d\d:\d\d UTC)\.", fraud.replace(b"=\r\n", b""))
        assert until
        left = datetime.strptime(until[1].decode() + "+0000", "%d %B %Y, %H:%M UTC%z") - datetime.now(UTC)
        assert timedelta(hours=71.9) < left <= timedelta(hours=72), "the time limit runs from when the mail is written"

    def test_safe_mode_sends_nothing_to_others_and_says_so(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_allowed_recipients="C1@example.com")
        sink = bench.start()
        sink.assigned(PARTITION, None)
        sink.write(batch(range(14)))
        assert sink.flush() == {PARTITION: 14}
        assert [mail.recipient for mail in bench.outbox.sent] == ["C1@example.com"] * 2
        by_status = Counter((line["status"], line["attempts"], line["firstTriedAt"] is None) for line in bench.log())
        assert by_status == {("sent", 1, False): 2, ("suppressed", 0, True): 12}

    def test_columns_that_make_no_address_fail_that_mail_alone(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_safe_mode=False)
        sink = bench.start()
        sink.assigned(PARTITION, None)
        sink.write(batch([0, 1], rows=[row(0, nameOrig="x\r\nRCPT TO:<y@z.example>"), row(1)]))
        assert sink.flush() == {PARTITION: 2}
        assert [(line["status"], line["attempts"]) for line in bench.log()] == [("failed", 0), ("sent", 1)]
        assert len(bench.outbox.sent) == 1

    def test_an_object_holds_one_day(self, make: Callable[..., Bench]) -> None:
        bench = make()
        sink = bench.start()
        sink.assigned(PARTITION, None)
        days = [0, 0, 1, 0, 0]
        sink.write(batch([3, 5, 8, 9, 11], timestamps=[MIDNIGHT_MS + day * DAY_MS for day in days], next_offset=20))
        assert sink.flush() == {PARTITION: 20}
        named = [parse_object_name(name) for name in sorted(bench.store.objects)]
        assert [(name.day.day, name.first_offset) for name in named if name] == [(7, 3), (7, 9), (8, 8)]
        assert bench.logged() == [3, 5, 8, 9, 11]

    def test_small_batches_of_a_partition_share_an_object(self, make: Callable[..., Bench]) -> None:
        bench = make()
        sink = bench.start()
        sink.assigned(PARTITION, None)
        for offset in range(10):
            sink.write(batch([offset]))
        sink.flush()
        assert len([name for name in bench.store.objects if parse_object_name(name)]) == 1
        assert bench.logged() == list(range(10))


class TestFlush:
    def test_no_more_than_a_piece_of_mails_is_ahead_of_the_log(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_batch_rows=10)
        sink = bench.start()
        ahead: list[int] = []
        bench.store.after = lambda operation, name: ahead.append(len(bench.outbox.sent) - len(bench.log()))
        for partition in (PARTITION, OTHER):
            sink.assigned(partition, None)
        sink.write(batch(range(25)))
        sink.write(batch(range(7), partition=OTHER))
        assert sink.flush() == {PARTITION: 25, OTHER: 7}
        assert bench.outbox.calls == [10, 10, 10, 2]
        assert max(ahead) <= 10
        assert bench.logged() == list(range(25))
        assert bench.logged(OTHER) == list(range(7))

    def test_it_is_due_when_a_piece_waits_or_a_record_waited_half_a_second(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_batch_rows=10)
        sink = bench.start()
        sink.assigned(PARTITION, None)
        assert not sink.due()
        sink.write(batch(range(9)))
        assert not sink.due()
        bench.now = 0.5
        assert sink.due()
        bench.now = 0.4
        assert not sink.due()
        sink.write(batch([9]))
        assert sink.due()
        sink.flush()
        assert not sink.due()

    def test_a_batch_of_markers_alone_moves_the_offset_and_writes_nothing(self, make: Callable[..., Bench]) -> None:
        bench = make()
        sink = bench.start()
        sink.assigned(PARTITION, None)
        sink.write(batch([], next_offset=17))
        assert sink.flush() == {PARTITION: 17}
        assert bench.log() == []

    def test_what_is_buffered_of_a_revoked_partition_is_forgotten(self, make: Callable[..., Bench]) -> None:
        bench = make()
        sink = bench.start()
        for partition in (PARTITION, OTHER):
            sink.assigned(partition, None)
        sink.write(batch(range(3)))
        sink.write(batch(range(2), partition=OTHER))
        sink.revoked([PARTITION])
        assert sink.flush() == {OTHER: 2}
        assert len(bench.outbox.sent) == 2

    def test_closing_takes_leave_of_the_server(self, make: Callable[..., Bench]) -> None:
        bench = make()
        bench.start().close()
        assert bench.outbox.closed
