"""Which DAG run a fraud belongs to: decided once by objects in the lake, even if any process crashes.

A run takes what waits in several topic-partitions, and each of these has a chain of objects, the claims. All claims
that a run is made of hold the same body, the run's *plan*: its parts and their cases. A part is the run's if its claim,
the object under the name of the part's first offset, holds the run's plan. Since an object is created once,
every reader sees the same run, and any reader that finds one claim of a plan can finish the rest:

1. create the claims that aren't there yet,
2. read those that another process created: they may belong to another plan,
3. open the run with the cases of the parts that are its own; its id is made of the plan.
"""

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import GZIP, ObjectStore, unpacked
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.names import object_name
from fraudstream.lake.stream.totals import Totals

Case = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive frauds of one topic-partition: what its claim says, and their cases."""

    link: Link
    day: date
    cases: tuple[Case, ...]

    def name(self, folder: str) -> str:
        """The claim's."""
        return object_name(folder, self.day, *self.link.partition, self.link.first)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be made of."""

    parts: tuple[Part, ...]

    @property
    def run_id(self) -> str:
        """Topic, partition and offsets of the first part, and a digest of all parts and their cases.

        Of the cases, since a topic that was restored to an earlier state has other ones at the same offsets.
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
        """As it is kept in each claim: a line that says what the parts are, then a line for each case."""
        parts = [part.link.metadata() | {"day": part.day.isoformat()} for part in self.parts]
        lines = [{"parts": parts}, *(case for part in self.parts for case in part.cases)]
        return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0)

    @classmethod
    def of(cls, name: str, body: bytes) -> "Plan":
        """The plan in a claim.

        :raises LakeError: it isn't one
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


def claimed_on(store: ObjectStore, folder: str, day: date) -> dict[str, Case]:
    """Cases in the claims of a day, by id.

    :raises LakeError: a claim is unreadable
    """
    cases: dict[str, Case] = {}
    for info in store.list(f"{folder}/dt={day.isoformat()}/"):
        found = store.get(info.name)
        if found is not None:
            # the plan's other parts may have turned out to belong to other runs: their claims say so
            mine = [part for part in Plan.of(info.name, found.data).parts if part.name(folder) == info.name]
            cases |= {case["idTransaction"]: case for part in mine for case in part.cases}
    return cases


class Claims:
    """The claims in a folder, and the runs that they are opened as."""

    def __init__(self, store: ObjectStore, folder: str, open_run: Callable[[str, dict[str, Any]], None]) -> None:
        self._store = store
        self._folder = folder
        self._open_run = open_run

    def open(self, plan: Plan) -> dict[Partition, int]:
        """Opens the plan's run, and those that its parts belong to instead; returns where each part's claim ends.

        Calling it again, with this plan or another that holds some of the same frauds, opens nothing twice.
        """
        lost = self._finish(plan)
        ends = {part.link.partition: part.link.end for part in plan.parts}
        for partition, theirs in lost.items():
            self._finish(theirs)
            ends[partition] = next(part.link.end for part in theirs.parts if part.link.partition == partition)
        return ends

    def _finish(self, plan: Plan) -> dict[Partition, Plan]:
        """Opens the plan's run; returns the plans that parts of it turned out to belong to."""
        body, lost = plan.body(), {}
        for part in plan.parts:
            name = part.name(self._folder)
            # 1. create the claim
            if self._store.create(name, body, content_type=GZIP, metadata=part.link.metadata()).ours:
                continue
            # 2. read those of other processes
            found = self._store.get(name)
            if found is None:
                raise LakeError(
                    f"object {name} was there a moment ago and is gone: another process removes objects of"
                    f" {self._folder}/"
                )
            theirs = Plan.of(name, found.data)
            if theirs.run_id != plan.run_id:
                lost[part.link.partition] = theirs
            else:  # the same run: its cases have the times that were claimed, also in the claims that are missing
                plan, body = theirs, found.data
        # 3. open the run
        own = [part for part in plan.parts if part.link.partition not in lost]
        if own:
            self._open_run(plan.run_id, {"cases": [case for part in own for case in part.cases]})
        return lost
