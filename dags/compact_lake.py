"""
### Compact the lake

Turns the JSON objects of each closed day into a few Parquet files, in `transaction/`, `fraud_confirmation/` and
`email_confirmation/`. Readers see each row once at every instant; a killed run leaves nothing half done, and running
again changes nothing. Days that were missed are made up for: every day that has JSON and is over is compacted.

**When:** daily. By hand with `day` for a single day, today included.

**Needs:** connection `google_cloud_default`.

**When it fails:** the message names the folder, the day and what doesn't agree; nothing has changed then, the JSON is
still there and counts. Clear the task when the reason is gone.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag
from fraudstream.orchestration.lake_operators import CompactDay, ListDays


@dag(
    schedule="@daily",
    start_date=datetime(2023, 10, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["fraudstream", "lake"],
    default_args={
        "owner": "data-platform",
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=4),
    },
    max_active_runs=1,
    params={
        "day": Param(
            "",
            type="string",
            pattern=r"^$|^\d{4}-\d{2}-\d{2}$",
            title="Day",
            description="YYYY-MM-DD (UTC); empty: every day that is over and has JSON",
        ),
        "keep_json_days": Param(
            0,
            type="number",
            minimum=0,
            maximum=365,
            title="Days to keep JSON",
            description="How long JSON stays after it was compacted; readers pass over it",
        ),
    },
)
def compact_lake():
    days = ListDays(task_id="list_days", day="{{ params.day }}", before="{{ dag_run.run_after | ds }}")
    CompactDay.partial(
        task_id="compact", keep_json_days="{{ params.keep_json_days }}", max_active_tis_per_dagrun=1
    ).expand_kwargs(days.output)


compact_lake()
