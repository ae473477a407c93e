"""Writes every kind of bad record of the fuzz test to every topic that has consumers."""

import random
import time
from collections.abc import Mapping

import pyarrow as pa
from fraudstream.errors import SchemaRegistryError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.settings import Settings

from tests.chaos.airflow_round.tasks import DAG_OF
from tests.chaos.poison import KINDS, Poisoner
from tests.fuzz.values import FOREIGN, Values

#: The fuzz test's kinds that are bad here. Brokers set the timestamps, so there is no untimely record.
EVERY_KIND = (
    *KINDS,
    "mutated",
    "bytes behind a header",
    "bytes",
    *(f"schema {name}" for name in (*FOREIGN, "referring")),
)
#: The longest time for which the registry is down.
_REGISTRY_WITHIN = 300.0


class EveryPoison(Poisoner):
    """Also writes the values that :class:`tests.fuzz.values.Values` makes.

    :param foreign: id of each foreign schema
    """

    topics = tuple(DAG_OF)

    def __init__(self, settings: Settings, foreign: Mapping[str, int], seed: int) -> None:
        super().__init__(settings)
        self._codecs = {topic: Codec.for_topic(topic, settings) for topic in self.topics}
        now = int(time.time() * 1000)
        self._values = {
            topic: Values(topic, codec.encode, foreign, prefix=f"poison{seed}", seed=seed, now=now)
            for topic, codec in self._codecs.items()
        }

    def _value(self, kind: str, topic: str, rng: random.Random) -> bytes | None:
        if kind in KINDS:
            return super()._value(kind, topic, rng)
        deadline = time.monotonic() + _REGISTRY_WITHIN
        while True:
            try:
                return self._bad_value(kind, topic)
            except SchemaRegistryError:  # another fault makes the registry fail
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _bad_value(self, kind: str, topic: str) -> bytes | None:
        while True:
            value = self._values[topic].next()
            if value.kind == kind and (value.valid is False or self._is_bad(topic, value.content)):
                return value.content

    def _is_bad(self, topic: str, content: bytes | None) -> bool:
        """Whether a mutated record can't be decoded: some mutated records are still valid."""
        _, invalid = self._codecs[topic].decode_rows(pa.array([content], pa.binary()))
        return bool(invalid)
