"""What the round through Airflow concludes from logs and contents."""

import json
import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fraudstream.errors import KafkaUnavailable, LakeError, SchemaRegistryError
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.lake.audit.audit import AuditReport
from fraudstream.lake.audit.checks import Check
from fraudstream.lake.audit.report import problems

from local.supervisor.control import StackError
from local.supervisor.part import State, Status
from tests.chaos.airflow_round import faults, logs
from tests.chaos.airflow_round.contents import Outcome, Outcomes, check_outcomes, with_receipts
from tests.chaos.airflow_round.incidents import caught_up, in_red_audit
from tests.chaos.airflow_round.poison import EveryPoison
from tests.chaos.airflow_round.tasks import Attempt, Tasks
from tests.chaos.fleet import Interruption
from tests.chaos.stack import Stack
from tests.chaos.test_verdict import content

DAG, TASK = "consume_fraud_transactions", "send_mail"
#: 2026-11-27 12:00:07 UTC.
AT = 1795780807.0
ANSWER = ((FRAUD_CONFIRMATION, 0, 1), Outcome("f-1", "NO_RESPONSE"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tests.chaos.airflow_round.logs.AIRFLOW_HOME", tmp_path)
    monkeypatch.setattr("tests.chaos.airflow_round.tasks.AIRFLOW_HOME", tmp_path)
    return tmp_path


def write(number: int, *entries: dict[str, object], rest: str = "") -> None:
    log = Attempt(DAG, TASK, "manual__1", 0, number, pid=1).log
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"timestamp": f"2026-11-27T12:00:0{n}Z"} | entry) for n, entry in enumerate(entries, start=6)]
    log.write_text("\n".join(lines) + "\n" + rest)


def error(kind: str, message: str = "it says why") -> dict[str, object]:
    return {"event": "Task failed with exception", "error_detail": [{"exc_type": kind, "exc_value": message}]}


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ([{"event": "works"}, error("MailError")], "MailError"),
        ([{"event": "works"}, {"event": "works on"}], "ended in its work"),
        (
            [
                {"event": "send_mail didn't finish its batch in time: what isn't durable is read again"},
                {"event": "Pushing xcom"},
            ],
            "ended in its work",
        ),
    ],
)
def test_a_try_that_left_something_in_hand_is_an_interruption(
    home: Path, entries: list[dict[str, object]], what: str
) -> None:
    write(1, *entries, rest='{"timestamp": "2026-11')
    assert logs.interruptions(AT - 1) == [Interruption(AT, "send_mail-fraud_transaction", what)]
    assert logs.interruptions(AT + 1) == []


def test_a_try_that_ended_by_itself_is_none(home: Path) -> None:
    write(1, {"event": "works"}, {"event": "Pushing xcom"})
    assert logs.interruptions(AT - 1) == []
    assert logs.ends(AT - 1) == ({"finished": 1}, {})


def test_an_error_that_no_retry_heals_is_a_finding_and_another_is_none(home: Path) -> None:
    write(1, error("MailError"))
    write(2, error("TypeError"))
    busy = "API_SERVER_ERROR: {'status_code': None, 'message': 'timed out', 'exception_type': 'ReadTimeout'}"
    write(3, error("AirflowRuntimeError", busy))
    kinds, findings = logs.ends(0)
    assert kinds == {"MailError": 1, "TypeError": 1, "AirflowRuntimeError": 1}
    assert findings == {"send_mail-fraud_transaction ended with TypeError: it says why": 1}


def test_a_case_without_outcome_or_with_another_one_in_the_lake_is_seen() -> None:
    assert check_outcomes(content(), Outcomes([ANSWER], [ANSWER])).ok
    assert not check_outcomes(content(), Outcomes([], [])).ok
    assert not check_outcomes(content(), Outcomes([ANSWER], [])).ok
    assert not check_outcomes(content(), Outcomes([ANSWER], [ANSWER, ANSWER])).ok
    other = ANSWER[0], Outcome("f-1", "REPORTED_FRAUD")
    assert not check_outcomes(content(), Outcomes([ANSWER], [other])).ok


def test_a_receipt_is_due_for_each_outcome() -> None:
    due = with_receipts(content(), Outcomes([ANSWER], [])).topics
    assert [(place, row.id_transaction) for place, row in due][-1] == (ANSWER[0], "f-1")
    assert len(due) == 1 + len([row for _, row in content().topics if row.topic != FRAUD_CONFIRMATION])
    assert FRAUD_TRANSACTION in {row.topic for _, row in due}


def test_what_retention_took_is_looked_for_as_an_audit_says_it() -> None:
    found = Check("records that retention took unread", 1_234, 0, ("non_fraud_transaction-0 to transaction/",))
    assert in_red_audit(1_234) in problems(AuditReport([], 0, checks=[found]))[0]


def test_a_bad_record_waits_for_a_registry_that_another_fault_took(monkeypatch: pytest.MonkeyPatch) -> None:
    away = [SchemaRegistryError("Connection refused")] * 2

    def made(self: EveryPoison, kind: str, topic: str) -> bytes:
        if away:
            raise away.pop()
        return b"bad"

    monkeypatch.setattr(EveryPoison, "_bad_value", made)
    monkeypatch.setattr("tests.chaos.airflow_round.poison.time.sleep", lambda seconds: None)
    poison = EveryPoison.__new__(EveryPoison)
    assert poison._value("mutated", FRAUD_TRANSACTION, random.Random(1)) == b"bad"  # noqa: S311  no secret


def test_an_audit_is_tried_again_where_a_retry_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [KafkaUnavailable("the leader is changing"), AuditReport([], 0), LakeError("damaged")]

    def audited(*of: object) -> AuditReport:
        answer = answers.pop(0)
        if isinstance(answer, AuditReport):
            return answer
        raise answer

    monkeypatch.setattr("tests.chaos.airflow_round.incidents.audit", audited)
    monkeypatch.setattr("tests.chaos.airflow_round.incidents.Lake", SimpleNamespace(connect=lambda settings: None))
    monkeypatch.setattr("tests.chaos.airflow_round.incidents.time.sleep", lambda seconds: None)
    arena: Any = SimpleNamespace(settings=None)
    assert caught_up(arena, 240) == []
    with pytest.raises(LakeError):
        caught_up(arena, 240)


class Supervised:
    """Stands for the stack's supervisor."""

    def __init__(self, *parts: Status, failures: int = 0) -> None:
        self.parts = parts
        self.failures = failures

    def status(self) -> list[Status]:
        return list(self.parts)

    def command(self, command: str, name: str) -> None:
        part = next(part for part in self.parts if part.name == name)
        if command == "start" and self.failures:
            self.failures -= 1
            part.state = State.FAILED
            return
        part.state = State.DIED if command == "kill" else State.READY
        part.problem = f"{name} was ended by SIGKILL" if command == "kill" else ""


def test_a_part_that_ended_by_itself_is_named_and_a_killed_one_is_not() -> None:
    dead = Status(name="airflow-api-server", state=State.DIED, problem="airflow-api-server was ended by SIGSEGV")
    stack = Stack()
    stack.control = Supervised(dead, Status(name="kafka-1", state=State.READY))  # type: ignore[assignment]
    stack.kill("kafka-1")
    assert stack.ended() == [dead.problem]
    stack.start("kafka-1")
    stack.control.command("kill", "kafka-1")
    assert stack.ended() == [dead.problem, "kafka-1 was ended by SIGKILL"]


def test_a_part_that_ends_before_it_is_ready_is_started_again() -> None:
    stack = Stack()
    supervisor = Supervised(Status(name="schema-registry", state=State.READY), failures=2)
    stack.control = supervisor  # type: ignore[assignment]
    stack.kill("schema-registry")
    stack.start("schema-registry")
    assert supervisor.failures == 0
    assert stack.ended() == []


def test_without_an_answer_of_airflow_the_part_that_ended_is_named() -> None:
    def refused() -> None:
        raise httpx.ConnectError("Connection refused")

    ended = ["airflow-api-server was ended by SIGSEGV; the end of airflow-api-server.log: …"]
    with pytest.raises(StackError, match="ended by SIGSEGV"):
        Tasks(None, 1, lambda: ended).ask(refused)  # type: ignore[arg-type]
    with pytest.raises(httpx.ConnectError):
        Tasks(None, 1, list).ask(refused, seconds=0)  # type: ignore[arg-type]


class FrozenTasks:
    """Two members with partitions; each member that is continued logs the next of these lines."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)

    def running(self, name: str) -> list[Attempt]:
        members = [Attempt(DAG, TASK, "manual__1", index, 1, pid=1) for index in range(2)]
        for one in members:
            one.log.parent.mkdir(parents=True, exist_ok=True)
            one.log.write_text(one.said() or "is read in group\n")
        return members

    def signal(self, name: str, attempt: Attempt, number: signal.Signals) -> bool:
        if number is signal.SIGCONT:
            with attempt.log.open("a") as log:
                log.write(self._lines.pop(0) + "\n")
        return True


@pytest.mark.parametrize(
    ("lines", "unfenced", "findings"),
    [
        (["PartitionLost"], 0, 0),
        (["Task failed with exception", "PartitionLost"], 0, 0),
        (["1,000 records"], 1, 0),
        (["Task failed with exception", "1,000 records"], 1, 0),
        (["Task failed with exception"] * 4, 0, 1),
    ],
    ids=["fenced", "over before it was fenced", "not fenced", "another one not fenced", "all over before"],
)
def test_a_frozen_task_must_be_fenced_unless_its_run_is_over_first(
    home: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], unfenced: int, findings: int
) -> None:
    monkeypatch.setattr(faults, "_FROZEN_SECONDS", 0.0)
    monkeypatch.setattr(faults, "_FENCED_WITHIN", 0.01)
    arena: Any = SimpleNamespace(
        tasks=FrozenTasks(*lines), fleet=SimpleNamespace(interruptions=[]), zombies=0, unfenced=[], findings=[]
    )
    faults.freeze("send_mail-fraud_transaction").do(arena, random.Random(1))  # noqa: S311  no secret
    assert (arena.zombies, len(arena.unfenced), len(arena.findings)) == (1, unfenced, findings)
