"""
### Audit the lake

Compares what the topics hold with what the lake and the mail log hold, since the last green audit: each record exactly
once and unchanged in the lake (offsets and control totals), a mail for each transaction and each case's outcome. Dead
letters, undelivered mails, records that retention took unread, and topics that were made anew or truncated make it red
above their limits. Prints a table and returns the counts; each audit's lines are kept in folder `audit/` of the lake.
Answers after a case's first one count as late, cases without an answer as open, answers to cases that no fraud
transaction is there for as unknown.

For the fraud team: what customers answered on each of the last seven days and in all, by outcome, how long they took
(median and 90th percentile, from the case's record to its answer), and the share of false positives: of the cases that
customers answered, those they said were their own.

**When:** after each run of `compact_lake` that succeeded (asset `fraudstream_lake`), at noon in any case, and by hand
whenever there is doubt. It changes nothing.

**Needs:** connection `google_cloud_default`; the consumer DAGs running, or caught up.

**When it fails:** the log names topic, partition and offsets of what is missing, doubled or stuck. Stuck: look at the
`consume_` DAG of that topic. Missing or doubled: keep the lake as it is and see the runbooks in docs/deploy.md.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag
from fraudstream.orchestration.alerts import late_after
from fraudstream.orchestration.assets import LAKE
from fraudstream.orchestration.lake_operators import AuditLake
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
            description="A topic-partition that is behind and doesn't move within this time is stuck",
        ),
        "full": Param(
            False,
            type="boolean",
            title="Audit everything",
            description="Not only what came since the last green audit",
        ),
        "max_dead_letters": Param(
            0, type="integer", minimum=0, title="Dead letters", description="More since then make the audit red"
        ),
        "max_undelivered_mails": Param(
            0, type="integer", minimum=0, title="Undelivered mails", description="More since then make the audit red"
        ),
        "max_retention_gaps": Param(
            0,
            type="integer",
            minimum=0,
            title="Offsets that retention took unread",
            description="More make the audit red",
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
        max_retention_gaps="{{ params.max_retention_gaps }}",
    )


audit_lake()
