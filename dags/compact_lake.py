"""
### Compact the lake

Moves the JSON objects of each closed day to the folder's Apache Iceberg table: `transaction`, `fraud_confirmation` and
`email_confirmation`. Readers see each row exactly once at any time, also during a run. If a run is killed, readers
still see each row once, and the next run finishes the work. Running it again changes nothing. Missed days are caught
up: each run compacts every closed day that has JSON.

Then two tasks run for each table. `complete_…` emits the table's asset, `fraudstream_table_…`, for each day that is
complete, with the day as partition key. `maintain_…` rewrites small files of closed days, expires old snapshots and
removes orphan files.

**When:** daily. With the setting `FRAUDSTREAM_LAKE_COMPACTION=hourly` it runs every hour, and also moves the JSON of
the current day. By hand, the param `day` compacts that day, which may be today, and all earlier days.

**Engine:** by default DuckDB on one machine, with 1 GiB of memory for a day of any size. Spark on Dataproc Serverless
is used for a day with more gzipped JSON than the setting `FRAUDSTREAM_LAKE_SPARK_MIB`, or if the param `engine` says
so. Both engines run the same SQL, and the same checks prove their results.

**Needs:** connection `google_cloud_default`; the catalog that `PYICEBERG_CATALOG__FRAUDSTREAM__*` configures. Spark
also needs the setting `FRAUDSTREAM_DATAPROC_PROJECT` and the other Dataproc settings in docs/settings.md.

**When it fails:** the message names the folder and the values that don't agree. Nothing has changed for readers: they
still read the JSON objects. Correct the cause, then clear the task.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag, task_group
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.orchestration.alerts import late_after
from fraudstream.orchestration.assets import LAKE
from fraudstream.orchestration.operators.lake import CompactDay, CompleteDays, ListDays, MaintainTable
from fraudstream.orchestration.operators.spark import PrepareSparkJob, RunSparkJob
from fraudstream.orchestration.retries import NO_MEMBER
from fraudstream.settings import DagSettings

HOURLY = DagSettings().lake_compaction == "hourly"


@dag(
    schedule="@hourly" if HOURLY else "@daily",
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
            examples=["2026-01-31"],
            title="Day",
            description="Last day to compact, YYYY-MM-DD (UTC). Empty: every day that has ended",
        ),
        "keep_json_days": Param(
            0,
            type="number",
            minimum=0,
            maximum=365,
            title="Days to keep JSON",
            description="Days to keep JSON after it was written. Readers ignore it once it is in the table",
        ),
        "engine": Param(
            "by_size",
            type="string",
            enum=["by_size", "one_machine", "spark"],
            title="Engine",
            description="by_size: Spark for days larger than the setting lake_spark_mib, if it is set",
        ),
    },
)
def compact_lake():
    # Days before `today` are closed. With an hourly schedule, a run also compacts the JSON of the open day.
    today = "{{ dag_run.run_after | ds }}"
    tomorrow = "{{ macros.ds_add(dag_run.run_after | ds, 1) }}"
    keep = "{{ params.keep_json_days }}"
    asked = {
        "day": "{{ params.day or '' }}",
        "before": tomorrow if HOURLY else today,
        "engine": "{{ params.engine }}",
        "keep_json_days": keep,
    }
    days = ListDays(task_id="list_days", only="one_machine", **asked)
    here = CompactDay.partial(task_id="compact", keep_json_days=keep, max_active_tis_per_dagrun=1)
    moved = here.expand_kwargs(days.output)

    @task_group
    def on_spark(folder, day):
        job = PrepareSparkJob(task_id="prepare", folder=folder, day=day)
        done = RunSparkJob(task_id="run", job=job.output)
        proven = CompactDay(task_id="prove_and_publish", folder=folder, day=day, keep_json_days=keep, job=job.output)
        done >> proven
        return proven.output

    proven = on_spark.expand_kwargs(ListDays(task_id="list_days_for_spark", only="spark", **asked).output)

    done = EmptyOperator(task_id="compacted", outlets=[LAKE], trigger_rule="none_failed")
    for folder in FOLDERS:
        complete = CompleteDays(
            task_id=f"complete_{folder}",
            folder=folder,
            before=today,
            reports=[moved.output, proven],
            trigger_rule="none_failed",
        )
        maintained = MaintainTable(
            task_id=f"maintain_{folder}", folder=folder, before=today, trigger_rule="none_failed"
        )
        complete >> maintained >> done


compact_lake()
