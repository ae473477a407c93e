"""The mail log of topic mail_retry, the only topic whose records retention deletes."""

from datetime import date

import numpy as np
from fraudstream.kafka.records import MAIL_RETRY, Partition
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.names import MAILS
from fraudstream.lake.stream.totals import totals_of
from fraudstream.mail.mail_log import MailLog

from tests.fakes.memory_store import MemoryStore

RETRIES = Partition(MAIL_RETRY, 2)
DAY = date(2023, 10, 7)


class Brokers:
    """A topic whose records before `first` are deleted."""

    first = 0

    def id(self, topic: str) -> str:
        return "an id"

    def first_offset(self, partition: Partition) -> int:
        return self.first

    def end_offset(self, partition: Partition) -> int:
        return 100


def taken_after(committed: int | None) -> int:
    """The offsets that count as deleted unread in a log that ends at 7 and continues at 12 after retention."""
    store, brokers = MemoryStore(), Brokers()
    for first, end in ((5, 7), (12, 13)):
        chain = AppendingChain(store, MAILS, brokers)
        MailLog(chain, lambda partition, start: (0, {})).open(RETRIES, committed if first == 12 else None)
        chain.append(RETRIES, first, end, DAY, b"", totals_of(np.array([first])))
        chain.settle()
        brokers.first = 12
    there = progress.load(store, MAILS, RETRIES)
    assert there is not None
    return there.taken


def test_copies_that_were_read_and_left_no_line_are_not_taken_unread_when_a_week_later_they_are_gone() -> None:
    assert taken_after(committed=12) == 0
    assert taken_after(committed=10) == 2
    assert taken_after(committed=None) == 5
