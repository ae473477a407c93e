"""write_lake: 1,000,000 records from a topic to JSON in the object store, exactly once."""

from collections.abc import Callable, Mapping

from fraudstream.kafka.records import NON_FRAUD_TRANSACTION

from benchmarks.harness.dataset import lake, lines_and_records, paysim, upload
from benchmarks.harness.limit import limit_note, write_limit
from benchmarks.harness.report import CEILING, KAFKA_PERF_TEST, OURS, Report, reaches
from benchmarks.harness.rounds import Subject, run, run_rounds
from benchmarks.produce import QUIX, ROUNDS

#: With this number of rows the non-fraud topic alone gets more than 1,000,000 records.
_FILE_ROWS = 1_002_000
_QUIX_RECORDS = 50_000
_ROW_RECORDS = 1_000
_PEAK_MIB = 500
_PEERS = ("object a record", "quix streams file sink")


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Compares write_lake with reading only, with an object for each record, and with Quix Streams' file sink."""
    topic = NON_FRAUD_TRANSACTION
    store = lake(environment)
    run("benchmarks.ours.produce", [upload(store, paysim(_FILE_ROWS), "lake.csv")], environment)
    subjects = [
        Subject(OURS, "benchmarks.ours.lake", lambda number: [topic, f"round-{number}"]),
        Subject(CEILING, "benchmarks.peers.kafka.consume_ceiling", lambda number: [topic, f"ceiling-{number}"]),
        Subject(
            KAFKA_PERF_TEST,
            "benchmarks.peers.kafka.kafka_perf_test",
            lambda number: ["consume", topic, 1_000_000, f"perf-{number}"],
        ),
        Subject(_PEERS[0], "benchmarks.peers.kafka.lake_row_by_row", lambda _: [topic, _ROW_RECORDS]),
        Subject(
            _PEERS[1],
            "benchmarks.peers.kafka.quix_lake",
            lambda number: [topic, _QUIX_RECORDS, f"quix-{number}"],
            python=str(QUIX),
        ),
    ]
    with write_limit(environment) as (limited, refused):
        figures = run_rounds(subjects, ROUNDS, limited, say)
    ours, records = figures[OURS], figures[CEILING].items
    best_peer = max((figures[name] for name in _PEERS), key=lambda peer: peer.median)
    contents = [lines_and_records(store, f"round-{number}/") for number in range(ROUNDS)]
    return Report(
        "lake",
        "records/s",
        figures,
        {
            "1,000,000 records at least": records >= 1_000_000,
            "each record once": all(content == (records, records) for content in contents),
            "0.40 of consume() without work": reaches(ours, 0.4, figures[CEILING]),
            "10 x the best peer": reaches(ours, 10, best_peer),
            "peak RSS within 500 MiB": ours.peak_rss_mib <= _PEAK_MIB,
        },
        notes=[
            "Timed from the assignment of partitions, or the first record, on: joining the group isn't counted.",
            "Peers run on fewer records, since their rate doesn't depend on how many there are.",
            limit_note(refused),
        ],
    )
