"""What the consumer DAGs have in common: when they run, how they go on after a failure, their params and tasks."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, task

from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.orchestration.assets import folder_asset
from fraudstream.orchestration.failing import consumer_failed
from fraudstream.orchestration.operators import Consume
from fraudstream.orchestration.retries import UntilDeadline, WhatMayPass

#: Without a start the first run's interval is empty, and Airflow takes the second run for the first.
START = datetime(2023, 10, 1, tzinfo=UTC)
#: Until the run's deadline, then the next run goes on: every record gets its effect, however long its target is away.
RETRIES: dict[str, Any] = {
    "retries": 1_000_000,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": UntilDeadline(),
    "on_retry_callback": consumer_failed,
    "on_failure_callback": consumer_failed,
}
#: Members of consumer groups share this pool of slots, so that however many there are, other tasks find a slot.
POOL = "consumers"
PARAMS = {
    "until": Param(
        "forever",
        type="string",
        enum=["forever", "caught_up"],
        title="Until",
        description="forever: as many minutes as below; caught_up: until the topic has been read to its end",
    ),
    "max_minutes": Param(
        60, type="integer", minimum=1, maximum=1440, title="Minutes", description="Longest time a run takes"
    ),
    "workers": Param(
        1,
        type="integer",
        minimum=1,
        maximum=32,
        title="Workers",
        description="Members of each consumer group; more than partitions stay idle, more than the pool's slots wait",
    ),
}


_DOCS = {
    "write_lake": """Writes the records to the lake's JSON, each in exactly one object.

**When it fails:** the log names the object or the partition. Cloud Storage that is away is waited for, a try after the
other. A topic that was recreated or restored stops it: the message has the command that goes on.""",
    "send_mail": """Sends a mail for each record and writes the mail log.

**When it fails:** a mail server that is away is waited for, up to the run's deadline. A login that is refused, or a
server that refuses the account, fails it at once: correct the connection `smtp_default`, then clear the task.""",
    "open_cases": """Opens runs of `fraud_confirmation`, with a sensor for each fraud.

**When it fails:** the message says whether `fraud_confirmation` is paused or can't be imported, or which object of the
lake's `_cases/` can't be used.""",
}


def consume(topic: str, *roles: str) -> None:
    """A task for each role, mapped over the members of its consumer group."""

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
            outlets=_outlets(topic, role),
        ).expand(worker=numbers)


def _outlets(topic: str, role: str) -> list[Asset]:
    if role == "open_cases":  # it opens runs
        return []
    return [folder_asset(MAILS if role == "send_mail" else FOLDER_OF[topic])]
