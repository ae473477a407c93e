"""
### Audit the lake

Compares the topics with the lake and the mail log, from the last green audit on. It checks that each record is in the
lake exactly once and unchanged (offsets and control totals). It checks that each transaction and each case's outcome
has a line in the mail log.

The audit is also red if a case has no outcome two hours after its time limit, or if a topic was recreated or truncated.
Params set limits for dead letters, for undelivered mails (deferred ones that nobody tries again count), for fraud
notices that bounced or were suppressed, and for offsets that retention deleted before they were read. Above a limit
the audit is red.

The audit prints a table and returns the counts. Each audit's result is kept in folder `audit/` of the lake. Later
answers to a case that already has one count as late, cases without an answer as open, and answers to a case without a
fraud transaction as unknown.

A second table is for the fraud team. It shows what customers answered on each of the last seven days and in total, by
outcome. It shows how long they took, from the case's record to its answer (median and 90th percentile). It shows the
share of false positives: of the cases that customers answered, those they said were their own.

**When:** after each successful run of `compact_lake` (asset `fraudstream_lake`), every day at 12:00 UTC, and by hand at
any time. The audit changes no record; it only writes its own results to `audit/`.

**Needs:** connection `google_cloud_default`. The consumer DAGs are running, or have caught up.

**When it fails:** the message names topic, partition and offsets of what is wrong. If
records are stuck, look at the `consume_` DAG of that topic. If records are missing or duplicated, don't change the
lake, and follow the runbooks in docs/deploy.md. If cases are overdue, run `close_expired_cases`.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag
from fraudstream.orchestration.alerts import late_after
from fraudstream.orchestration.assets import LAKE
from fraudstream.orchestration.operators.audit import AuditLake
from fraudstream.orchestration.retries import NO_MEMBER


@dag(
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 12 * * *", timezone="UTC"), assets=[LAKE]),
    start_date=datetime(2023, 10, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["fraudstream", "lake"],
    default_args={
        "owner": "data-platform",
        "retries": 1,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=1),
        **NO_MEMBER,
    },
    max_active_runs=1,
    deadline=late_after(hours=3),
    params={
        "settle_seconds": Param(
            60,
            type="number",
            minimum=0,
            maximum=3600,
            title="Seconds to settle",
            description="A partition counts as stuck if it has lag and makes no progress within this time",
        ),
        "full": Param(
            False,
            type="boolean",
            title="Audit everything",
            description="Compare all records, not only those since the last green audit",
        ),
        "max_dead_letters": Param(
            0, type="integer", minimum=0, title="Dead letters", description="The audit fails above this number"
        ),
        "max_undelivered_mails": Param(
            0, type="integer", minimum=0, title="Undelivered mails", description="The audit fails above this number"
        ),
        "max_undelivered_notices": Param(
            0,
            type="integer",
            minimum=0,
            title="Fraud notices that bounced or were suppressed",
            description="The audit fails above this number. In safe mode, notices are suppressed and count",
        ),
        "max_retention_gaps": Param(
            0,
            type="integer",
            minimum=0,
            title="Offsets that retention took unread",
            description="The audit fails above this number",
        ),
    },
)
def audit_lake():
    AuditLake(
        task_id="audit",
        settle_seconds="{{ params.settle_seconds }}",
        full="{{ params.full }}",
        max_dead_letters="{{ params.max_dead_letters }}",
        max_undelivered_mails="{{ params.max_undelivered_mails }}",
        max_undelivered_notices="{{ params.max_undelivered_notices }}",
        max_retention_gaps="{{ params.max_retention_gaps }}",
    )


audit_lake()
