"""Assigns each fraud to exactly one DAG run, with objects in the lake, even if any process crashes.

A run has waiting frauds of several topic-partitions. Each topic-partition has a chain of objects, the claims. All
claims of a run have the same content, the run's *plan*: its parts and their cases. A part belongs to the run if the
part's claim, the object that is named after the part's first offset, contains the run's plan. Since an object is
created only once, every reader sees the same run, and any reader that finds one claim of a plan can complete the run:

1. create the missing claims,
2. read the claims that another process created: they may belong to another plan,
3. open the run with the cases of the parts that belong to it; the run's id is derived from the plan.
"""

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import GZIP, ObjectStore, unpacked
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.names import object_name
from fraudstream.lake.stream.totals import Totals

Case = dict[str, Any]
# How many days before a case its claim is looked for: a claim is in the folder of its first record's day. That may also
# be the day after the case's, if the clocks of two brokers differ around midnight.
_CLAIM_DAYS = 31


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive frauds of one topic-partition: their claim as a link of its chain, and their cases."""

    link: Link
    day: date
    cases: tuple[Case, ...]

    def name(self, folder: str) -> str:
        """Returns the object name of the part's claim."""
        return object_name(folder, self.day, *self.link.partition, self.link.first)


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts that a run is to have."""

    parts: tuple[Part, ...]

    @property
    def run_id(self) -> str:
        """Topic, partition and offsets of the first part, and a digest of all parts and their cases.

        The digest includes the cases, since a restored topic may have other records at the same offsets.
        """
        first = self.parts[0].link
        parts = [
            (link.partition.number, link.first, link.end, [case["idTransaction"] for case in part.cases])
            for part in self.parts
            for link in [part.link]
        ]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
        return f"{first.partition.topic}-{first.partition.number}-{first.first}-{first.end}-{digest}"

    def body(self) -> bytes:
        """Returns the content of each claim, gzipped JSON: a line that describes the parts, then one for each case."""
        parts = [part.link.metadata() | {"day": part.day.isoformat()} for part in self.parts]
        lines = [{"parts": parts}, *(case for part in self.parts for case in part.cases)]
        return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0)

    @classmethod
    def of(cls, name: str, body: bytes) -> "Plan":
        """Parses the content of a claim, the object with this name.

        :raises LakeError: the content isn't a plan
        """
        try:
            head, *cases = (json.loads(line) for line in unpacked(name, body).splitlines())
            parts = []
            for part in head["parts"]:
                start, first, end = (int(part[key]) for key in ("start", "first", "end"))
                partition = Partition(part["topic"], int(part["partition"]))
                link = Link(partition, start, first, end, Totals.from_json(part["totals"]))
                mine, cases = cases[: link.rows], cases[link.rows :]
                parts.append(Part(link, date.fromisoformat(part["day"]), tuple(mine)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"object {name} holds no plan of a DAG run ({error!r}): it was changed, or written by another version. "
                f"Restore it, or open a run with its cases by hand and remove it"
            ) from error
        return cls(tuple(parts))


def claim_days(at: datetime) -> list[date]:
    """Returns the days whose folders may have the claim of a case that came at `at`, the newest first."""
    return [at.date() - timedelta(days=days) for days in range(-1, _CLAIM_DAYS)]


def claimed_on(store: ObjectStore, folder: str, day: date) -> dict[str, Case]:
    """Returns the cases in the claims of a day, by id.

    :raises LakeError: a claim is unreadable
    """
    cases: dict[str, Case] = {}
    for info in store.list(f"{folder}/dt={day.isoformat()}/"):
        found = store.get(info.name)
        if found is not None:
            # The plan's other parts may belong to other runs: only their own claims tell.
            mine = [part for part in Plan.of(info.name, found.data).parts if part.name(folder) == info.name]
            cases |= {case["idTransaction"]: case for part in mine for case in part.cases}
    return cases


class Claims:
    """Creates the claims in a folder, and opens their runs."""

    def __init__(self, store: ObjectStore, folder: str, open_run: Callable[[str, dict[str, Any]], None]) -> None:
        self._store = store
        self._folder = folder
        self._open_run = open_run

    def open(self, plan: Plan) -> dict[Partition, int]:
        """Opens the plan's run, and the runs of other plans that parts of it already belong to.

        Returns the end offset of each part's claim, by partition. Calling it again, with this plan or with another one
        that has some of the same frauds, opens no case twice.
        """
        lost = self._finish(plan)
        ends = {part.link.partition: part.link.end for part in plan.parts}
        for partition, theirs in lost.items():
            self._finish(theirs)
            ends[partition] = next(part.link.end for part in theirs.parts if part.link.partition == partition)
        return ends

    def _finish(self, plan: Plan) -> dict[Partition, Plan]:
        """Opens the plan's run; returns the other plans that parts of it already belong to, by partition."""
        body, lost = plan.body(), {}
        for part in plan.parts:
            name = part.name(self._folder)
            # 1. create the claim
            if self._store.create(name, body, content_type=GZIP, metadata=part.link.metadata()).ours:
                continue
            # 2. read the claim of another process
            found = self._store.get(name)
            if found is None:
                raise LakeError(
                    f"object {name} was there a moment ago and is gone: another process removes objects of"
                    f" {self._folder}/"
                )
            theirs = Plan.of(name, found.data)
            if theirs.run_id != plan.run_id:
                lost[part.link.partition] = theirs
            else:  # the same run: use the times of its cases in this claim for the missing claims, too
                plan, body = theirs, found.data
        # 3. open the run
        own = [part for part in plan.parts if part.link.partition not in lost]
        if own:
            self._open_run(plan.run_id, {"cases": [case for part in own for case in part.cases]})
        return lost
