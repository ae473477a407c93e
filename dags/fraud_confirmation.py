"""
### Fraud confirmation

Runs one waiting sensor for each fraud case in the run's conf. A sensor succeeds when the customer answers with a link
in the mail, or with NO_RESPONSE at the case's time limit. The outcome is the sensor's XCom. If the answer came before
the sensor started to wait, the sensor succeeds at once. A waiting sensor uses no worker slot.

**When:** triggered by `consume_fraud_transactions`, with up to 200 cases a run, from all partitions. A single case is
opened after 2 s. If single cases keep coming, they share runs, and a case is opened after at most about 30 s. By hand:
use the conf `{"cases": [...]}`, and copy the cases from the conf of an earlier run.

**Where to look:** the note of a run says how many answers it waits for, about how much money, and until when. The page
*Cases* in the navigation has all open cases. The tab *Cases* of a run lists the cases that its sensors wait for. The
tab *Case* of a mapped `await_confirmation` task shows one case: the transaction, the amount, the start and the end of
the wait, and the outcome. The sensor's log has the same information. The rendered fields are empty, because no worker
runs the sensor.

**Needs:** a running triggerer.

**When it fails:** if the brokers are down, the sensors wait for them. A sensor that you clear finds the recorded
outcome again.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from fraudstream.cases.opening import described
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.orchestration.alerts import Alert
from fraudstream.orchestration.assets import topic_asset
from fraudstream.orchestration.retries import WhatMayPass
from fraudstream.orchestration.sensors import AwaitConfirmation

WAITS = """Waits for a customer's answer over the links in the mail, in the triggerer. The tab *Case* shows which.

**When it fails:** clear it: it waits on, or finds the outcome that was recorded meanwhile. Marking it changes nothing
for the customer; the case still ends with an outcome on the topic, by the DAG `close_expired_cases` if need be."""


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["fraudstream", "confirmation"],
    default_args={
        "owner": "fraud-team",
        "retries": 3,
        "retry_delay": timedelta(seconds=10),
        "retry_policy": WhatMayPass(),
    },
    # One mail for each run, however many of its sensors failed.
    on_failure_callback=Alert(
        subject="fraud_confirmation: sensors of a run failed",
        text="<p>Run {{ run_id }} has failed tasks. Clear them: they wait on, or find the outcome that was recorded. "
        "If nobody does, the DAG close_expired_cases ends their cases with NO_RESPONSE.</p>",
    ),
    # Cases wait for days, and waiting sensors take no slot. So these limits must never delay other runs or sensors.
    max_active_runs=100_000,
    max_active_tasks=1_000,
    params={
        "cases": Param(
            [],
            type="array",
            maxItems=200,
            items={
                "type": "object",
                "required": [
                    "idTransaction",
                    "timestamp",
                    "type",
                    "amount",
                    "nameOrig",
                    "nameDest",
                    "oldbalanceOrg",
                    "newbalanceOrig",
                    "oldbalanceDest",
                    "newbalanceDest",
                    "isFraud",
                    "isFlaggedFraud",
                    "openedAt",
                    "expiresAt",
                ],
            },
            title="Cases",
            description="List of fraud transactions. consume_fraud_transactions fills it",
        )
    },
)
def fraud_confirmation():
    @task(task_display_name="cases of this run", inlets=[topic_asset(FRAUD_TRANSACTION)])
    def cases(params: dict[str, Any]) -> list[str]:
        return [described(case) for case in params["cases"]]

    AwaitConfirmation.partial(
        task_id="await_confirmation",
        task_display_name="wait for the customer's answer",
        map_index_template="{{ task.subject | truncate(120) }}",
        doc_md=WAITS,
    ).expand(subject=cases())


fraud_confirmation()
