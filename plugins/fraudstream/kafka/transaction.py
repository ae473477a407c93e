"""When the producer's transaction begins and when it should be committed."""

import time

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

#: Each commit is a pause of 50 to 150 ms; and what an open transaction has is sent again when its process dies.
_ROWS = 500_000
_SECONDS = 2.0


class Transaction:
    """The producer's transaction at hand, if one is open."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self._open = False
        self._first_row = 0
        self._begun = 0.0

    def begin(self, row: int) -> None:
        """Begins one for the rows after `row`, unless one is open."""
        if not self._open:
            self.producer.begin_transaction()
            self._open, self._first_row, self._begun = True, row, time.monotonic()

    def due(self, row: int) -> bool:
        """Whether it should be committed, now that it has the rows up to `row`."""
        return row - self._first_row >= _ROWS or time.monotonic() - self._begun >= _SECONDS

    def commit(self) -> None:
        """Makes what is in it visible.

        :raises KafkaException: the brokers refuse, or a delivery failed; nothing of it will be visible
        """
        self.producer.commit_transaction(60)
        self._open = False


def what_broke(producer: Producer, error: Code) -> Code:
    """The client's reason for a broken transaction, where `error` only says that it is broken."""
    try:
        producer.poll(0)  # brings the reports of the records that weren't taken
        if error.code() == Code._STATE:
            producer.commit_transaction(10)  # refused, and told why
    except KafkaException as why:
        reason: Code = why.args[0]
        return reason
    return error
