"""The Kafka provider's shared stream: the triggers of a triggerer share one consumer; each filters for its answer."""

from collections.abc import AsyncIterator
from functools import cache, lru_cache
from typing import Any

from airflow.providers.apache.kafka.triggers.shared_stream import KafkaSharedStreamTrigger
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.settings import get_settings


class CaseTrigger(KafkaSharedStreamTrigger):
    """Waits for the answer to one case and ends its task."""

    def __init__(self, case: str, **stream: Any) -> None:
        super().__init__(**stream)
        self.case = case

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        _, arguments = super().serialize()
        return f"{__name__}.{type(self).__qualname__}", arguments | {"case": self.case}

    async def filter_shared_stream(self, shared_stream: AsyncIterator[bytes]) -> AsyncIterator[TriggerEvent]:
        """Yields one event, with the status of the answer."""
        async for value in shared_stream:
            case, status = answer_in(value)
            if case == self.case:
                yield TaskSuccessEvent(xcoms={"return_value": status})
                return


@lru_cache(maxsize=1_024)
def answer_in(value: bytes) -> tuple[str, str]:
    """Case and status of a record; a record is decoded once, however many triggers read it."""
    record = _codec().decode(value)
    return str(record["idTransaction"]), str(record["status"])


@cache
def _codec() -> Codec:
    return Codec.for_topic(FRAUD_CONFIRMATION, get_settings())
