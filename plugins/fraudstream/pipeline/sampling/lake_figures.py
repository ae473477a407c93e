"""Reads the lake's figures: rows, the last object, tables, the last audit, and the mail log by status.

The numbers of rows come from the control totals of the JSON objects and from the table's total, without reading
objects. Of the mail log, only objects since the last sample are read. After a restart, or if a compaction moved objects
before they were read, the topic and status columns of the table are read as well.
"""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson

from fraudstream.kafka.records import Partition
from fraudstream.lake.query.view import View, open_view
from fraudstream.lake.store.objects import unpacked
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.names import FOLDERS, MAILS
from fraudstream.lake.stream.totals import rows_of
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.positions import offsets_of
from fraudstream.pipeline.sampling.sample import LakeFigures, TableFigures

_AUDITS = "audit/"
_TOTAL_RECORDS = "total-records"


class LakeReader:
    """Reads the lake's figures. It keeps its counts of the mail log between samples. To be used from one thread."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        #: Number of mail log lines by topic and status, and the offset up to which each topic-partition is counted.
        self._mails: Counter[tuple[str, str]] = Counter()
        self._counted: dict[Partition, int] = {}

    def figures(self) -> LakeFigures:
        """The lake's present figures.

        :raises LakeError: the store or the catalog doesn't answer or refuses
        """
        found = LakeFigures()
        for folder in FOLDERS:
            with open_view(self._lake, folder, copy=False) as view:
                self._add(found, folder, view)
        self._add_last_audit(found)
        for (topic, status), lines in sorted(self._mails.items()):
            found.mails.setdefault(topic, {})[status] = lines
        return found

    def _add(self, found: LakeFigures, folder: str, view: View) -> None:
        rows = sum(rows_of(info.metadata) for info in view.json)
        snapshot = view.table.current_snapshot() if view.table else None
        if view.table is not None and snapshot is not None:
            summary = snapshot.summary.additional_properties if snapshot.summary else {}
            in_table = int(summary.get(_TOTAL_RECORDS, 0))
            found.tables[folder] = TableFigures(in_table, len(view.table.snapshots()), snapshot.timestamp_ms / 1000)
            rows += in_table
        found.rows[folder] = rows
        for info in view.json:
            if found.last_object_at is None or info.updated.timestamp() > found.last_object_at:
                found.last_object, found.last_object_at = info.name, info.updated.timestamp()
        if folder == MAILS:
            self._count_mails(view)

    def _count_mails(self, view: View) -> None:
        in_table = offsets_of(view.table) if view.table else {}
        if any(end > self._counted.get(partition, 0) for partition, end in in_table.items()):
            self._mails, self._counted = _mails_of_table(view), dict(in_table)
        gaps: set[Partition] = set()
        for info in view.json:
            link = Link.of(info)
            if link.first < self._counted.get(link.partition, 0) or link.partition in gaps:
                continue
            data = self._lake.store.download(info)
            if data is None:
                # A compaction deleted it meanwhile: the next sample finds its lines in the table, because what is
                # counted of the partition ends before them.
                gaps.add(link.partition)
                continue
            lines = (orjson.loads(line) for line in unpacked(info.name, data).splitlines())
            self._mails.update((str(line.get("topic")), str(line.get("status"))) for line in lines)
            self._counted[link.partition] = link.end

    def _add_last_audit(self, found: LakeFigures) -> None:
        today = datetime.now(UTC).date()
        for prefix in (f"{_AUDITS}dt={today}/", f"{_AUDITS}dt={today - timedelta(days=1)}/", f"{_AUDITS}dt="):
            if names := self._lake.store.list(prefix):
                last = self._lake.store.get(max(names, key=lambda info: info.name).name)
                if last is None:
                    continue
                line = json.loads(last.data.partition(b"\n")[0])
                found.audited_at = datetime.fromisoformat(line["auditedAt"]).timestamp()
                found.audit_ok = bool(line["ok"])
                return


def _mails_of_table(view: View) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for rows in view.table_rows(("topic", "status")):
        for group in rows.group_by(["topic", "status"]).aggregate([([], "count_all")]).to_pylist():
            found[group["topic"], group["status"]] += group["count_all"]
    return found
