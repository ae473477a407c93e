"""Every DAG as Airflow parses it, and run by ``airflow dags test`` as on a developer's machine."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fraudstream.cases.answers.publisher import AnswerPublisher
from fraudstream.cases.opening import case_of
from fraudstream.dataset import open_source
from fraudstream.kafka.records import FRAUD_CONFIRMATION, NON_FRAUD_TRANSACTION
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from tests.integration.forks import Run, forking
from tests.integration.pipeline import decoded, good_row, paysim

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

#: Modules that DAG files and task runs import.
DAG_MODULES = (
    "airflow.api_fastapi.execution_api.app",
    "fraudstream.orchestration.consumers.consumer_dags",
    "fraudstream.orchestration.operators.machines",
    "fraudstream.orchestration.sensors",
    "fraudstream.orchestration.operators.spark",
)
AIRFLOW = str(Path(sys.executable).with_name("airflow"))
DAGS = {
    "start_kafka",
    "stop_kafka",
    "produce_transactions",
    "consume_non_fraud_transactions",
    "consume_fraud_transactions",
    "consume_fraud_confirmations",
    "consume_case_events",
    "retry_mails",
    "fraud_confirmation",
    "compact_lake",
    "audit_lake",
    "close_expired_cases",
    "watch_cases",
}


@pytest.fixture(scope="module")
def environment(stack: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The stack's environment with a separate Airflow database, so that no scheduler takes part in a run."""
    home = tmp_path_factory.mktemp("airflow")
    return {
        **stack,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


@pytest.fixture(scope="module")
def laptop(environment: Mapping[str, str]) -> Iterator[Run]:
    """Runs of ``airflow`` with a database."""
    with forking(environment, "airflow.__main__", *DAG_MODULES) as airflow:
        # The second command does what a running DAG processor would have done: open_cases opens runs of another DAG.
        for command in ("db migrate", "dags reserialize"):
            code, log = airflow(*command.split())
            assert code == 0, log
        yield airflow


def dags_test(laptop: Run, dag: str, conf: dict[str, object] | None = None) -> str:
    """Runs a DAG by ``airflow dags test``; returns its log, and fails with the log if the run failed."""
    code, log = laptop("dags", "test", dag, *(["-c", json.dumps(conf)] if conf else []))
    assert code == 0, log
    assert "state=success" in log.rpartition("DagRun Finished")[2], log
    return log


def test_all_dags_are_there_without_import_errors_or_warnings(airflow: AirflowApi) -> None:
    airflow.wait_for_dags(DAGS)
    assert airflow.get("/api/v2/importErrors")["total_entries"] == 0
    assert airflow.get("/api/v2/dagWarnings")["total_entries"] == 0


@pytest.mark.parametrize("dag", sorted(DAGS))
def test_a_dag_explains_itself_in_the_ui(airflow: AirflowApi, dag: str) -> None:
    details = airflow.get(f"/api/v2/dags/{dag}/details")
    for heading in ("**When:**", "**Needs:**", "**When it fails:**"):
        assert heading in details["doc_md"]
    assert "fraudstream" in {tag["name"] for tag in details["tags"]}
    assert details["owners"] != ["airflow"]
    for name, param in details["params"].items():
        assert param["schema"]["title"], name
        assert param["description"], name
        if set(param["schema"]["type"] if isinstance(param["schema"]["type"], list) else [param["schema"]["type"]]) & {
            "integer",
            "number",
        }:
            assert "minimum" in param["schema"], name


def test_start_kafka_skips_machines_where_none_are_configured(laptop: Run) -> None:
    log = dags_test(laptop, "start_kafka")
    assert "schema ids" in log


def test_from_a_file_to_lake_mail_and_waiting_cases(
    laptop: Run, settings: Settings, lake: Store, tmp_path: Path
) -> None:
    path = paysim([good_row(n, fraud=int(n == 3)) for n in range(1, 6)], tmp_path)
    prefix = open_source(str(path), None).id_prefix
    log = dags_test(laptop, "produce_transactions", {"source": str(path)})
    assert "5 rows in" in log
    assert "4 non-fraud, 1 fraud, 0 rejected" in log
    assert len(decoded(settings, NON_FRAUD_TRANSACTION, prefix)) == 4
    for name in ("non_fraud_transactions", "fraud_transactions", "fraud_confirmations", "case_events"):
        dags_test(laptop, f"consume_{name}", {"until": "caught_up", "max_minutes": 3})
    compacted = dags_test(laptop, "compact_lake", {"day": datetime.now(UTC).date().isoformat()})
    assert "became" in compacted
    assert "0 expired cases were closed" in dags_test(laptop, "close_expired_cases")
    # Other tests leave dead letters and failed mails, which make an audit fail by default.
    limits = dict.fromkeys(
        ("max_dead_letters", "max_undelivered_mails", "max_undelivered_notices", "max_retention_gaps"), 1000
    )
    audited = dags_test(laptop, "audit_lake", {"settle_seconds": 1, **limits})
    assert "audit ok" in audited


def fraud_case(limit: timedelta) -> tuple[dict[str, object], dict[str, object]]:
    """A transaction that wasn't produced, and its case."""
    transaction = {
        "idTransaction": f"test-{uuid.uuid4().hex}",
        "timestamp": datetime(2023, 10, 1, tzinfo=UTC),
        "step": 1,
        "type": "TRANSFER",
        "amount": 983_964,
        "nameOrig": "C1",
        "oldbalanceOrg": 983_964,
        "newbalanceOrig": 0,
        "nameDest": "C2",
        "oldbalanceDest": 0,
        "newbalanceDest": 0,
        "isFraud": 1,
        "isFlaggedFraud": 0,
    }
    return transaction, case_of(transaction, datetime.now(UTC), limit)


def test_a_case_resolves_from_an_answer_that_came_before(laptop: Run, settings: Settings) -> None:
    transaction, case = fraud_case(timedelta(minutes=5))
    with AnswerPublisher(settings) as publisher:
        asyncio.run(publisher.publish("REPORTED_FRAUD", transaction, datetime.now(UTC)))
    log = dags_test(laptop, "fraud_confirmation", {"cases": [case]})
    assert f"case {transaction['idTransaction']} is REPORTED_FRAUD" in log


def test_a_case_resolves_from_an_answer_that_comes_while_it_waits(
    laptop: Run, environment: Mapping[str, str], settings: Settings
) -> None:
    transaction, case = fraud_case(timedelta(minutes=3))
    command = [AIRFLOW, "dags", "test", "fraud_confirmation", "-c", json.dumps({"cases": [case]})]
    log = []
    with subprocess.Popen(
        command,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            log.append(line)
            if f"case {transaction['idTransaction']}: TRANSFER of 9839.64" in line:
                with AnswerPublisher(settings) as publisher:
                    asyncio.run(publisher.publish("REPORTED_NOT_FRAUD", transaction, datetime.now(UTC)))
    assert running.returncode == 0, "".join(log)
    assert f"case {transaction['idTransaction']} is REPORTED_NOT_FRAUD" in "".join(log)
    assert "state=success" in "".join(log).rpartition("DagRun Finished")[2]


def test_a_case_whose_time_is_up_becomes_no_response(laptop: Run, settings: Settings) -> None:
    transaction, case = fraud_case(timedelta(seconds=1))
    log = dags_test(laptop, "fraud_confirmation", {"cases": [case]})
    assert f"case {transaction['idTransaction']} is NO_RESPONSE" in log
    answers = decoded(settings, FRAUD_CONFIRMATION, str(transaction["idTransaction"]))
    assert [(answer["status"], answer["amount"]) for answer in answers] == [("NO_RESPONSE", 983_964)]


def test_a_missing_file_fails_with_a_message_that_names_it(laptop: Run) -> None:
    with pytest.raises(AssertionError, match=r"DatasetNotFound.*none\.csv"):
        dags_test(laptop, "produce_transactions", {"source": "gs://fraudstream-lake/none.csv"})
