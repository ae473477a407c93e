"""A transactional producer in memory, and publishers that use it."""

from pathlib import Path
from types import SimpleNamespace

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.dataset import open_source
from fraudstream.kafka.produce.columns_producer import Messages
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.settings import Settings


class FakeProducer:
    """A transactional producer that refuses the same calls as the real one in each state."""

    def __init__(self) -> None:
        self.state = "new"
        self.visible: list[tuple[str, int]] = []
        self.aborted = 0
        #: By the name of a call: the error that its next use raises.
        self.failures: dict[str, Code] = {}
        self._pending: list[tuple[str, int]] = []
        #: The number of records in the client's queue, its maximum, and the function that reports their delivery.
        self.waiting = 0
        self.room = 10**9
        self.brokers_answer = True

    def __len__(self) -> int:
        return self.waiting

    def list_topics(self, topic: str | None, timeout: float) -> object:
        return SimpleNamespace(topics={})

    def poll(self, timeout: float) -> int:
        if self.brokers_answer:
            self.waiting = 0
        return 0

    def init_transactions(self, seconds: float) -> None:
        self._call("init_transactions", "new", "ready")

    def begin_transaction(self) -> None:
        self._call("begin_transaction", "ready", "open")

    def produce(self, topic: str, value: bytes = b"", **_: object) -> None:
        if self.waiting >= self.room:
            raise BufferError("Local: Queue full")
        self.waiting += 1
        self.queue(topic, 1)

    def queue(self, topic: str, count: int) -> None:
        self._call("produce", "open", "open")
        self._pending.append((topic, count))

    def commit_transaction(self, seconds: float) -> None:
        self._call("commit_transaction", "open", "ready")
        self.visible += self._pending
        self._pending = []

    def abort_transaction(self, seconds: float) -> None:
        if self.state == "broken":
            self.state = "open"
        self._call("abort_transaction", "open", "ready")
        self._pending = []
        self.aborted += 1

    def rows(self, topic: str) -> int:
        return sum(count for name, count in self.visible if name == topic)

    def _call(self, name: str, expected: str, then: str) -> None:
        if name in self.failures:
            error = self.failures.pop(name)
            self.state = "fenced" if error.fatal() else "broken"
            self.reason = error
            raise KafkaException(error)
        if self.state in {"fenced", "broken"}:
            # Only the calls that end a transaction report why it failed.
            code = Code._FATAL if self.state == "fenced" else Code._STATE
            raise KafkaException(self.reason if name == "commit_transaction" else Code(code))
        if self.state != expected:
            raise KafkaException(Code(Code._STATE, f"{name} in state {self.state}"))
        self.state = then


class FakeColumns:
    def __init__(self, producer: FakeProducer) -> None:
        self._producer = producer

    def __enter__(self) -> "FakeColumns":
        return self

    def __exit__(self, *_: object) -> None: ...

    def produce(self, topic: str, messages: Messages) -> None:
        self._producer.queue(topic, len(messages))


def publishing(path: Path, **options: float) -> Publisher:
    return Publisher(Settings(), open_source(str(path), None), **options)  # type: ignore[arg-type]
