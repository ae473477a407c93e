"""A lake with cases, and queries."""

from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake.query.query import query

from tests.fakes.lakes import new_lake
from tests.unit.lake.compaction import engine_behaviour
from tests.unit.lake.rows import answer, batch, row

CASES = "fraud_confirmation"
ADDED = ["channel", "decidedBy", "reason"]
PLACES = 'SELECT "partition", "offset" FROM transaction ORDER BY ALL'


def ask(lake, sql):
    with query(lake, sql) as rows:
        return [tuple(found.values()) for found in rows.read_all().to_pylist()]


def with_cases():
    """Three cases: reported as fraud, without an answer, and still pending."""
    lake = new_lake()
    cases, answers = Partition(FRAUD_TRANSACTION, 1), Partition(FRAUD_CONFIRMATION, 2)
    engine_behaviour.put(lake, CASES, batch([0, 1, 2], rows=[row(0), row(1), row(2)], partition=cases))
    said = [answer(0, "REPORTED_FRAUD"), answer(1, "NO_RESPONSE")]
    engine_behaviour.put(lake, CASES, batch([0, 1], rows=said, partition=answers))
    return lake
