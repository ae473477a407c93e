"""The output of the dead-letter command, and how far it decodes a letter."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fraudstream.errors import KafkaUnavailable, SchemaRegistryError
from fraudstream.kafka import __main__
from fraudstream.kafka.dead_letters import command, inspection
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.dead_letters.redrive import Redriven
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition

from tests.unit.kafka.avro_bytes import TIMESTAMP, FakeRegistry, integer, text, value

WRITTEN = 1_700_000_000_000


def letter(offset: int, reason: str, content: bytes | None = b"x", **more: Any) -> DeadLetter:
    place = Partition(FRAUD_TRANSACTION, 2)
    return replace(
        DeadLetter(place, offset, TIMESTAMP, b"C1", content, [("trace", b"\xff")], reason, written_at=WRITTEN), **more
    )


LETTERS = [
    letter(1, "unknown schema: the schema registry has no schema id 9"),
    letter(2, "unknown schema: the schema registry has no schema id 10", redriven_at=WRITTEN + 1),
    letter(3, "column amount: found '1', expected [less]"),
]


@pytest.fixture(autouse=True)
def topics(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader:
        def __init__(self, settings: Any, topic: str) -> None: ...

        def __enter__(self) -> "Reader":
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> Sequence[Any]:
            return []

    found = {FRAUD_TRANSACTION: LETTERS}
    monkeypatch.setattr(command, "read_dead_letters", lambda settings, topic: found.get(topic, []))
    monkeypatch.setattr(command, "TopicReader", Reader)
    monkeypatch.setattr(inspection, "Registry", lambda settings: FakeRegistry())


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = __main__.main(["dead-letters", *arguments])
    return code, capsys.readouterr().out


def test_they_are_counted_by_topic_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = run(capsys, "ls", "--json")
    assert code == 0
    assert [json.loads(line) for line in printed.splitlines()] == [
        {
            "topic": FRAUD_TRANSACTION,
            "reason": kind,
            "records": records,
            "redriven": redriven,
            "first": "2023-11-14T22:13:20.000+00:00",
            "last": "2023-11-14T22:13:20.000+00:00",
        }
        for kind, records, redriven in (("column amount", 1, 0), ("unknown schema", 2, 1))
    ]
    assert "unknown schema" in run(capsys, "ls", FRAUD_TRANSACTION)[1]
    assert "no dead letters" in run(capsys, "ls", "fraud_confirmation")[1]


def test_each_of_them_is_listed_with_its_whole_reason(capsys: pytest.CaptureFixture[str]) -> None:
    _, printed = run(capsys, "ls", "--all")
    assert all(each.reason in printed for each in LETTERS)


def test_a_topic_without_dead_letters_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(capsys, "ls", "ingest_progress")
    assert "'ingest_progress' has no dead letters, expected one of" in capsys.readouterr().err


def test_a_record_is_shown_as_far_as_it_can_be_decoded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off = value(nameOrig=text(b"C1", 99))
    monkeypatch.setattr(command, "read_dead_letters", lambda *_: [letter(7, "not Avro of its schema: EOF", cut_off)])
    _, printed = run(capsys, "show", FRAUD_TRANSACTION, "2", "7", "--json")
    shown = json.loads(printed)
    assert (shown["offset"], shown["timestamp"], shown["key"]) == (7, "2023-10-01T00:00:00.000+00:00", "C1")
    assert shown["header"] == {"trace": "0xff"}
    assert shown["value"]["schema id"] == 7
    assert shown["value"]["fields"] == {
        "idTransaction": "a-1",
        "timestamp": TIMESTAMP,
        "step": 5,
        "type": "TRANSFER",
        "amount": 983_964,
    }
    assert shown["value"]["problem"].startswith("field nameOrig: EOFError")
    assert "C1" in bytes.fromhex(shown["value"]["bytes"].removeprefix("0x").partition("…")[0]).decode(errors="replace")
    assert "field amount" in run(capsys, "show", FRAUD_TRANSACTION, "2", "7")[1]


def test_all_letters_of_an_offset_are_shown_the_newest_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_deleted_topic = letter(7, "column amount: found '1'", timestamp=TIMESTAMP - 1)
    there = [of_the_deleted_topic, letter(8, "r"), letter(7, "no value: the record is a tombstone", None)]
    monkeypatch.setattr(command, "read_dead_letters", lambda *_: there)
    code, printed = run(capsys, "show", FRAUD_TRANSACTION, "2", "7", "--json")
    assert code == 0
    shown = [json.loads(line) for line in printed.splitlines()]
    assert [one["reason"] for one in shown] == [there[0].reason, there[2].reason]
    assert [one["timestamp"] for one in shown] == ["2023-09-30T23:59:59.999+00:00", "2023-10-01T00:00:00.000+00:00"]
    _, printed = run(capsys, "show", FRAUD_TRANSACTION, "2", "7")
    assert 0 < printed.index(there[0].reason) < printed.index(there[2].reason)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (None, {"bytes": None}),
        (b"hello", {"bytes": "hello"}),
        (b"\x00\x00", {"bytes": "0x0000"}),
        (value(404), {"schema id": 404, "problem": "unknown schema: the schema registry has no schema id 404"}),
        (value(end=b"\xff"), {"problem": None, "bytes": "0xff"}),
        (value(isFraud=integer(2**31)), {"bytes": ""}),
    ],
)
def test_whatever_the_value_is_something_is_shown(content: bytes | None, shown: dict[str, Any]) -> None:
    found = inspection.inspect(None, letter(1, "r", content))["value"]  # type: ignore[arg-type]
    assert found | shown == found


def test_a_time_that_no_calendar_has_is_shown_as_its_number() -> None:
    assert inspection.moment(2**62) == 2**62
    assert inspection.moment(-1) == "1969-12-31T23:59:59.999+00:00"


def test_what_is_no_dead_letter_is_said_with_what_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["dead-letters", "show", FRAUD_TRANSACTION, "0", "0"]) == 1
    assert f"ls {FRAUD_TRANSACTION} --all" in capsys.readouterr().err


def test_a_redrive_says_what_it_did_and_ends_with_1_where_some_are_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def redrive(settings: Any, topic: str, chosen: Any, **options: Any) -> Redriven:
        asked.update(options, chosen=[each.offset for each in LETTERS if chosen(each)])
        return Redriven(topic, [LETTERS[0]], [LETTERS[1]], [(LETTERS[2], "column amount: found '1'")])

    monkeypatch.setattr(command, "redrive", redrive)
    code, printed = run(capsys, "redrive", FRAUD_TRANSACTION, "--reason", "unknown", "--limit", "5", "--dry-run")
    assert code == 1
    assert asked == {"force": False, "dry_run": True, "most": 5, "chosen": [1, 2]}
    assert "1 would be produced again to fraud_transaction; 1 were before; 1 are left" in printed
    code, printed = run(capsys, "redrive", FRAUD_TRANSACTION, "--offset", "3", "--json")
    assert asked["chosen"] == [3]
    assert json.loads(printed) == {
        "topic": FRAUD_TRANSACTION,
        "dryRun": False,
        "produced": [[2, 1]],
        "before": 1,
        "left": [[2, 3, "column amount: found '1'"]],
    }


@pytest.mark.parametrize("error", [KafkaUnavailable("no broker answers"), SchemaRegistryError("no registry")])
def test_what_fails_is_said_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(command, "redrive", fail)
    assert __main__.main(["dead-letters", "redrive", FRAUD_TRANSACTION]) == 1
    assert str(error) in capsys.readouterr().err
