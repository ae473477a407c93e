"""The command ``python -m fraudstream.lake rebase TOPIC``."""

import argparse
from functools import partial

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console

from fraudstream.errors import KafkaError
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import MAIL_RETRY
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.audit.position import rewind
from fraudstream.lake.rebase.agreement import agreement
from fraudstream.lake.rebase.rebase import apply_plan, plan
from fraudstream.lake.stream.names import FOLDER_OF
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

REBASED_TOPICS = (*FOLDER_OF, MAIL_RETRY)
_ROLES = ("write_lake", "send_mail", "open_cases")
_AT_REST = {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD}


def rebase_command(lake: Lake, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    """Prints what a rebase of a topic changes, and does it if ``--yes`` is given. Returns the exit code, always 0.

    :raises KafkaError: a consumer of the topic is running
    :raises LakeError: a table has records that the topic no longer has
    """
    topic = options.topic
    _require_at_rest(settings, topic)
    found = plan(lake.store, Topics(settings), topic, partial(agreement, settings, lake), lake.tables.offsets)
    if not found:
        out.print(f"{topic}: the lake agrees with the topic; nothing to do")
        return 0
    for partition, kept in sorted(found.kept.items()):
        out.print(
            f"{partition}: {found.reasons[partition]}; read again from offset {kept}", soft_wrap=True, markup=False
        )
    for name in found.objects:
        out.print(f"  set aside under _rebased/{found.time}/, or cut: {name}", soft_wrap=True, markup=False)
    for name, (before, after) in sorted(found.moves.items()):
        ids = "" if before.topic_id == after.topic_id else f", topic id {before.topic_id} becomes {after.topic_id}"
        out.print(f"  {name}: end {before.end} becomes {after.end}{ids}", soft_wrap=True, markup=False)
    if not options.yes:
        out.print("nothing is changed; run it again with --yes")
        return 0
    rewind(lake.store, found.kept)
    apply_plan(lake.store, found)
    out.print(f"done: the consumers of {topic} continue with the topic as it is")
    return 0


def _require_at_rest(settings: Settings, topic: str) -> None:
    connection = Connection(settings)
    admin = AdminClient(settings.kafka_config(error_cb=connection.on_error, log_level=3))
    connection.open(admin)
    groups = [f"{role}-{topic}" for role in _ROLES]
    try:
        asked = admin.describe_consumer_groups(groups, request_timeout=30)
        running = [group for group, answer in asked.items() if answer.result(30).state not in _AT_REST]
    except (KafkaException, TimeoutError) as error:
        raise connection.error(error, doing=f"asking for the consumers of {topic}") from error
    if running:
        raise KafkaError(
            f"{', '.join(running)}: members are running; pause the consumers' DAGs and end their runs first"
        )
