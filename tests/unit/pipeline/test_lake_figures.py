"""The figures of a lake: rows before and after a compaction, the mail log by status, and the last audit."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.lake.audit import position
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream import names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.names import MAILS
from fraudstream.lake.stream.totals import totals_of
from fraudstream.pipeline.sampling.lake_figures import LakeReader
from isal import igzip

from tests.fakes.lakes import new_lake
from tests.fakes.settled import settle
from tests.unit.lake.filled_day import DAY, EXPECTED, filled

FRAUDS = Partition(FRAUD_TRANSACTION, 0)


def mails(lake, first, statuses):
    """Writes an object of the mail log."""
    end = first + len(statuses)
    lines = [
        {"idTransaction": f"tx-{offset}", "status": status, "topic": FRAUDS.topic, "partition": FRAUDS.number}
        | {"offset": offset, "recordTimestamp": "2023-10-07T00:00:00.000Z"}
        for offset, status in enumerate(statuses, first)
    ]
    settle(lake.store, MAILS, FRAUDS, end)
    lake.store.create(
        names.object_name(MAILS, DAY, *FRAUDS, first),
        igzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()),
        content_type=GZIP,
        metadata=Link(FRAUDS, first, first, end, totals_of(np.arange(first, end))).metadata(),
    )


def test_rows_are_the_same_before_and_after_a_compaction():
    lake = filled()
    reader = LakeReader(lake)
    before = reader.figures()
    assert (before.rows["transaction"], before.tables) == (len(EXPECTED), {})
    assert before.last_object.startswith("transaction/dt=")
    compact(lake, "transaction", DAY)
    after = reader.figures()
    assert after.rows == before.rows
    assert after.tables["transaction"].snapshots >= 1


def test_the_mail_log_is_counted_object_by_object_and_each_line_once():
    lake = new_lake()
    reader = LakeReader(lake)
    mails(lake, 0, ["sent", "deferred"])
    assert reader.figures().mails == {FRAUD_TRANSACTION: {"sent": 1, "deferred": 1}}
    mails(lake, 2, ["sent", "failed"])
    assert reader.figures().mails == {FRAUD_TRANSACTION: {"sent": 2, "deferred": 1, "failed": 1}}
    assert LakeReader(lake).figures().mails == reader.figures().mails


def test_the_mail_log_is_the_same_once_it_is_a_table():
    lake = new_lake()
    reader = LakeReader(lake)
    mails(lake, 0, ["sent", "deferred"])
    before = reader.figures().mails
    compact(lake, MAILS, DAY)
    assert reader.figures().mails == LakeReader(lake).figures().mails == before
    mails(lake, 2, ["sent"])
    assert reader.figures().mails == {FRAUD_TRANSACTION: {"sent": 2, "deferred": 1}}


def test_a_compaction_while_the_mail_log_is_read_loses_no_line(monkeypatch):
    lake = new_lake()
    reader = LakeReader(lake)
    mails(lake, 0, ["sent", "deferred"])
    mails(lake, 2, ["failed"])
    download = lake.store.download
    monkeypatch.setattr(lake.store, "download", lambda info: None if Link.of(info).first == 0 else download(info))
    assert reader.figures().mails == {}
    monkeypatch.undo()
    expected = {FRAUD_TRANSACTION: {"sent": 1, "deferred": 1, "failed": 1}}
    assert reader.figures().mails == expected
    compact(lake, MAILS, DAY)
    assert reader.figures().mails == LakeReader(lake).figures().mails == expected


def test_the_last_audit_is_the_one_that_was_kept_last():
    lake = new_lake()
    assert LakeReader(lake).figures().audited_at is None
    now = datetime.now(UTC)
    for age, ok in ((timedelta(days=40), True), (timedelta(hours=1), False)):
        position.add_to_history(lake.store, {"ok": ok, "lines": [{"name": "x"}], "checks": []}, now - age)
    found = LakeReader(lake).figures()
    assert (found.audited_at, found.audit_ok) == ((now - timedelta(hours=1)).timestamp(), False)
