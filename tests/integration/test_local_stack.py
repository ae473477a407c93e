"""The running stack: the properties of its parts that the pipeline relies on."""

import smtplib
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from uuid import uuid4

import httpx
import psutil
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from local.stack.environment import LOGS, STACK, airflow_login
from local.stack.ports import HOST, Ports
from local.supervisor.control import Control
from local.supervisor.part import State
from local.supervisor.sessions import Record
from local.supervisor.supervisor import SESSIONS

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(stack: Mapping[str, str]) -> AdminClient:
    """An admin client of the stack's brokers."""
    return AdminClient({"bootstrap.servers": stack["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"]})


def test_every_part_is_ready_and_has_a_log(stack: Mapping[str, str]) -> None:
    parts = Control(STACK, LOGS).status()

    assert {part.name: part.state for part in parts if part.state not in {State.READY, State.DONE}} == {}
    assert [part.name for part in parts if part.pid and not (LOGS / f"{part.name}.log").exists()] == []


def test_everything_listens_on_loopback_alone(stack: Mapping[str, str]) -> None:
    processes = [process for session in Record(STACK / SESSIONS).read().values() for process in session.processes()]

    listening = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # the process of a task that has ended since
            open_ports = [c for c in process.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN]
            listening += [(process.name(), connection.laddr) for connection in open_ports]

    assert len(listening) > 10
    assert [place for place in listening if place[1].ip not in {HOST, "::1", f"::ffff:{HOST}"}] == []


def test_memory_stays_under_its_bound(stack: Mapping[str, str]) -> None:
    assert sum(Control(STACK, LOGS).memory().values()) < 5 * 2**30


def test_three_brokers_demand_two_replicas_in_sync(stack: Mapping[str, str], admin: AdminClient) -> None:
    brokers = admin.list_topics(timeout=10).brokers

    for broker in brokers:
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        config = admin.describe_configs([resource])[resource].result(timeout=10)
        found = {name: config[name].value for name in ("min.insync.replicas", "default.replication.factor")}
        assert found == {"min.insync.replicas": "2", "default.replication.factor": "3"}
        assert config["auto.create.topics.enable"].value == "false"
    assert sorted(brokers) == [1, 2, 3]


def test_the_registry_has_a_schema_for_each_topic(stack: Mapping[str, str]) -> None:
    subjects = httpx.get(f"{stack['FRAUDSTREAM_SCHEMA_REGISTRY_URL']}/subjects").raise_for_status().json()

    assert {"fraud_transaction-value", "non_fraud_transaction-value", "fraud_confirmation-value"} <= set(subjects)


def test_the_store_has_the_lakes_bucket(stack: Mapping[str, str]) -> None:
    buckets = httpx.get(f"{stack['STORAGE_EMULATOR_HOST']}/storage/v1/b").raise_for_status().json()["items"]

    assert stack["FRAUDSTREAM_LAKE_BUCKET"] in [bucket["name"] for bucket in buckets]


def test_a_mail_sent_is_in_the_inbox(stack: Mapping[str, str]) -> None:
    ports = Ports.from_environment()
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", f"test {uuid4()}"
    mail.set_content("hello")
    with smtplib.SMTP(HOST, ports["smtp"]) as server:
        server.send_message(mail)

    messages = httpx.get(f"{ports.url('inbox')}/api/mails").raise_for_status().json()["mails"]

    assert mail["Subject"] in [message["subject"] for message in messages]


def test_the_login_opens_airflows_api_where_all_components_are_healthy(stack: Mapping[str, str]) -> None:
    url = Ports.from_environment().url("airflow")
    user, password = airflow_login()
    token = httpx.post(f"{url}/auth/token", json={"username": user, "password": password}).raise_for_status().json()
    signed_in = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token['access_token']}"})

    with signed_in:
        assert signed_in.get("/api/v2/dags").raise_for_status().json()["total_entries"] > 0
        health = signed_in.get("/api/v2/monitor/health").json()

    assert {name: component["status"] for name, component in health.items()} == dict.fromkeys(
        ["metadatabase", "scheduler", "triggerer", "dag_processor"], "healthy"
    )


def test_nobody_reads_airflow_without_a_login(stack: Mapping[str, str]) -> None:
    assert httpx.get(f"{Ports.from_environment().url('airflow')}/api/v2/dags").status_code == httpx.codes.UNAUTHORIZED


def test_the_kafka_ui_serves_its_page(stack: Mapping[str, str]) -> None:
    assert "Kafka" in httpx.get(Ports.from_environment().url("kafka_ui")).raise_for_status().text
