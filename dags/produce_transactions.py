"""
### Produce transactions

Replays a PaySim file to the topics `fraud_transaction` and `non_fraud_transaction`: each row exactly once for a
`read_committed` reader, however often this is killed, retried or cleared. A run goes on where the last one of the same
file stopped; a file that is produced already adds nothing. The same content is the same file, whatever its name and
place. The param `replay` produces it once more, with ids of its own.

**When:** by hand.

**Needs:** `start_kafka` has run; connection `google_cloud_default` for a file in a bucket.

**When it fails:** a missing or empty file, another format, an unknown header and numbers that a spreadsheet has rounded
fail before anything is sent; the message names them and says how to convert the file. `python -m fraudstream.dataset
check FILE` says the same things without producing. Rows that fail their checks lie in topic `ingest.dead_letter` with
line and reason; the log has the most frequent reasons. When their share is above `max_rejected_share` the run fails:
before anything is sent if it is so in the first 25,000 rows, else at the row where it becomes so. A new run with a
higher share goes on from there. Anything else: clear the task.
"""

from datetime import timedelta

from airflow.sdk import Param, dag
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.orchestration.assets import topic_asset
from fraudstream.orchestration.operators import ProduceTransactions
from fraudstream.orchestration.retries import NO_MEMBER
from fraudstream.settings import DagSettings


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["fraudstream", "producer"],
    default_args={
        "owner": "data-platform",
        "queue": DagSettings().queue_producer,
        "retries": 5,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
        **NO_MEMBER,
    },
    max_active_runs=1,
    params={
        "source": Param(
            None,  # not "": the trigger form takes an empty string for one that was forgotten
            type=["null", "string"],
            title="Source",
            examples=["gs://my-bucket/paysim.csv", "/data/paysim.csv.gz", "/data/archive.zip"],
            description="gs://bucket/object or a path; empty: setting FRAUDSTREAM_DATASET",
        ),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Rows",
            description="How many rows of the file to produce in all; empty: the whole file",
        ),
        "rows_per_second": Param(
            0,
            type="integer",
            minimum=0,
            maximum=10_000_000,
            title="Rows per second",
            description="Upper bound; 0: as fast as it can",
        ),
        "max_rejected_share": Param(
            0.01,
            type="number",
            minimum=0,
            maximum=1,
            title="Highest share of rejected rows",
            description="The run fails when more of its rows than this, 0 to 1, fail their checks; 1: never",
        ),
        "replay": Param(
            None,
            type=["null", "string"],
            title="Replay",
            description="Empty: each file is produced once. A name: it is produced once more under this name, with "
            "other ids; not for files whose rows have ids",
        ),
    },
)
def produce_transactions():
    ProduceTransactions(
        task_id="produce",
        outlets=[topic_asset(topic) for topic in (FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION)],
        source="{{ params.source or '' }}",
        limit="{{ params.limit }}",
        rows_per_second="{{ params.rows_per_second }}",
        max_rejected_share="{{ params.max_rejected_share }}",
        replay="{{ params.replay or '' }}",
    )


produce_transactions()
