"""What a consumer task passes to its subscription, by its role."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fraudstream.kafka.avro.writer_schemas import UNKNOWN_SECONDS, UNKNOWN_SECONDS_OF_SENDER
from fraudstream.kafka.records import FRAUD_TRANSACTION, MAIL_RETRY, Report
from fraudstream.orchestration.operators import kafka as operators
from fraudstream.orchestration.operators.kafka import Consume


@pytest.mark.parametrize(
    ("topic", "role", "sends"),
    [
        (FRAUD_TRANSACTION, "write_lake", True),
        (FRAUD_TRANSACTION, "send_mail", False),
        (FRAUD_TRANSACTION, "open_cases", False),
        (MAIL_RETRY, "send_mail", True),
    ],
)
def test_the_group_that_sends_dead_letters_remembers_unknown_schemas_for_a_shorter_time(
    monkeypatch: pytest.MonkeyPatch, topic: str, role: Any, sends: bool
) -> None:
    passed: dict[str, Any] = {}

    class Subscription:
        def __init__(self, settings: Any, topic: str, group: str, sink: Any, codec: Any, **more: Any) -> None:
            passed.update(more, codec=codec)
            self.report = Report(topic, group)

        def stop(self) -> None: ...

        def run(self) -> Report:
            return self.report

    def for_topic(topic: str, settings: Any, unknown_seconds: float) -> float:
        return unknown_seconds

    monkeypatch.setattr(operators, "Subscription", Subscription)
    monkeypatch.setattr(operators, "DeadLetters", lambda settings: "dead letters")
    monkeypatch.setattr(operators.Codec, "for_topic", for_topic)
    monkeypatch.setitem(operators._SINKS, role, lambda *_: None)
    task = Consume(task_id=role, topic=topic, role=role, until="forever", max_minutes=60)
    ti = SimpleNamespace(dag_id="consume_x", task_id=role, map_index=0, try_number=1, log_url="")
    task.execute({"task": task, "dag_run": SimpleNamespace(start_date=datetime.now(UTC)), "ti": ti})  # type: ignore[typeddict-item]
    assert passed["codec"] == (UNKNOWN_SECONDS_OF_SENDER if sends else UNKNOWN_SECONDS)
    assert passed["dead_letters"] == ("dead letters" if sends else None)
