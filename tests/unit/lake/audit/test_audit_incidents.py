"""Each incident that the audit exists for makes it fail, and the message names topic, partition and offsets."""

from collections.abc import Callable

import pytest
from fraudstream.cases.events import MAIL_BOUNCED, MAIL_SUPPRESSED
from fraudstream.lake.audit.report import problems
from fraudstream.lake.stream import lines, names, progress
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.totals import Totals
from isal import igzip

from tests.unit.lake.audit.audited_lake import DAY
from tests.unit.lake.audit.audited_pipeline import NON_FRAUD, RETRIES, Pipeline, new_pipeline
from tests.unit.lake.rows import batch

LOST = "non_fraud_transaction[0]: 1 records missing in the {} (offsets 22)"
TO_LAKE, TO_MAILS = (f"non_fraud_transaction[0] to {folder}/" for folder in (names.TRANSACTIONS, names.MAILS))


def lost(pipeline: Pipeline) -> None:
    pipeline.goes_on(10, without=[22])


def doubled(pipeline: Pipeline) -> None:
    pipeline.goes_on(10)
    again = batch([23, 24, 25], partition=NON_FRAUD)
    pipeline.store.create(
        names.object_name(names.TRANSACTIONS, DAY, *NON_FRAUD, 23),
        igzip.compress(bytes(lines.transaction(again))),
        content_type="application/gzip",
        metadata=Link(NON_FRAUD, 23, 23, 26, Totals(3)).metadata(),
    )


def changed(pipeline: Pipeline) -> None:
    pipeline.goes_on(10, changed=27)


def dead(pipeline: Pipeline) -> None:
    pipeline.brokers.dead = [21, 25]
    pipeline.goes_on(10)


def undelivered(pipeline: Pipeline) -> None:
    pipeline.goes_on(10, failed=28)


def bounced(pipeline: Pipeline) -> None:
    pipeline.happens("tx-0", MAIL_BOUNCED)


def suppressed(pipeline: Pipeline) -> None:
    pipeline.happens("tx-1", MAIL_SUPPRESSED)


def taken_unread(pipeline: Pipeline) -> None:
    pipeline.brokers.first, pipeline.brokers.end = 24, 24


def taken_before(pipeline: Pipeline) -> None:
    for folder in (names.TRANSACTIONS, names.MAILS):
        there = progress.load(pipeline.store, folder, NON_FRAUD)
        assert there is not None
        progress.save(pipeline.store, folder, NON_FRAUD, Progress(there.end, there.generation, "id", taken=3))


def recreated(pipeline: Pipeline) -> None:
    pipeline.brokers.topic_id = "anew"


def truncated(pipeline: Pipeline) -> None:
    pipeline.brokers.end = 12


def retries_taken_unread(pipeline: Pipeline) -> None:
    pipeline.brokers.committed_retry, pipeline.brokers.first_retry = 1, 4


def retries_wait(pipeline: Pipeline) -> None:
    pipeline.brokers.committed_retry, pipeline.brokers.young_retry = 2, 5


def dead_retry(pipeline: Pipeline) -> None:
    pipeline.brokers.dead_retries = [3]


def retries_recreated(pipeline: Pipeline) -> None:
    progress.save(pipeline.store, names.MAILS, RETRIES, Progress(0, 0, "before"))


@pytest.mark.parametrize(
    ("incident", "said", "limits"),
    [
        (
            retries_taken_unread,
            ["that retention took unread: 3 of at most 0: mail_retry[0] to email_confirmation/: 3 (offsets 1-3)"],
            {"retention_gaps": 3},
        ),
        (
            retries_wait,
            ["deferred mails not tried again in time: 3 of at most 0: mail_retry[0]: 3 (offsets 2-4)"],
            {"undelivered_mails": 3},
        ),
        (dead_retry, ["dead letters: 1 of at most 0: mail_retry[0]: 1 (offsets 3)"], {"dead_letters": 1}),
        (
            retries_recreated,
            ["mail_retry[0] to email_confirmation/: read up to offset 0 of topic id before, found topic id mail_retry"],
            {"changed_topics": 1},
        ),
        (lost, [LOST.format("lake"), LOST.format("mail log")], None),
        (doubled, ["non_fraud_transaction[0]: 3 records more than once in the lake (offsets 23-25)"], None),
        (changed, ["non_fraud_transaction[0]: contents differ in the lake (offsets 20-29): nameDest"], None),
        (
            dead,
            ["dead letters: 2 of at most 0: non_fraud_transaction[0]: 2 (offsets 21, 25)"],
            {"dead_letters": 2},
        ),
        (
            undelivered,
            ["undelivered mails: 1 of at most 0: non_fraud_transaction[0]: 1 (offsets 28)"],
            {"undelivered_mails": 1},
        ),
        (
            bounced,
            ["fraud notices bounced or suppressed: 1 of at most 0: case_event[0]: bounced, case tx-0 (offset 0)"],
            {"undelivered_notices": 1},
        ),
        (
            suppressed,
            ["fraud notices bounced or suppressed: 1 of at most 0: case_event[0]: suppressed, case tx-1 (offset 0)"],
            {"undelivered_notices": 1},
        ),
        (
            taken_unread,
            [f"{place}: 4 (offsets 20-23)" for place in (TO_LAKE, TO_MAILS)],
            {"retention_gaps": 8},
        ),
        (
            taken_before,
            [f"{place}: 3 (3 before offset 20)" for place in (TO_LAKE, TO_MAILS)],
            {"retention_gaps": 6},
        ),
        (
            recreated,
            [f"{place}: read up to offset 20 of topic id id, found topic id anew" for place in (TO_LAKE, TO_MAILS)],
            {"changed_topics": 2},
        ),
        (
            truncated,
            [f"{place}: read up to offset 20, the topic ends at offset 12" for place in (TO_LAKE, TO_MAILS)],
            {"changed_topics": 2},
        ),
    ],
)
def test_an_incident_after_a_green_audit_makes_the_next_one_red_and_is_named_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
    incident: Callable[[Pipeline], None],
    said: list[str],
    limits: dict[str, int] | None,
) -> None:
    pipeline = new_pipeline(monkeypatch)
    pipeline.goes_on(20)
    green = pipeline.audited()
    assert green.ok
    assert problems(green) == []

    incident(pipeline)
    report = pipeline.audited(green.position)

    assert not report.ok
    found = "\n".join(problems(report))
    for text in said:
        assert text in found
    if limits is not None:
        assert pipeline.audited(green.position, **limits).ok


def test_what_an_audit_accepted_of_the_retries_or_their_group_has_read_is_not_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = new_pipeline(monkeypatch)
    pipeline.goes_on(20)
    dead_retry(pipeline)
    accepted = pipeline.audited(dead_letters=1)
    pipeline.brokers.first_retry = pipeline.brokers.committed_retry = pipeline.brokers.young_retry = 9
    assert pipeline.audited(accepted.position).ok
