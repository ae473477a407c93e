"""A run with processes: load flows through the real stack, faults are injected, and all counts are compared at the end.

1. start brokers, registry and store empty; create topics, schemas and a file
2. start the workers, the producer last; its rate is limited, so that rows flow the whole time
3. inject faults
4. replace the producer by one without a limit, stop the workers, and let new ones read the rest
5. count
"""

import os
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from fraudstream.dataset import open_source
from fraudstream.dataset.generator import plan, write_file
from fraudstream.kafka.records import CASE_EVENT, MAIL_RETRY
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from local.stack.environment import VAR
from tests.chaos import verdict
from tests.chaos.contents import BAD_TYPE, read
from tests.chaos.faults import CONSUMERS, LANES, PRODUCER, SHORT_LANES, Arena, inject, wait_reading
from tests.chaos.fleet import Fleet
from tests.chaos.mailbox import SMTP_FAULTS, Mailbox
from tests.chaos.poison import Poisoner
from tests.chaos.proxy import FaultyProxy, HttpFault
from tests.chaos.stack import Stack
from tests.chaos.workers import SMTP_PORT
from tests.fakes.smtp import Accepted, FakeSmtpServer

ROWS_PER_SECOND = 300
#: Rows flow for this time longer than faults are injected: a delayed lane must still meet them.
SPARE_SECONDS = 120.0
_FRAUD_SHARE = 20
_MESSAGE_ID = re.compile(rb"(?im)^message-id:\s*(\S+)")
_REJECTED_SHARE = 1_000
#: The largest number of workers in a group, each with a piece of mails in flight.
_WORKERS = 3
_DRAIN_SECONDS = 300.0


class Result(NamedTuple):
    """The faults that happened, and the promises with their checks."""

    #: Name and count of each fault, and the number of requests or mails that it hit, if they can be counted.
    faults: list[tuple[str, int, int | None]]
    ends: Mapping[str, int]
    zombies: int
    checks: list[verdict.Check]

    @property
    def ok(self) -> bool:
        """Whether every promise is kept."""
        return all(check.ok for check in self.checks)


def run(seed: int, seconds: float, *, short: bool) -> Result:
    """Runs a whole round.

    :raises StackError: a part of the stack doesn't start again
    """
    lanes = SHORT_LANES if short else LANES
    stack = Stack()
    with running(stack):
        # 1. stack and file
        os.environ.update(stack.environment())
        settings = Settings()
        stack.create_topics(settings)
        file = VAR / f"chaos-{seed}.csv"
        write_input(file, int(ROWS_PER_SECOND * (seconds + SPARE_SECONDS)), seed)
        logs = VAR / "workers"
        logs.mkdir()
        mailbox = Mailbox(seed)
        with (
            FaultyProxy(stack.store, seed) as store,
            FaultyProxy(stack.registry, seed) as registry,
            FakeSmtpServer(mailbox) as smtp,
        ):
            environment = os.environ | {
                "FRAUDSTREAM_SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{registry.port}/apis/ccompat/v7",
                "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{store.port}",
                SMTP_PORT: str(smtp.port),
            }
            with Fleet(environment, logs) as fleet:
                cases = VAR / "cases.jsonl"
                arena = Arena(stack, fleet, store, registry, mailbox, Poisoner(settings), str(cases))
                # 2. workers
                for name, (role, topic) in CONSUMERS.items():
                    fleet.add(name, role, topic, "forever", arena.cases)
                wait_reading(fleet, list(CONSUMERS))
                fleet.add(PRODUCER, "produce", str(file), str(ROWS_PER_SECOND))
                say("faults begin")
                # 3. faults
                inject(arena, lanes, seed, seconds)
                # 4. the rest
                say("faults are over, the workers finish")
                _drain(fleet, file, arena.cases)
                # 5. counts
                say("counting")
                checks = _checks(arena, settings, file, cases, smtp)
        return Result(hits_of(arena), fleet.ends, arena.zombies, checks)


def say(what: str) -> None:
    """Prints a line of progress."""
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", flush=True)


@contextmanager
def running(stack: Stack) -> Iterator[None]:
    """Runs the stack, which is empty at first; stops it at the end."""
    try:
        stack.up()
        yield
    finally:
        stack.down()


def write_input(file: Path, rows: int, seed: int, fraud_share: int = _FRAUD_SHARE) -> None:
    """Writes a file with some invalid rows; one row in `fraud_share` is a fraud."""
    write_file(file, plan(rows, rows // fraud_share), seed, lambda _: None)
    lines = file.read_text().splitlines(keepends=True)
    for number in random.Random(seed).sample(range(1, len(lines)), rows // _REJECTED_SHARE):  # noqa: S311
        step, _, rest = lines[number].split(",", 2)
        lines[number] = f"{step},{BAD_TYPE},{rest}"
    file.write_text("".join(lines))


def _drain(fleet: Fleet, file: Path, cases: str) -> None:
    """Reads the rest with new workers. If one doesn't finish in time, its work is missing in the counts."""
    fleet.retire(PRODUCER)
    fleet.add(f"{PRODUCER}-last", "produce", str(file), "0")
    fleet.wait_done(f"{PRODUCER}-last", _DRAIN_SECONDS)
    fleet.retire(*CONSUMERS)
    last = {f"{name}-last": arguments for name, arguments in CONSUMERS.items()}
    for name, (role, topic) in last.items():
        fleet.add(name, role, topic, "caught_up", cases)
    for name in last:
        fleet.wait_done(name, _DRAIN_SECONDS)
    # Deferred mails and events of cases are the results of refused mails.
    for name, role, topic in (("retries", "send_mail", MAIL_RETRY), ("events", "write_lake", CASE_EVENT)):
        fleet.add(name, role, topic, "caught_up", cases)
        fleet.wait_done(name, _DRAIN_SECONDS)


def _checks(arena: Arena, settings: Settings, file: Path, cases: Path, smtp: FakeSmtpServer) -> list[verdict.Check]:
    content = read(settings, file, open_source(str(file), None).id_prefix, cases)
    mailbox = arena.mailbox
    identities: dict[str, set[str]] = defaultdict(set)
    for mail in smtp.accepted:
        identities[mail.recipient.partition("@")[0]].add(message_id(mail))
    report = audit(settings, Lake.connect(settings))
    counts = {name: report.total(f"{name}_count") for name in ("missing", "duplicated", "unexpected")}
    counts["behind"] = report.total("behind")
    return [
        verdict.check_topics(content),
        verdict.check_lake(content),
        verdict.check_mail_log(content, mailbox.deliveries, mailbox.met, settings.mail_attempts),
        verdict.check_doubled_mails(
            mailbox.deliveries,
            identities,
            arena.fleet.interruptions,
            {row.id_transaction: row.topic for row in content.rows},
            _WORKERS * settings.mail_batch_rows,
        ),
        verdict.check_cases(content),
        verdict.check_dead_letters(content, arena.poisoner.written),
        verdict.Check(
            "the audit agrees",
            ", ".join(f"{count} {name}" for name, count in counts.items()),
            [f"audit: {count} {name}" for name, count in counts.items() if count],
        ),
        verdict.Check("every zombie is fenced", f"{arena.zombies} zombies", arena.unfenced),
        verdict.Check("workers fail with errors that a retry helps only", "", _told(arena.fleet)),
    ]


def message_id(mail: Accepted) -> str:
    """The Message-ID of an accepted mail. Elsewhere the tests parse whole messages; here there are too many."""
    found = _MESSAGE_ID.findall(mail.content.partition(b"\r\n\r\n")[0])
    return ", ".join(value.decode() for value in found)


def _told(fleet: Fleet) -> list[str]:
    return [f"{times} times {what}" for what, times in fleet.findings.items()]


def hits_of(arena: Arena) -> list[tuple[str, int, int | None]]:
    """Each fault, how often it was injected, and how many requests or mails it hit."""
    hits = {f"store {fault.value}": arena.store.hits[fault] for fault in HttpFault}
    hits |= {f"registry {fault.value}": arena.registry.hits[fault] for fault in HttpFault}
    hits |= {f"SMTP {fault.name}": arena.mailbox.hits[fault.name] for fault in SMTP_FAULTS}
    return [(name, times, hits.get(name)) for name, times in sorted(arena.done.items())]
