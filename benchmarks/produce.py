"""produce_transactions: a PaySim-shaped file of 1,000,000 rows from the store to both topics; then 6,362,620 rows."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from fraudstream.dataset.generator import PUBLISHED_ROWS
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.settings import ROOT, SCHEMAS

from benchmarks.harness.dataset import lake, paysim, upload
from benchmarks.harness.report import CEILING, KAFKA_PERF_TEST, OURS, Report, fastest_ceiling, reaches
from benchmarks.harness.rounds import Subject, run, run_rounds
from benchmarks.harness.topics import committed_ids, create, ends_of_records, settings_of
from benchmarks.ours.messages import messages

ROWS = 1_000_000
ROUNDS = 5
_ROW_BY_ROW = "benchmarks.peers.kafka.produce_row_by_row"
_TUTORIAL_ROWS = 100_000
_SEEDS_ROWS = 1_000
QUIX = ROOT / ".venvs" / "quixstreams" / "bin" / "python"
_WHOLE_PEAK_MIB = 500
_TOPICS = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION)


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Compares Publisher, which sends rows and its position in transactions, with sending only and with row by row."""
    path, store = paysim(ROWS), lake(environment)
    create(environment, [f"{who}.{topic}" for who in ("ceiling", "perf", "peer") for topic in _TOPICS])
    record = record_bytes(environment, path)
    subjects = [
        Subject(OURS, "benchmarks.ours.produce", lambda number: [upload(store, path, f"round-{number}.csv")]),
        Subject(CEILING, "benchmarks.peers.kafka.produce_ceiling", lambda _: [path, "ceiling."]),
        Subject(
            KAFKA_PERF_TEST,
            "benchmarks.peers.kafka.kafka_perf_test",
            lambda _: ["produce", f"perf.{NON_FRAUD_TRANSACTION}", ROWS, record],
        ),
        Subject("tutorial", _ROW_BY_ROW, lambda _: [path, _TUTORIAL_ROWS, "peer.", "poll"]),
        Subject("seed", _ROW_BY_ROW, lambda _: [path, _SEEDS_ROWS, "peer.", "flush"]),
        Subject(
            "quix streams",
            "benchmarks.peers.kafka.quix_produce",
            lambda _: [path, _TUTORIAL_ROWS, "peer.", SCHEMAS / "transaction.avsc"],
            python=str(QUIX),
        ),
    ]
    figures = run_rounds(subjects, ROUNDS, environment, say)
    found_and_different = _ids(environment)  # of all rounds and the warm-up
    whole = run("benchmarks.ours.produce", [upload(store, paysim(PUBLISHED_ROWS), "whole.csv")], environment)
    say(f"whole file: {whole['items']:,} rows in {whole['seconds']:.1f} s, peak RSS {whole['peak_rss_mib']:.0f} MiB")
    ours = figures[OURS]
    return Report(
        "produce",
        "rows/s",
        figures,
        {
            "the ceiling's records are all there": _ceilings_records(environment) == (ROUNDS + 1) * ROWS,
            "each row once": found_and_different == ((ROUNDS + 1) * ROWS, (ROUNDS + 1) * ROWS),
            "0.70 of Kafka's perf test": reaches(ours, 0.7, figures[KAFKA_PERF_TEST]),
            # The fastest ceiling neither reads nor encodes: it has both cores for sending. Guards against regressions.
            "0.55 of the fastest ceiling": reaches(ours, 0.55, fastest_ceiling(figures)),
            "6 x the tutorial way": reaches(ours, 6, figures["tutorial"]),
            "whole file": whole["items"] == PUBLISHED_ROWS,
            "whole file within 500 MiB": whole["peak_rss_mib"] <= _WHOLE_PEAK_MIB,
        },
        notes=[
            f"Kafka's perf test sends records of {record} bytes without a key, as long as key and value of ours.",
            "Peers run on fewer rows, since their rate doesn't depend on how many there are.",
            f"whole file: {PUBLISHED_ROWS:,} rows in {whole['seconds']:.1f} s, "
            f"{PUBLISHED_ROWS / whole['seconds']:,.0f} rows/s, peak RSS {whole['peak_rss_mib']:.0f} MiB",
        ],
        also={
            "whole": {
                "rows": whole["items"],
                "seconds": round(whole["seconds"], 1),
                "rows_per_second": round(whole["items"] / whole["seconds"]),
                "peak_rss_mib": round(whole["peak_rss_mib"]),
            }
        },
    )


def record_bytes(environment: Mapping[str, str], path: Path) -> int:
    """The mean length of key and value, in bytes, of a file's first records."""
    found = list(itertools.islice(messages(settings_of(environment), str(path)), 2))
    whole = sum(pc.sum(pc.binary_length(column)).as_py() or 0 for _, *columns in found for column in columns)
    return round(whole / sum(len(values) for _, _, values in found))


def _ceilings_records(environment: Mapping[str, str]) -> int:
    """The number of records in the ceiling's topics. The ceiling itself gets no delivery reports."""
    settings = settings_of(environment)
    return sum(sum(ends_of_records(settings, f"ceiling.{topic}").values()) for topic in _TOPICS)


def _ids(environment: Mapping[str, str]) -> tuple[int, int]:
    """The number of committed records in both topics, and the number of different ids among them."""
    ids = pa.chunked_array([part for topic in _TOPICS for part in committed_ids(environment, topic)])
    return len(ids), pc.count_distinct(ids).as_py()
