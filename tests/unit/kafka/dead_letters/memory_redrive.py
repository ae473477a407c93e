"""Dead letters, a topic and a transactional producer in memory, for tests of the redrive."""

from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import RecordError
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.dead_letters.redrive import redrive
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.settings import Settings


class Killed(BaseException):
    """A crash: the process ends here."""


class Brokers:
    """The committed records of the topic and of its dead-letter topic."""

    def __init__(self, letters: int) -> None:
        self.letters = [
            DeadLetter(Partition(FRAUD_TRANSACTION, n % 3), n, 5, b"k%d" % n, b"v%d" % n, [("h", b"%d" % n)], "r")
            for n in range(letters)
        ]
        self.records: list[dict[str, Any]] = []
        self.markers: dict[int, int] = {}
        self.steps_left = 10**9
        self.epoch = 0
        self.invalid: set[bytes] = set()
        #: Values that the client refuses; values that the brokers refuse with the whole request; the errors.
        self.refused_by_client: set[bytes] = set()
        self.refused_by_brokers: set[bytes] = set()
        self.reason = Code.MSG_SIZE_TOO_LARGE
        self.slept: list[float] = []
        self.in_transaction = False
        #: The number of records of each committed transaction.
        self.committed: list[int] = []

    def step(self) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise Killed

    def read(self, settings: Settings, topic: str) -> list[DeadLetter]:
        self.step()
        return [replace(letter, redriven_at=self.markers.get(letter.offset)) for letter in self.letters]


class Producer:
    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._open: list[dict[str, Any]] = []
        self._unconfirmed: list[Any] = []
        self._gap = False

    def init_transactions(self, seconds: float) -> None:
        self._brokers.step()
        self._brokers.epoch += 1
        self._epoch = self._brokers.epoch

    def begin_transaction(self) -> None:
        self._open = []
        self._brokers.in_transaction = True

    def __len__(self) -> int:
        return len(self._unconfirmed)

    def produce(self, topic: str, on_delivery: Any, **message: Any) -> None:
        self._brokers.step()
        if message.get("value") in self._brokers.refused_by_client:
            raise KafkaException(Code(self._brokers.reason, "Unable to produce message: refused"))
        self._open.append({"topic": topic, **message})
        self._unconfirmed.append(on_delivery)

    def poll(self, seconds: float) -> None:
        for delivered in self._unconfirmed:
            delivered(Code(self._brokers.reason) if self._refused() else None, None)
        self._unconfirmed = []

    def _refused(self) -> bool:
        return any(message.get("value") in self._brokers.refused_by_brokers for message in self._open)

    def commit_transaction(self, seconds: float) -> None:
        self._brokers.step()
        if self._unconfirmed and self._refused():
            raise KafkaException(Code(Code._TIMED_OUT, "the client waits in vain for records that are refused"))
        if self._epoch != self._brokers.epoch:
            raise KafkaException(Code(Code._FENCED, "fenced", fatal=True))
        if self._gap:
            self._gap = False
            raise KafkaException(Code(Code.OUT_OF_ORDER_SEQUENCE_NUMBER, "skipped sequence numbers"))
        if self._refused():
            self._gap = True
            raise KafkaException(Code(self._brokers.reason, "ProduceRequest failed: refused"))
        self._brokers.in_transaction = False
        self._brokers.committed.append(len(self._open) // 2)
        for message in self._open:
            if message["topic"] == FRAUD_TRANSACTION:
                self._brokers.records.append(message)
            else:
                headers = dict(message["headers"])
                self._brokers.markers[int(headers["offset"])] = int(headers["redriven"])
        self._brokers.step()

    def abort_transaction(self, seconds: float) -> None:
        self._open, self._unconfirmed = [], []
        self._brokers.in_transaction = False


class Codec:
    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers

    def decode(self, value: bytes, timestamp: int) -> None:
        if value in self._brokers.invalid:
            raise RecordError("column amount: found '1'")


class Stored:
    """A record in its topic."""

    def __init__(self, value: bytes, at: int) -> None:
        self._value = value
        self._at = at

    def key(self) -> bytes:
        return b"k3"

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None: ...

    def timestamp(self) -> tuple[int, int]:
        return 2, self._at


def run(**options: Any) -> Any:
    return redrive(Settings(), FRAUD_TRANSACTION, options.pop("chosen", lambda letter: True), **options)


def produced(brokers: Brokers) -> list[bytes]:
    return sorted(record["value"] for record in brokers.records)


ALL = [b"v%d" % n for n in range(7)]
