"""
### Compact the lake

Turns the JSON objects of each closed day into a few Parquet files, in `transaction/`, `fraud_confirmation/` and
`email_confirmation/`. Readers see each row once at every instant; a killed run leaves nothing half done, and running
again changes nothing. Days that were missed are made up for: every day that has JSON and is over is compacted.

**When:** daily. By hand with `day` for a single day, today included.

**Engine:** one machine, with memory for about a million rows whatever the day's size; or Spark on Dataproc
Serverless, for a day with more gzipped JSON than the setting `FRAUDSTREAM_LAKE_SPARK_MIB`, or when the param says so.
Both write the same rows in the same order and are proven in the same way.

**Needs:** connection `google_cloud_default`; for Spark also the setting `FRAUDSTREAM_DATAPROC_PROJECT` and its
siblings.

**When it fails:** the message names the folder, the day and what doesn't agree; nothing has changed then, the JSON is
still there and counts. Clear the task when the reason is gone.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag, task_group
from fraudstream.orchestration.alerts import late_after
from fraudstream.orchestration.assets import LAKE
from fraudstream.orchestration.lake_operators import CompactDay, ListDays
from fraudstream.orchestration.retries import NO_MEMBER
from fraudstream.orchestration.spark_operators import PrepareSparkJob, RunSparkJob


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
        **NO_MEMBER,
    },
    max_active_runs=1,
    deadline=late_after(hours=6),
    params={
        "day": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}-\d{2}$",
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
        "engine": Param(
            "by_size",
            type="string",
            enum=["by_size", "one_machine", "spark"],
            title="Engine",
            description="by_size: Spark for days above the setting lake_spark_mib, which is off unless set",
        ),
    },
)
def compact_lake():
    keep = "{{ params.keep_json_days }}"
    asked = {
        "day": "{{ params.day or '' }}",
        "before": "{{ dag_run.run_after | ds }}",
        "engine": "{{ params.engine }}",
        "keep_json_days": keep,
    }
    days = ListDays(task_id="list_days", only="one_machine", **asked)
    one_by_one = CompactDay.partial(task_id="compact", keep_json_days=keep, max_active_tis_per_dagrun=1)
    done_here = one_by_one.expand_kwargs(days.output)

    @task_group
    def on_spark(folder, day):
        job = PrepareSparkJob(task_id="prepare", folder=folder, day=day)
        done = RunSparkJob(task_id="run", job=job.output)
        done >> CompactDay(task_id="prove_and_swap", folder=folder, day=day, keep_json_days=keep, job=job.output)

    done_on_spark = on_spark.expand_kwargs(ListDays(task_id="list_days_for_spark", only="spark", **asked).output)
    [done_here, done_on_spark] >> EmptyOperator(task_id="compacted", outlets=[LAKE], trigger_rule="none_failed")


compact_lake()
