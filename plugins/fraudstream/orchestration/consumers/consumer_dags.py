"""Shared parts of the consumer DAGs: start date, retries, params and tasks."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, task

from fraudstream.kafka.records import CASE_EVENT, MAIL_RETRY, NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.orchestration.assets import folder_asset, topic_asset
from fraudstream.orchestration.consumers.failing import consumer_failed
from fraudstream.orchestration.operators.kafka import Consume
from fraudstream.orchestration.retries import UntilDeadline, WhatMayPass

#: Start date of the DAGs. Without one, the first run's interval is empty, and Airflow takes the second run for the
#: first.
START = datetime(2023, 10, 1, tzinfo=UTC)
#: Default arguments of all consumer tasks, besides their queue. A task is retried until the run's deadline; then the
#: next run continues. So no record is skipped during a long outage.
TASKS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 1_000_000,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": UntilDeadline(),
    "on_retry_callback": consumer_failed,
    "on_failure_callback": consumer_failed,
}
#: Pool for the members of consumer groups, so that other tasks find a slot however many members there are.
POOL = "consumers"
PARAMS = {
    "until": Param(
        "forever",
        type="string",
        enum=["forever", "caught_up"],
        title="Until",
        description="forever: runs for the minutes below. caught_up: ends at the end of the topic",
    ),
    "max_minutes": Param(
        60, type="integer", minimum=1, maximum=1440, title="Minutes", description="Maximum duration of a run"
    ),
    "workers": Param(
        1,
        type="integer",
        minimum=1,
        maximum=32,
        title="Workers",
        description="Members of each consumer group. Without a partition they are idle, without a pool slot they wait",
    ),
}


_DOCS = {
    "write_lake": """Writes each record to exactly one JSON object of the lake.

**When it fails:** the log names the object or the partition. If Cloud Storage is down, the task is retried until it is
back. If the topic was recreated or restored, the task stops, and the message has the command to continue.""",
    "send_mail": """Sends a mail for each record and writes the mail log.

**When it fails:** if the mail server is down, the task waits for it until the run's deadline. If the server refuses
the login or the account, the task fails at once: correct the connection `smtp_default`, then clear the task.""",
    "open_cases": """Triggers runs of `fraud_confirmation`, with one sensor for each fraud.

**When it fails:** the message says whether `fraud_confirmation` is paused or has an import error, or which object in
`_cases/` of the lake is damaged.""",
}


def consume(topic: str, *roles: str) -> None:
    """Adds a task for each role, mapped over the members of its consumer group."""

    @task(retries=3, retry_policy=WhatMayPass())  # type: ignore[untyped-decorator]
    def workers(params: dict[str, Any]) -> list[int]:
        return list(range(1, params["workers"] + 1))

    numbers = workers()
    for role in roles:
        Consume.partial(
            task_id=role,
            topic=topic,
            role=role,
            until="{{ params.until }}",
            max_minutes="{{ params.max_minutes }}",
            pool=POOL,
            doc_md=_DOCS[role],
            map_index_template="member {{ task.worker }}",
            inlets=[topic_asset(topic)],
            outlets=_outlets(topic, role),
        ).expand(worker=numbers)


def _outlets(topic: str, role: str) -> list[Asset]:
    if role == "open_cases":  # it triggers DAG runs and writes no asset
        return []
    if role == "write_lake":
        return [folder_asset(FOLDER_OF[topic]), topic_asset(dead_letter_topic(topic))]
    written = [MAIL_RETRY] if topic == NON_FRAUD_TRANSACTION else [MAIL_RETRY, CASE_EVENT]
    dead = [dead_letter_topic(topic)] if topic == MAIL_RETRY else []
    return [folder_asset(MAILS), *map(topic_asset, (*written, *dead))]
