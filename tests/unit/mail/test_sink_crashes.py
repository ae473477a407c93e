"""Crashes of the mail sink: errors of the store or the server, and a new sink that continues."""

import gzip
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from fraudstream.errors import KafkaUnavailable, LakeUnavailable, MailError, PartitionLost
from fraudstream.kafka.records import Batch
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.lake.stream.totals import Totals
from fraudstream.mail.compacted_log import CompactedLog
from fraudstream.mail.sink import MailSink
from fraudstream.mail.smtp.conversation import Mail
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.lakes import new_lake
from tests.unit.lake.rows import PARTITION, batch
from tests.unit.mail.bench import FRAUD, OTHER, Bench


class TestCrash:
    def test_between_sending_and_log_the_same_mails_go_again(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_batch_rows=10)
        sink = bench.start()
        sink.assigned(PARTITION, None)

        def down(operation: str, name: str) -> None:
            if len(bench.outbox.sent) == 20:
                raise LakeUnavailable("no answer")

        bench.store.before = down
        sink.write(batch(range(30)))
        with pytest.raises(LakeUnavailable):
            sink.flush()
        bench.store.before = lambda operation, name: None

        again = bench.start()
        assert again.assigned(PARTITION, None) is None
        again.write(batch(range(30)))
        assert again.flush() == {PARTITION: 30}
        assert bench.logged() == list(range(30))
        ids = bench.outbox.message_ids()
        assert Counter(ids.values()) == {1: 20, 2: 10}

    def test_after_the_log_nothing_is_sent_again(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_batch_rows=10)
        first = bench.start()
        first.assigned(PARTITION, None)
        first.write(batch(range(30)))
        first.flush()

        again = bench.start()
        assert again.assigned(PARTITION, 30) == 30
        assert len(bench.outbox.sent) == 30

    def test_what_the_group_did_not_commit_is_read_again_and_not_sent_again(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_batch_rows=10)
        first = bench.start()
        first.assigned(PARTITION, None)
        first.write(batch(range(30)))
        first.flush()

        again = bench.start()
        assert again.assigned(PARTITION, 10) == 10
        again.write(batch(range(10, 35)))
        assert again.flush() == {PARTITION: 35}
        assert len(bench.outbox.sent) == 35
        assert bench.logged() == list(range(35))

    def test_between_log_and_retries_the_next_reader_writes_them_and_sends_nothing_again(
        self, make: Callable[..., Bench]
    ) -> None:
        bench = make(mail_batch_rows=10)
        bench.outbox.answer = lambda mail: ("deferred", "450 later") if "C2@" in mail.recipient else ("sent", "250")
        sink = bench.start()
        sink.assigned(PARTITION, 0)
        bench.followed_up.fail = KafkaUnavailable("no answer")
        sink.write(batch(range(8)))
        with pytest.raises(KafkaUnavailable):
            sink.flush()

        # Another server would accept these mails now, but the log counts.
        bench.outbox.answer = lambda mail: ("sent", "250")
        again = bench.start()
        assert again.assigned(PARTITION, 0) == 0
        again.write(batch(range(8)))
        assert again.flush() == {PARTITION: 8}
        assert len(bench.outbox.sent) == 8
        deferred = [line["offset"] for line in bench.log() if line["status"] == "deferred"]
        assert bench.followed_up.of("deferred") == deferred == [2]
        (letter,) = (letter for letter in bench.followed_up.letters if letter.mail.status == "deferred")
        assert (letter.mail.reply, letter.mail.attempts, letter.mail.first_tried_at) == (
            "450 later",
            1,
            1_700_000_000.25,
        )

    def test_between_log_and_retries_a_compaction_hides_no_deferred_mail_and_no_fraud_notice(
        self, make: Callable[..., Bench]
    ) -> None:
        bench = make(mail_batch_rows=10)
        lake = new_lake(bench.store)
        bench.compacted = CompactedLog(lambda: lake.tables)
        bench.outbox.answer = lambda mail: ("deferred", "450 later") if "C2@" in mail.recipient else ("sent", "250")
        for partition in (PARTITION, FRAUD):
            bench.followed_up.fail = KafkaUnavailable("no answer")
            sink = bench.start()
            sink.assigned(partition, 0)
            sink.write(batch(range(8), partition=partition))
            with pytest.raises(KafkaUnavailable):
                sink.flush()
            # The next reader gets as far as moving the progress.
            bench.start().assigned(partition, 0)
        compact(
            lake, "email_confirmation", date(2023, 12, 31), keep_json=timedelta(0), now=datetime(2100, 1, 1, tzinfo=UTC)
        )
        assert bench.log() == []

        again = bench.start()
        for partition in (PARTITION, FRAUD):
            assert again.assigned(partition, 0) == 0
            # Records after the compaction are in an object.
            again.write(batch(range(9), partition=partition))
        assert again.flush() == {PARTITION: 9, FRAUD: 9}
        assert len(bench.outbox.sent) == 18
        assert [line["offset"] for line in bench.log()] == [8, 8]
        assert bench.followed_up.of("deferred") == [2, 2]
        notices = [one for one in bench.followed_up.letters if one.kind == "fraud_notice" and one.mail.status == "sent"]
        assert [one.offset for one in notices] == [0, 1, 3, 4, 5, 6, 7, 8]
        letter = next(one for one in bench.followed_up.letters if one.mail.status == "deferred")
        assert (letter.mail.reply, letter.mail.attempts, letter.mail.first_tried_at) == (
            "450 later",
            1,
            1_700_000_000.25,
        )

    def test_mails_before_one_that_was_taken_are_deferred_when_the_server_is_given_up(
        self, make: Callable[..., Bench]
    ) -> None:
        bench = make()
        sink = bench.start()
        sink.assigned(PARTITION, None)

        def only_the_last(mails: Sequence[Mail]) -> None:
            mails[7].status, mails[7].reply, mails[7].attempts = "sent", "250", 1
            raise MailError("stopped")

        bench.outbox.deliver = only_the_last  # type: ignore[method-assign]
        sink.write(batch(range(10)))
        with pytest.raises(MailError):
            sink.flush()
        assert [(line["offset"], line["status"]) for line in bench.log()] == [
            *((offset, "deferred") for offset in range(7)),
            (7, "sent"),
        ]
        assert bench.followed_up.of("deferred") == list(range(7))

    def test_a_log_object_whose_progress_was_not_moved_is_adopted(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_batch_rows=10)
        first = bench.start()
        first.assigned(PARTITION, None)

        def lost(operation: str, name: str) -> None:
            if operation == "create":
                raise LakeUnavailable("answer lost")

        bench.store.after = lost
        first.write(batch(range(4)))
        with pytest.raises(LakeUnavailable):
            first.flush()
        bench.store.after = lambda operation, name: None

        again = bench.start()
        assert again.assigned(PARTITION, None) is None
        again.write(batch(range(9)))
        assert again.flush() == {PARTITION: 9}
        assert bench.logged() == list(range(9))
        assert set(bench.outbox.message_ids().values()) == {1}

    def test_what_is_logged_further_than_this_reader_sent_is_not_sent_again(self, make: Callable[..., Bench]) -> None:
        bench = make(mail_batch_rows=3)
        sink = bench.start()
        sink.assigned(PARTITION, None)
        # Another reader wrote seven lines and was killed before it moved the progress.
        killed = ObjectChain(bench.store, "email_confirmation")
        killed.open(PARTITION)
        lines = b"".join(b'{"offset": %d, "partition": 3, "status": "sent"}\n' % offset for offset in range(7))
        killed.claim(PARTITION, 0, 7, date(2023, 10, 7), gzip.compress(lines), Totals(7, 21))
        sink.write(batch(range(10)))
        assert sink.flush() == {PARTITION: 10}
        assert bench.outbox.calls == [2, 1]
        assert bench.logged() == list(range(10))

    @pytest.mark.parametrize(("theirs", "ours"), [("sent", "deferred"), ("deferred", "sent"), ("failed", "sent")])
    def test_an_object_of_a_reader_before_counts_although_it_ends_where_ours_would(
        self, make: Callable[..., Bench], theirs: str, ours: str
    ) -> None:
        bench = make(mail_batch_rows=3)
        late, sink = bench.start(), bench.start()
        late.assigned(PARTITION, None)
        late.write(batch(range(3)))
        late.flush()
        late.write(batch(range(3, 6)))

        def late_writes_first(operation: str, name: str) -> None:
            if operation == "create":
                bench.store.before = lambda operation, name: None
                bench.outbox.answer = lambda mail: (theirs, "")
                with pytest.raises(PartitionLost):
                    late.flush()

        sink.assigned(PARTITION, 3)
        sink.write(batch(range(3, 6)))
        bench.outbox.answer = lambda mail: (ours, "")
        bench.store.before = late_writes_first
        bench.followed_up.letters.clear()
        assert sink.flush() == {PARTITION: 6}
        assert [line["status"] for line in bench.log()] == ["sent"] * 3 + [theirs] * 3
        assert [(letter.offset, letter.mail.status) for letter in bench.followed_up.letters] == [
            (offset, theirs) for offset in (3, 4, 5)
        ]

    def test_a_server_given_up_leaves_what_it_took_in_the_log(self, make: Callable[..., Bench]) -> None:
        bench = make()
        sink = bench.start()
        for partition in (PARTITION, OTHER):
            sink.assigned(partition, None)
        sink.write(batch(range(10)))
        sink.write(batch(range(10), partition=OTHER))
        bench.outbox.fail_after = 13
        with pytest.raises(MailError):
            sink.flush()
        assert (bench.logged(), bench.logged(OTHER)) == (list(range(10)), [0, 1, 2])
        again = bench.start()
        bench.outbox.fail_after = None
        for partition in (PARTITION, OTHER):
            assert again.assigned(partition, None) is None
            again.write(batch(range(10), partition=partition))
        again.flush()
        assert (bench.logged(), bench.logged(OTHER)) == (list(range(10)), list(range(10)))
        assert len(bench.outbox.sent) == 20

    def test_a_zombie_stops_and_its_other_partitions_are_logged(self, make: Callable[..., Bench]) -> None:
        bench = make()
        zombie, owner = bench.start(), bench.start()
        for partition in (PARTITION, OTHER):
            zombie.assigned(partition, None)
            zombie.write(batch([0], partition=partition))
        zombie.flush()
        owner.assigned(PARTITION, None)
        owner.write(batch(range(1, 5)))
        owner.flush()
        zombie.write(batch(range(1, 3)))
        zombie.write(batch(range(1, 4), partition=OTHER))
        with pytest.raises(PartitionLost):
            zombie.flush()
        assert (bench.logged(), bench.logged(OTHER)) == (list(range(5)), list(range(4)))

    @settings(deadline=None)
    @given(
        steps=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40)), max_size=6),
        gaps=st.lists(st.integers(1, 3), min_size=1, max_size=40),
        piece=st.integers(1, 9),
        answers=st.lists(st.sampled_from(["sent", "deferred", "failed"]), min_size=1, max_size=7),
    )
    @example(steps=[(3, 6), (2, 8)], gaps=[1, 1, 1, 1], piece=3, answers=["deferred"])  # ends within a log object
    def test_crashes_anywhere_lose_nothing_and_double_at_most_a_piece_each(
        self, steps: list[tuple[int, int]], gaps: list[int], piece: int, answers: list[str]
    ) -> None:
        offsets = [sum(gaps[:n]) for n in range(len(gaps))]
        bench = Bench(mail_batch_rows=piece)
        bench.outbox.answer = lambda mail: (answers[len(bench.outbox.sent) % len(answers)], "")
        committed: list[int | None] = [None]
        crashes = 0
        for size, crash_at in [*steps, (len(gaps), -1)]:
            left = [crash_at]

            def crash(operation: str, name: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] == 0:
                    raise LakeUnavailable("crash")

            bench.store.before = bench.store.after = crash
            bench.followed_up.fail = KafkaUnavailable("crash") if crash_at % 3 == 1 else None
            sink = bench.start()
            try:
                start = sink.assigned(PARTITION, committed[0]) or 0
                self._read(sink, [offset for offset in offsets if offset >= start], size, committed)
            except (LakeUnavailable, KafkaUnavailable):
                crashes += 1
        bench.close()
        assert bench.logged() == offsets
        for status in ("deferred", "failed"):
            assert set(bench.followed_up.of(status)) == {
                line["offset"] for line in bench.log() if line["status"] == status
            }
        ids = bench.outbox.message_ids()
        assert len(ids) == len(offsets)
        assert ids.total() - len(offsets) <= crashes * piece

    @staticmethod
    def _read(sink: MailSink, offsets: list[int], size: int, committed: list[int | None]) -> None:
        for at in range(0, len(offsets), size):
            part: Batch = batch(offsets[at : at + size])
            sink.write(part)
            committed[0] = sink.flush()[PARTITION]
            assert committed[0] == part.next_offset
