"""A round through Airflow: runs the DAGs' tasks, injects faults, and compares all counts at the end.

1. start the whole stack empty, with proxies in front of store and registry, and with a misbehaving mail server
2. queue runs of a minute of the consumers' DAGs; recreate a topic under them, and rebase it
3. produce a file at a limited rate, and inject faults
4. let the producer finish without a limit; wait until everything is read and each case has its outcome
5. count
6. delete unread records: the audit must fail
"""

import os
import time
from collections import defaultdict

from fraudstream.dataset import open_source
from fraudstream.kafka.records import MAIL_RETRY
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.stack.environment import VAR
from local.supervisor.control import StackError
from tests.chaos import verdict
from tests.chaos.airflow_round import contents, logs
from tests.chaos.airflow_round.faults import LANES, AirflowArena
from tests.chaos.airflow_round.incidents import caught_up, retention_took_records, topic_made_anew
from tests.chaos.airflow_round.poison import EveryPoison
from tests.chaos.airflow_round.stack import AirflowStack
from tests.chaos.airflow_round.tasks import CASES_DAG, CONSUMERS, DAG_OF, PRODUCER_DAG, SENSOR, Tasks
from tests.chaos.faults import inject, until
from tests.chaos.fleet import Fleet
from tests.chaos.mailbox import Delivery, Mailbox
from tests.chaos.proxy import FaultyProxy
from tests.chaos.run import Result, hits_of, message_id, say, write_input
from tests.chaos.workers import SMTP_PORT
from tests.fakes.smtp import FakeSmtpServer
from tests.fuzz.run import register_foreign

ROWS_PER_SECOND = 100
#: Rows flow for this time longer than faults are injected: each fault happens once, however long its lane takes.
_SPARE_SECONDS = 180.0
_FRAUD_SHARE = 100
_MEMBERS = 2
#: The number of queued runs of a minute beyond those for the faults.
_SPARE_RUNS = 15
_DRAIN_SECONDS = 420.0


def run(seed: int, seconds: float) -> Result:
    """Runs a whole round.

    :raises StackError: a part of the stack ended, or doesn't start again
    """
    stack = AirflowStack()
    mailbox = Mailbox(seed)
    with (
        FaultyProxy(stack.store, seed) as store,
        FaultyProxy(stack.registry, seed) as registry,
        FakeSmtpServer(mailbox) as smtp,
    ):
        # 1. stack
        try:
            stack.up_behind({"gcs": store.port, "schema_registry": registry.port, "smtp": smtp.port})
            with AirflowApi(stack.ports.url("airflow")) as airflow:
                return _round(stack, airflow, store, registry, mailbox, smtp, seed, seconds)
        except Exception as error:
            if ended := stack.ended():
                raise StackError("\n\n".join(ended)) from error
            raise
        finally:
            stack.down()


def _round(
    stack: AirflowStack,
    airflow: AirflowApi,
    store: FaultyProxy,
    registry: FaultyProxy,
    mailbox: Mailbox,
    smtp: FakeSmtpServer,
    seed: int,
    seconds: float,
) -> Result:
    airflow.wait_for_dags({*DAG_OF.values(), PRODUCER_DAG, CASES_DAG, "retry_mails", "compact_lake", "audit_lake"})
    settings = Settings()
    poisoner = EveryPoison(settings, register_foreign(settings), seed)
    tasks = Tasks(airflow, seed, stack.ended)
    arena = AirflowArena(
        stack, tasks, store, registry, mailbox, poisoner, "", tasks=tasks, settings=settings, smtp=smtp
    )
    # 2. consumers, and the incident that stops them
    airflow.pause(CASES_DAG, False)
    tasks.queue_runs(int(seconds / 60) + _SPARE_RUNS)
    say("a topic is made anew")
    made_anew = topic_made_anew(arena, seed)
    # 3. load and faults
    tasks.end_scheduled()
    airflow.pause("retry_mails", False)
    file = VAR / f"chaos-{seed}.csv"
    write_input(file, int(ROWS_PER_SECOND * (seconds + _SPARE_SECONDS)), seed, _FRAUD_SHARE)
    producing = {"source": str(file), "max_rejected_share": 1.0}
    since = time.time()
    first = tasks.trigger(PRODUCER_DAG, producing | {"rows_per_second": ROWS_PER_SECOND})
    ready = until(lambda: all(tasks.running(name) for name in CONSUMERS), 240)
    if not ready:
        arena.findings.append("after four minutes not all consumers were running")
    say("faults begin")
    inject(arena, LANES, seed, seconds)
    # 4. the rest
    say("faults are over, the tasks finish")
    tasks.end_producer(first)
    last = tasks.trigger(PRODUCER_DAG, producing)
    if (state := tasks.wait(PRODUCER_DAG, last, _DRAIN_SECONDS)) != "success":
        arena.findings.append(f"the producer's last run is {state}")
    arena.findings += caught_up(arena, _DRAIN_SECONDS)
    until(lambda: not tasks.runs(CASES_DAG, "running", "queued"), 120)
    _send_deferred(arena)
    # 5. counts
    say("counting")
    ends, checks = _checks(arena, file, since)
    # 6. retention
    say("records are deleted unread")
    checks = [made_anew, *checks, retention_took_records(arena, seed)]
    faults = hits_of(arena)
    checks.append(
        verdict.Check("every fault hit something", "", [f"{name} hit nothing" for name, _, hits in faults if hits == 0])
    )
    checks.append(verdict.Check("every part of the stack runs to the end", "", stack.ended()))
    return Result(faults, ends, arena.zombies, checks)


def _send_deferred(arena: AirflowArena) -> None:
    """Sends the mails that the DAG retry_mails would send within the next hour, which is longer than a round."""
    arena.tasks.ask(lambda: arena.tasks.airflow.pause("retry_mails", True))
    until(lambda: not arena.tasks.runs("retry_mails", "running", "queued"), 120)
    logs_of_workers = VAR / "workers"
    logs_of_workers.mkdir()
    with Fleet(os.environ | {SMTP_PORT: str(arena.smtp.port)}, logs_of_workers) as fleet:
        fleet.add("retries", "send_mail", MAIL_RETRY, "caught_up", str(VAR / "cases.jsonl"))
        fleet.wait_done("retries", 300)
    arena.findings += [f"{times} times {what}" for what, times in fleet.findings.items()]


def _checks(arena: AirflowArena, file: object, since: float) -> tuple[dict[str, int], list[verdict.Check]]:
    settings, mailbox = arena.settings, arena.mailbox
    content, outcomes = contents.read(settings, file, open_source(str(file), None).id_prefix, arena.tasks)  # type: ignore[arg-type]
    ends, findings = logs.ends(since)
    report = audit(settings, Lake.connect(settings))
    counts = {name: report.total(f"{name}_count") for name in ("missing", "duplicated", "unexpected")}
    counts |= {"behind": report.total("behind"), "overdue": report.overdue_cases}
    failed = arena.tasks.ask(lambda: arena.tasks.airflow.count(CASES_DAG, SENSOR, "failed", "upstream_failed"))
    unfit = [f"{failed} cases' sensors failed"] if failed else []
    # The server accepts a mail, then the mailbox records it, one mail after the other: the n-th is the same in both.
    prefix = content.rows[0].id_transaction.rpartition("-")[0] + "-"
    taken = [
        (delivery, message_id(mail))
        for delivery, mail in zip(mailbox.deliveries, arena.smtp.accepted, strict=True)
        if delivery.id_transaction.startswith(prefix)
    ]
    by_mail = [Delivery(identity, delivery.at, delivery.reply_lost) for delivery, identity in taken]
    topic_of = {line["messageId"]: line["topic"] for line in content.mail_log if line["topic"] != MAIL_RETRY}
    identities: dict[str, set[str]] = defaultdict(set)
    for line in content.mail_log:
        identities[line["messageId"]].add(line["messageId"])
    unknown = [f"mail {identity} isn't in the mail log" for _, identity in taken if identity not in topic_of]
    interruptions = [*arena.fleet.interruptions, *logs.interruptions(since)]
    checks = [
        verdict.check_topics(content),
        verdict.check_lake(content),
        contents.check_outcomes(content, outcomes),
        verdict.check_mail_log(
            contents.with_receipts(content, outcomes),
            mailbox.deliveries,
            mailbox.met,
            settings.mail_attempts,
            {of.id_transaction for _, of in outcomes.topic},
        ),
        verdict.check_doubled_mails(
            [one for one in by_mail if one.id_transaction in topic_of],
            identities,
            interruptions,
            topic_of,
            _MEMBERS * settings.mail_batch_rows,
        ),
        verdict.check_cases(content),
        verdict.check_dead_letters(content, arena.poisoner.written),
        verdict.Check(
            "the audit agrees",
            ", ".join(f"{count} {name}" for name, count in counts.items()),
            [f"audit: {count} {name}" for name, count in counts.items() if count],
        ),
        verdict.Check("every zombie is fenced", f"{arena.zombies} zombies", arena.unfenced),
        verdict.Check(
            "tasks fail with errors that a retry helps only",
            "",
            [f"{times} times {what}" for what, times in findings.items()],
        ),
        verdict.Check("all else went on", "", [*arena.findings, *unfit, *unknown[:5]]),
    ]
    return dict(ends), checks
