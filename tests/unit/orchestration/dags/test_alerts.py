"""An alert is mailed when a task fails, and once when a consumer has been failing for 15 minutes."""

import asyncio
import time
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.smtp.hooks.smtp import SmtpHook
from fraudstream.errors import KafkaRefused, MailError
from fraudstream.orchestration.alerts import Alert, late_after
from fraudstream.orchestration.consumers import failing
from fraudstream.orchestration.consumers.bounded_sink import BoundedSink
from fraudstream.orchestration.consumers.failing import Failing, Watch, consumer_failed
from fraudstream.settings import ROOT, get_settings

from tests.unit.orchestration.dags.dag_files import CONSUMERS, load, parsed

Sent = list[dict[str, Any]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """The mails that are sent."""
    mails: Sent = []

    async def asend(hook: SmtpHook, **mail: Any) -> None:
        mails.append(mail)

    async def opened(hook: SmtpHook) -> SmtpHook:
        return hook

    async def left(*_: Any) -> None:
        """Does nothing."""

    monkeypatch.setattr(SmtpHook, "get_conn", lambda hook: hook)
    monkeypatch.setattr(SmtpHook, "__exit__", lambda *_: None)
    monkeypatch.setattr(SmtpHook, "send_email_smtp", lambda hook, **mail: mails.append(mail))
    monkeypatch.setattr(SmtpHook, "aget_conn", opened)
    monkeypatch.setattr(SmtpHook, "__aexit__", left)
    monkeypatch.setattr(SmtpHook, "asend_email_smtp", asend)
    monkeypatch.setenv("FRAUDSTREAM_ALERT_ADDRESS", "ops@bank.example")
    monkeypatch.setenv("FRAUDSTREAM_ALERT_CONN_ID", "smtp_ops")
    get_settings.cache_clear()
    yield mails
    get_settings.cache_clear()


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Airflow's variables; each read returns a copy."""
    kept: dict[str, Any] = {}
    fake = SimpleNamespace(
        get=lambda key, default, deserialize_json=False: deepcopy(kept.get(key, default)),
        set=lambda key, value, description, serialize_json: kept.__setitem__(key, dict(value)),
        delete=kept.pop,
    )
    monkeypatch.setattr(failing, "Variable", fake)
    return kept


def context(error: Exception | None = None) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="consume_x", task_id="send_mail", map_index=0, try_number=2, log_url="http://log")
    return {"ti": ti, "run_id": "run-1", "exception": error}


def test_a_failed_task_is_mailed_with_its_error(sent: Sent) -> None:
    Alert()(context(KafkaRefused("user <x> isn't {{ let }} in")))
    assert len(sent) == 1
    assert (sent[0]["to"], sent[0]["smtp_conn_id"]) == ("ops@bank.example", "smtp_ops")
    assert sent[0]["subject"] == "consume_x: task send_mail failed"
    assert "user &lt;x&gt; isn&#39;t {{ let }} in" in sent[0]["html_content"]


def test_a_late_run_is_mailed_from_the_triggerer(sent: Sent) -> None:
    late = late_after(hours=6)
    assert late is not None
    callback = late.callback
    run = {"dag_id": "compact_lake", "dag_run_id": "scheduled", "state": "running"}

    async def miss() -> None:
        await Alert(**callback.kwargs, context={"dag_run": run, "deadline": {"deadline_time": "noon"}})

    asyncio.run(miss())
    assert sent[0]["subject"] == "compact_lake is late"
    assert "should have ended by noon and is running" in sent[0]["html_content"]


def test_a_run_of_cases_is_mailed_once_however_many_of_its_sensors_failed(sent: Sent) -> None:
    dag = parsed(ROOT / "dags" / "fraud_confirmation.py")
    assert not any(task.has_on_failure_callback for task in dag.tasks)
    dag.on_failure_callback({"run_id": "run-7", "reason": "task_failure"})
    assert len(sent) == 1
    assert "Run run-7 has failed tasks" in sent[0]["html_content"]


def test_without_an_address_nobody_is_mailed(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRAUDSTREAM_ALERT_ADDRESS")
    get_settings.cache_clear()
    Alert()(context(MailError("away")))
    assert sent == []


def test_a_consumer_that_fails_for_15_minutes_is_told_once_over_tries_and_runs(
    sent: Sent, variables: dict[str, Any]
) -> None:
    for _ in range(3):
        consumer_failed(context(MailError("away {{ or }} <so>")))
    assert sent == []
    (key,) = variables
    variables[key]["since"] = (datetime.now(UTC) - timedelta(minutes=16)).isoformat()
    for _ in range(3):
        consumer_failed(context(MailError("away {{ or }} <so>")))
    assert [mail["subject"] for mail in sent] == ["consume_x.send_mail[0] has been failing for 15 minutes"]
    assert "MailError: away &#123;&#123; or }} &lt;so&gt;" in sent[0]["html_content"]
    Failing(context()).forget()
    assert variables == {}


def test_what_no_retry_heals_is_told_at_once_and_once(sent: Sent, variables: dict[str, Any]) -> None:
    for _ in range(2):
        consumer_failed(context(KafkaRefused("password")))
    assert [mail["subject"] for mail in sent] == ["consume_x.send_mail[0] failed"]


def watch(waiting: float | None, alive: float) -> Watch:
    """Watches a try that started `alive` seconds ago, while records have waited for `waiting` seconds."""
    sink = BoundedSink(None, until=lambda: 0)  # type: ignore[arg-type]
    sink.waiting_since = None if waiting is None else time.monotonic() - waiting
    made = Watch(context(), sink)
    made._began = time.monotonic() - alive
    return made


def test_a_try_that_caught_up_works_however_short_it_was(variables: dict[str, Any]) -> None:
    consumer_failed(context(MailError("away")))
    watch(None, 1).caught_up()
    assert variables == {}


@pytest.mark.parametrize(("waiting", "mails"), [(890, 0), (910, 1)])
def test_a_try_that_only_waits_counts_as_failing(
    sent: Sent, variables: dict[str, Any], waiting: float, mails: int
) -> None:
    watch(waiting, 1000).look()
    assert len(sent) == mails
    assert len(variables) == 1


def test_records_that_wait_for_a_dead_letter_count_though_others_get_on(sent: Sent, variables: dict[str, Any]) -> None:
    waits, gets_on = SimpleNamespace(waiting_since=time.monotonic() - 910), SimpleNamespace(waiting_since=None)
    Watch(context(), gets_on, waits).look()
    assert len(sent) == len(variables) == 1


@pytest.mark.parametrize("fails", ["mail", "variable"])
def test_a_look_that_fails_is_not_the_last_and_people_are_told_once(
    sent: Sent, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    looks = iter([False, False, False, True])
    answers = iter([True, False, False])
    mail, keep = SmtpHook.send_email_smtp, failing.Variable.set

    def away_at_first(what: str) -> None:
        if what == fails and next(answers):
            raise OSError("away")

    monkeypatch.setattr(SmtpHook, "send_email_smtp", lambda hook, **of: (away_at_first("mail"), mail(hook, **of)))
    monkeypatch.setattr(failing.Variable, "set", lambda *of, **more: (away_at_first("variable"), keep(*of, **more)))
    made = watch(910, 1000)
    made.over = SimpleNamespace(wait=lambda seconds: next(looks))  # type: ignore[assignment]
    made.run()
    assert len(sent) == 1
    (kept,) = variables.values()
    assert kept["told"]


@pytest.mark.parametrize(
    ("waiting", "alive", "well"), [(None, 61, True), (5, 61, True), (None, 5, False), (61, 90, False)]
)
def test_a_consumer_is_well_again_after_a_minute_of_work(
    sent: Sent, variables: dict[str, Any], waiting: float | None, alive: float, well: bool
) -> None:
    consumer_failed(context(MailError("away")))
    watch(waiting, alive).look()
    assert (variables == {}) is well


def test_airflow_dags_test_knows_no_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["airflow", "dags", "test", "audit_lake"])
    assert late_after(hours=3) is None


@pytest.mark.parametrize("name", ["compact_lake", "audit_lake"])
def test_compaction_and_audit_have_a_time_to_end_by(name: str) -> None:
    assert load(name).deadline


@pytest.mark.parametrize("name", [*CONSUMERS, "compact_lake", "audit_lake"])
def test_every_task_tells_when_it_fails(name: str) -> None:
    assert all(task.has_on_failure_callback for task in load(name).tasks)
