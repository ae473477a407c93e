"""
### Produce transactions

Produces the rows of a PaySim file to the topics `fraud_transaction` and `non_fraud_transaction`. A `read_committed`
reader sees each row exactly once, even if the task is killed, retried or cleared. A run resumes where the last run of
the same file stopped. A run of a file that is already complete adds nothing. Two files with the same content are the
same file, regardless of name and location. The param `replay` produces a file once more, with different ids.

**When:** by hand.

**Needs:** `start_kafka` has run; connection `google_cloud_default` if the file is in a bucket.

**When it fails:** the task fails before it sends anything if the file is missing or empty, has another format or an
unknown header, or has numbers that a spreadsheet has rounded. The message names the problem and says how to convert the
file. `python -m fraudstream.dataset check FILE` reports the same problems and produces nothing.

Rows that fail their checks are written to the topic `ingest.dead_letter`, with line and reason. The log lists the most
frequent reasons. The run fails if the share of these rows is above `max_rejected_share`. If that is so in the first
25,000 rows of a file, the run fails before it sends anything. Later, it fails after the chunk of at most 25,000 rows in
which the share is exceeded; the rows up to there are committed. A new run with a higher share resumes there. After any
other error, clear the task.
"""

from datetime import timedelta

from airflow.sdk import Param, dag
from fraudstream.kafka.records import (
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    INGEST_PROGRESS,
    NON_FRAUD_TRANSACTION,
)
from fraudstream.orchestration.assets import FILES, topic_asset
from fraudstream.orchestration.operators.kafka import ProduceTransactions
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
            None,  # not "": the trigger form treats an empty string as a missing value
            type=["null", "string"],
            title="Source",
            examples=["gs://my-bucket/paysim.csv", "/data/paysim.csv.gz", "/data/archive.zip"],
            description="gs://bucket/object or a path. Empty: the setting FRAUDSTREAM_DATASET",
        ),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Rows",
            description="Number of rows to produce, from the start of the file. Empty: the whole file",
        ),
        "rows_per_second": Param(
            0,
            type="integer",
            minimum=0,
            maximum=10_000_000,
            title="Rows per second",
            description="Maximum rate. 0: no limit",
        ),
        "max_rejected_share": Param(
            0.01,
            type="number",
            minimum=0,
            maximum=1,
            title="Highest share of rejected rows",
            description="The run fails if a larger share of its rows is rejected. 0 to 1; 1: no limit",
        ),
        "replay": Param(
            None,
            type=["null", "string"],
            examples=["load-test-1"],
            title="Replay",
            description="Empty: each file is produced once. A name: it is produced once more under this name, with "
            "other ids; not for files whose rows have ids",
        ),
    },
)
def produce_transactions():
    ProduceTransactions(
        task_id="produce",
        inlets=[FILES],
        outlets=[
            topic_asset(topic)
            for topic in (FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, INGEST_DEAD_LETTER, INGEST_PROGRESS)
        ],
        source="{{ params.source or '' }}",
        limit="{{ params.limit }}",
        rows_per_second="{{ params.rows_per_second }}",
        max_rejected_share="{{ params.max_rejected_share }}",
        replay="{{ params.replay or '' }}",
    )


produce_transactions()
