"""
### Close expired cases

Publishes NO_RESPONSE for each fraud case that has no outcome 15 minutes after its time limit. Normally the sensor of
the case does that. This DAG closes the cases whose sensor was marked by a person, whose run was deleted, or whose
trigger failed. So every case ends with an outcome on topic `fraud_confirmation`, in the lake and in the audit.

**When:** every hour, and by hand at any time. Closing a case twice does no harm: the first outcome counts.

**Needs:** `start_kafka` has run; connection `google_cloud_default`.

**When it fails:** the log names the topic or the object that can't be used. The next run closes the remaining cases. If
the DAG has not run for more than `look_back_days`, run it by hand with a higher value. A line "has no claim" in the log
names a case that `open_cases` has not opened yet: look at the DAG `consume_fraud_transactions`.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.orchestration.assets import topic_asset
from fraudstream.orchestration.operators.cases import CloseExpiredCases
from fraudstream.orchestration.retries import NO_MEMBER


@dag(
    schedule="@hourly",
    start_date=datetime(2023, 10, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["fraudstream", "confirmation"],
    default_args={
        "owner": "fraud-team",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(minutes=30),
        **NO_MEMBER,
    },
    max_active_runs=1,
    params={
        "look_back_days": Param(
            30,
            type="number",
            minimum=1,
            maximum=3650,
            title="Days to look back",
            description="Check cases whose time limit ended within this number of days",
        )
    },
)
def close_expired_cases():
    CloseExpiredCases(
        task_id="close",
        inlets=[topic_asset(FRAUD_TRANSACTION)],
        outlets=[topic_asset(FRAUD_CONFIRMATION)],
        look_back_days="{{ params.look_back_days }}",
    )


close_expired_cases()
