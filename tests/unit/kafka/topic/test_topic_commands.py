"""``python -m fraudstream.kafka``: exit codes, and what `--repair` may and may not change."""

from collections.abc import Callable

import pytest
from fraudstream.errors import KafkaUnavailable, TopicsDiffer
from fraudstream.kafka import __main__ as command
from fraudstream.kafka.topic.topics import Difference

DIFFERENCE = Difference("payments", "4 partitions, expected 6", "kafka-topics.sh --alter …")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The changes of the brokers, in order."""
    done: list[str] = []

    def step(name: str) -> Callable[..., None]:
        return lambda *_, **options: done.append(name if not options else f"{name} {options['seconds']:g}")

    for name in ("wait_for_brokers", "create_topics", "register_schemas"):
        monkeypatch.setattr(command, name, step(name))
    monkeypatch.setattr(command, "compare_topics", lambda settings: [])
    return done


def differ(monkeypatch: pytest.MonkeyPatch, steps: list[str], *left: Difference) -> None:
    """Makes topics differ; `left` are differences that a repair can't remove."""

    def create(settings: object) -> None:
        steps.append("create_topics")
        raise TopicsDiffer("1 topics aren't as the pipeline needs them")

    def repair(settings: object) -> list[Difference]:
        steps.append("repair_topics")
        return list(left)

    monkeypatch.setattr(command, "create_topics", create)
    monkeypatch.setattr(command, "repair_topics", repair)
    monkeypatch.setattr(command, "compare_topics", lambda settings: [DIFFERENCE])


class TestCreate:
    def test_topics_come_before_schemas_and_brokers_before_both(self, steps: list[str]) -> None:
        assert command.main(["create-topics", "--seconds", "7"]) == 0
        assert steps == ["wait_for_brokers 7", "create_topics", "register_schemas 7"]

    def test_topics_that_differ_are_not_changed_unless_asked_to(
        self, monkeypatch: pytest.MonkeyPatch, steps: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        differ(monkeypatch, steps)
        assert command.main(["create-topics"]) == 1
        assert steps == ["wait_for_brokers 120", "create_topics"]
        assert "aren't as the pipeline needs them" in capsys.readouterr().err

    def test_once_repaired_it_goes_on(self, monkeypatch: pytest.MonkeyPatch, steps: list[str]) -> None:
        differ(monkeypatch, steps)
        assert command.main(["create-topics", "--repair"]) == 0
        assert steps[1:] == ["create_topics", "repair_topics", "register_schemas 120"]

    def test_what_a_repair_can_not_change_fails(self, monkeypatch: pytest.MonkeyPatch, steps: list[str]) -> None:
        differ(monkeypatch, steps, DIFFERENCE)
        assert command.main(["create-topics", "--repair"]) == 1
        assert "register_schemas 120" not in steps

    def test_brokers_that_are_away_are_told(
        self, monkeypatch: pytest.MonkeyPatch, steps: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        def away(*_: object, **__: object) -> None:
            raise KafkaUnavailable("0 of 3 brokers answer")

        monkeypatch.setattr(command, "wait_for_brokers", away)
        assert command.main(["create-topics"]) == 1
        assert capsys.readouterr().err == "0 of 3 brokers answer\n"
        assert steps == []


class TestCompare:
    def test_all_is_well(self, steps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["topics"]) == 0
        assert capsys.readouterr().out == "all topics are as the pipeline needs them\n"

    def test_a_difference_is_told_with_its_command_and_fails(
        self, monkeypatch: pytest.MonkeyPatch, steps: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        differ(monkeypatch, steps)
        assert command.main(["topics"]) == 1
        assert capsys.readouterr().out == f"payments: {DIFFERENCE.what}\n  {DIFFERENCE.command}\n"
        assert steps == []
        assert command.main(["topics", "--repair"]) == 0
        assert steps == ["repair_topics"]
