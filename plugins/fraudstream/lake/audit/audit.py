"""Audits the lake: whether every record of the topics is in the lake exactly once and unchanged, and has its mail.

1. set the span of each topic-partition whose contents are compared: from the position of the last green audit to the
   present end of the chain, since topic and lake both have these records
2. read the topics from the position to their ends
3. get the present end of each chain
4. read the rows of lake and mail log from the position on; rows after the topics' ends are left out
5. compare the offsets of each topic-partition, and the control totals of its span
6. count other problems: dead letters, undelivered mails, deferred mails that are not retried, offsets that retention
   deleted unread, topic-partitions that were recreated or truncated

The topics are read before the ends of the chains. A record at or after the end of its chain is `behind`, not missing:
its reader hasn't reached it yet. The ends are read before the rows, because consumers continue to write: if the ends
were read after the rows, records written in between would count as missing. The first answer to a case and all staff
decisions are expected in the lake. Late answers and dead letters are not.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from fraudstream.cases.deadlines import deadline
from fraudstream.cases.undelivered import read_undelivered
from fraudstream.kafka.records import CASE_EVENT, MAIL_RETRY, Partition
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.audit.checks import Limits, checks
from fraudstream.lake.audit.contents import LAKE_FOLDERS, Contents, Span, lake_contents, mail_contents
from fraudstream.lake.audit.offsets import NO_OFFSETS, Offsets, compare, ranges
from fraudstream.lake.audit.position import NOTICES, Position
from fraudstream.lake.audit.result import LAKE, MAIL, AuditLine, AuditReport
from fraudstream.lake.audit.retries import read_retries
from fraudstream.lake.audit.topics import TOPICS, TopicPartitionContent, TopicsContent, read_topics
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.appending import written_end
from fraudstream.lake.stream.names import FOLDER_OF, MAILED, MAILS, folders_of
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

#: Maximum number of ids in a report of cases without an outcome, of overdue cases, and of answers without a case.
_CASES_NAMED = 20
#: How long after its deadline a case may be without an outcome: close_expired_cases runs every hour.
_CLOSED_WITHIN = timedelta(hours=2)


def audit(
    settings: Settings, lake: Lake, *, position: Position | None = None, limits: Limits | None = None
) -> AuditReport:
    """Compares topics, lake and mail log. Changes nothing.

    :param position: the position of the last green audit, from which this one continues; None: audits everything
    :raises KafkaError, SchemaRegistryError: a topic or its schemas can't be read
    :raises LakeError: the lake can't be read
    """
    started = time.monotonic()
    # 1. span
    topics = Topics(settings)
    topic_ids = {topic: topics.id(topic) for topic in (*TOPICS, MAIL_RETRY, dead_letter_topic(MAIL_RETRY))}
    topic_ids[NOTICES] = topic_ids[CASE_EVENT]
    since = (position or Position()).since(topic_ids)
    spans = {
        partition: Span(since.get(partition, 0), _end(lake, FOLDER_OF[topic], partition))
        for topic in TOPICS
        for partition in topics.partitions(topic)
    }
    logged = {partition: there.end for partition, there in progress.every(lake.store, MAILS).items()}
    # 2. topics
    content = read_topics(settings, spans)
    # 3. to 5.
    notices = read_undelivered(settings)
    report = compare_with_lake(content, lake, started, settings.confirmation_time_limit, since, spans, notices.accepted)
    # 6. checks
    retries = read_retries(settings, topics, since, logged)
    new_notices = [one for one in notices.events if one.offset >= since.get(_of_notices(one.partition), 0)]
    ends = logged | {
        partition: min(span.end, logged.get(partition, 0)) if partition.topic in MAILED else span.end
        for partition, span in spans.items()
    }
    ends |= {_of_notices(partition): end for partition, end in notices.ends.items()} | retries.ends
    ends = {partition: max(end, since.get(partition, 0)) for partition, end in ends.items()}
    return replace(
        report,
        undelivered=notices.counts(),
        checks=checks(lake.store, topics, content, report.failed_mails, new_notices, limits or Limits(), retries),
        position=Position(ends, topic_ids, position.generation if position else 0),
        seconds=time.monotonic() - started,
    )


def compare_with_lake(
    topics: TopicsContent,
    lake: Lake,
    started: float,
    time_limit: timedelta = timedelta.max,
    since: Mapping[Partition, int] | None = None,
    spans: Mapping[Partition, Span] | None = None,
    accepted: Mapping[str, datetime] | None = None,
) -> AuditReport:
    """Steps 3 to 5, for the content of the topics.

    :param time_limit: the time limit of a case
    :param since: the offsets from which the lake is read, by topic-partition
    :param spans: the spans whose contents are compared, by topic-partition
    :param accepted: when the notice of each case was accepted, by the case's id: its time limit runs from then on
    """
    since, spans = since or {}, spans or {}
    # 3. ends of the chains
    ends = {
        (partition, folder): _end(lake, folder, partition)
        for partition in topics.partitions
        for folder in folders_of(partition.topic)
    }
    # 4. lake and mail log
    of_folder = {folder: lake_contents(lake, folder, since, spans) for folder in LAKE_FOLDERS}
    mail = mail_contents(lake, since)
    # 5. compare
    lines = []
    for partition, content in sorted(topics.partitions.items()):
        folder = FOLDER_OF[partition.topic]
        rows = of_folder[folder]
        totals = rows.totals.get(partition, Totals())
        changed = content.totals.differences(totals) if content.totals is not None else {}
        of_lake = _compared(partition, LAKE, content, _offsets(rows, partition), ends[partition, folder])
        if changed:
            span = spans[partition]
            of_lake = replace(of_lake, changed=changed, compared=(span.start, span.end - 1))
        lines.append(of_lake)
        if partition.topic in MAILED:
            lines.append(_compared(partition, MAIL, content, _offsets(mail, partition), ends[partition, MAILS]))
    unanswered, unknown = topics.open, topics.unknown
    limit, closed = time_limit.total_seconds(), time.time() - _CLOSED_WITHIN.total_seconds()
    accepted_at = {case: at.timestamp() for case, at in (accepted or {}).items()}
    overdue = [
        case
        for case in unanswered
        if deadline(topics.cases[case] / 1000 + limit, accepted_at.get(case), limit) < closed
    ]
    return AuditReport(
        lines,
        len(unanswered),
        unanswered[:_CASES_NAMED],
        len(unknown),
        unknown[:_CASES_NAMED],
        seconds=time.monotonic() - started,
        overdue_cases=len(overdue),
        overdue_case_ids=overdue[:_CASES_NAMED],
        topics=topics,
        failed_mails=mail.failed,
    )


def _of_notices(partition: Partition) -> Partition:
    """The key of a partition's notices in a position."""
    return Partition(NOTICES, partition.number)


def _end(lake: Lake, folder: str, partition: Partition) -> int:
    return written_end(lake.store, folder, partition, partial(lake.tables.offsets, folder))


def _offsets(contents: Contents, partition: Partition) -> Offsets:
    return contents.offsets.get(partition, NO_OFFSETS)


def _compared(
    partition: Partition,
    target: str,
    content: TopicPartitionContent,
    found: Offsets,
    chain_end: int,
) -> AuditLine:
    # Neither rows whose records retention has deleted from the topic nor rows that came since it was read are compared.
    known = found[(content.begin <= found) & (found < content.end)]
    expected = content.expected
    difference = compare(expected, known)
    behind = difference.missing >= chain_end
    missing = difference.missing[~behind]
    return AuditLine(
        partition,
        target,
        len(expected),
        len(known),
        int(behind.sum()),
        len(missing),
        len(difference.duplicated),
        len(difference.unexpected),
        ranges(missing, expected),
        ranges(difference.duplicated, np.unique(known)),
        ranges(difference.unexpected, np.unique(known)),
        len(content.dead),
        len(content.late),
    )
