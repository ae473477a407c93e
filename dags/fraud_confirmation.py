"""
### Fraud confirmation

One waiting sensor for each fraud case in the run's conf. A sensor resolves when its customer answers over the links in
the mail, or with NO_RESPONSE when the case's time is up; the outcome is its XCom. An answer that came before the sensor
waits resolves it at once. A waiting sensor holds no worker slot.

**When:** opened by `consume_fraud_transactions`, up to 200 cases a run, from all partitions. A case that comes alone is
opened after 2 s; in a steady trickle cases wait for each other for up to
30 s. By hand: `{"cases": [...]}` with cases as the run of another day shows them in its conf.

**Where to look:** tab *Cases* of a run lists what its sensors wait for, tab *Case* of a sensor (`await_confirmation`,
mapped) shows one: transaction, amount, since when and until when it waits, the outcome. The sensor's log says the same,
the outcome is its XCom. Rendered fields stay empty: no worker ever ran it.

**Needs:** a running triggerer.

**When it fails:** brokers that are away are waited for. A cleared sensor finds the recorded outcome again.
"""

from datetime import timedelta

from airflow.sdk import Param, dag, task
from fraudstream.cases.opening import described
from fraudstream.orchestration.alerts import Alert
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
    # One mail for a run, however many of its sensors failed.
    on_failure_callback=Alert(
        subject="fraud_confirmation: sensors of a run failed",
        text="<p>Run {{ run_id }} has failed tasks. Clear them: they wait on, or find the outcome that was recorded. "
        "Cases that nobody sees to end with NO_RESPONSE by the DAG close_expired_cases.</p>",
    ),
    # Cases wait for days, and waiting ones cost no slot: neither runs nor sensors may queue up behind them.
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
            description="Fraud transactions as consume_fraud_transactions opens them",
        )
    },
)
def fraud_confirmation():
    @task(task_display_name="cases of this run")
    def cases(params: dict) -> list[str]:
        return [described(case) for case in params["cases"]]

    AwaitConfirmation.partial(
        task_id="await_confirmation",
        task_display_name="wait for the customer's answer",
        map_index_template="{{ task.subject | truncate(120) }}",
        doc_md=WAITS,
    ).expand(subject=cases())


fraud_confirmation()
