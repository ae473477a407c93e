"""The desk's topics in memory: written records are in the index at once."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from fraudstream.cases.answers.publisher import DecidedBy, Place, Status, channel_of
from fraudstream.cases.events import CaseEvent
from fraudstream.desk.case_index import CaseIndex, Placed
from fraudstream.errors import KafkaError

from tests.fakes.cases import transaction

CAME = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
LIMIT = timedelta(hours=72)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class FakeDeskViews:
    """The views, the publisher of answers and the publisher of events; `refuse` is an error that publishing raises."""

    alive = True

    def __init__(self) -> None:
        self.index = CaseIndex(LIMIT)
        self.answers: list[dict[str, Any]] = []
        self.events: list[CaseEvent] = []
        self.refuse: KafkaError | None = None
        self.complete = True
        self._offsets = count()

    def add(self, case: str = "case-1", came: datetime = CAME, **changes: Any) -> dict[str, Any]:
        record = transaction(case, **changes)
        self.index.add_case(record, Placed(0, next(self._offsets), ms(came)))
        return record

    def answer(self, case: str, status: Status, decided: DecidedBy | None = None) -> None:
        record = transaction(case) | {"status": status, "answeredAt": CAME} | channel_of(status, decided)
        self._append(record)

    def event(self, case: str, event_type: str, by: str = "send_mail", reason: str = "", **details: Any) -> None:
        self.publish_events([CaseEvent(case, event_type, by, reason, details=details)])

    def publish_events(self, events: Iterable[CaseEvent]) -> None:
        for event in events:
            if self.refuse is not None:
                raise self.refuse
            self.events.append(event)
            at = event.at.replace(microsecond=event.at.microsecond // 1000 * 1000)
            self.index.add_event(event.record() | {"at": at}, Placed(0, len(self.events) - 1, ms(event.at)))

    async def publish(
        self, status: Status, case: Mapping[str, Any], answered_at: datetime, decided: DecidedBy | None = None
    ) -> Place:
        if self.refuse is not None:
            raise self.refuse
        return self._append({**case, "status": status, "answeredAt": answered_at, **channel_of(status, decided)})

    def _append(self, record: dict[str, Any]) -> Place:
        self.answers.append(record)
        place = 0, len(self.answers) - 1
        self.index.add_answer(record, Placed(*place, ms(record["answeredAt"]) + place[1]))
        return place

    def wait(self, seconds: float) -> bool:
        return self.complete

    def wait_for_answer(self, partition: int, offset: int, seconds: float) -> None:
        pass


class EventsOf:
    """The publisher of events for fake views."""

    def __init__(self, views: FakeDeskViews) -> None:
        self._views = views

    def publish(self, events: list[CaseEvent]) -> None:
        self._views.publish_events(events)
