from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.kafka.records import Batch, Partition
from hypothesis import given, settings
from hypothesis import strategies as st

PARTITION = Partition("fraud_confirmation", 0)
LOG = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["yes", "no"])), max_size=30)


class DurableSink:
    """A sink whose effects survive a crash and are idempotent by offset, as the lake's and the mail's are."""

    def __init__(self, disk: dict[int, tuple[str, str]], progress: list[int]) -> None:
        self.disk = disk
        self.progress = progress
        self.buffer: dict[int, tuple[str, str]] = {}
        self.next_offset = progress[-1]
        self.closed = False

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return self.progress[-1] or None

    def write(self, batch: Batch) -> None:
        assert batch.next_offset > self.next_offset, "offsets only move on"
        for offset, row in zip(batch.offsets.tolist(), batch.rows.to_pylist(), strict=True):
            assert self.next_offset <= offset < batch.next_offset
            self.buffer[offset] = (row["idTransaction"], row["status"])
        self.next_offset = batch.next_offset

    def due(self) -> bool:
        return True

    def flush(self) -> dict[Partition, int]:
        self.disk.update(self.buffer)
        self.progress.append(self.next_offset)
        return {PARTITION: self.next_offset}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.buffer.clear()

    def close(self) -> None:
        self.closed = True


def batch(log: list[tuple[str, str]], start: int, end: int) -> Batch:
    """A batch with offsets 10, 12, 14, …: transaction markers cause the gaps."""
    part = log[start:end]
    offsets = np.array([10 + 2 * n for n in range(start, start + len(part))], dtype=np.int64)
    rows = pa.RecordBatch.from_pylist(
        [{"idTransaction": case, "status": status} for case, status in part],
        pa.schema([("idTransaction", pa.string()), ("status", pa.string())]),
    )
    return Batch(PARTITION, offsets, offsets * 1000, rows, 10 + 2 * end)


@settings(deadline=None)
@given(LOG, st.lists(st.tuples(st.integers(1, 7), st.sampled_from(["go on", "flush", "crash", "revoke"])), max_size=40))
def test_each_case_has_its_first_answer_exactly_once_whatever_crashes_when(
    log: list[tuple[str, str]], steps: list[tuple[int, str]]
) -> None:
    disk: dict[int, tuple[str, str]] = {}
    progress = [0]

    def restart() -> tuple[FirstAnswers, int]:
        sink = FirstAnswers(DurableSink(disk, progress))
        assert sink.assigned(PARTITION, None) == OFFSET_BEGINNING
        return sink, 0

    sink, position = restart()
    for size, then in [*steps, (len(log) + 1, "flush")]:
        end = min(position + size, len(log))
        if end > position:
            sink.write(batch(log, position, end))
            position = end
        if then == "flush":
            sink.flush()
        elif then == "crash":
            sink, position = restart()
        elif then == "revoke":
            sink.flush()
            sink.revoked([PARTITION])
            assert sink.assigned(PARTITION, None) == OFFSET_BEGINNING
            position = 0

    first = dict(reversed(log))
    assert sorted(disk.values()) == sorted(first.items())
    if log:
        assert progress[-1] == 10 + 2 * len(log), "dropped answers move the progress too"


def test_a_case_answered_before_the_inner_sinks_start_gives_nothing_after_it() -> None:
    log = [("a", "yes"), ("b", "yes"), ("a", "no"), ("c", "no")]
    disk: dict[int, tuple[str, str]] = {}
    inner = DurableSink(disk, [14])
    sink = FirstAnswers(inner)
    sink.assigned(PARTITION, 3)
    sink.write(batch(log, 0, 1))
    sink.write(batch(log, 1, 2))
    assert inner.next_offset == 14, "what lies before the start is not passed on, not even as empty batches"
    sink.write(batch(log, 2, 4))
    sink.flush()
    assert disk == {16: ("c", "no")}


def test_nothing_is_kept_of_a_partition_that_another_reader_has() -> None:
    sink = FirstAnswers(DurableSink({}, [0]))
    sink.assigned(PARTITION, None)
    sink.write(batch([("a", "yes"), ("b", "yes")], 0, 2))
    sink.flush()
    sink.revoked([PARTITION])
    assert (sink._seen, sink._starts) == ({}, {})


def test_the_committed_offset_counts_where_the_inner_sink_keeps_none() -> None:
    class Stateless(DurableSink):
        def assigned(self, partition: Partition, committed: int | None) -> None:
            return None

    disk: dict[int, tuple[str, str]] = {}
    inner = Stateless(disk, [0])
    sink = FirstAnswers(inner)
    sink.assigned(PARTITION, 12)
    sink.write(batch([("a", "yes"), ("b", "no")], 0, 2))
    sink.flush()
    assert disk == {12: ("b", "no")}
    sink.close()
    assert inner.closed


def test_an_answer_that_another_partition_has_an_earlier_one_of_is_dropped() -> None:
    class Elsewhere:
        caught_up = closed = False

        def catch_up(self) -> None:
            self.caught_up = True

        def first_place(self, case: str) -> tuple[int, int, int] | None:
            assert self.caught_up
            # Offsets 10, 12, 14 of partition 0 have the times 10,000, 12,000 and 14,000.
            return {"a": (9_000, 3, 70), "b": (12_000, 0, 12), "c": (14_000, 1, 2)}.get(case)

        def close(self) -> None:
            self.closed = True

    disk: dict[int, tuple[str, str]] = {}
    elsewhere = Elsewhere()
    sink = FirstAnswers(DurableSink(disk, [0]), elsewhere=elsewhere)
    sink.assigned(PARTITION, None)
    sink.write(batch([("a", "no"), ("b", "yes"), ("c", "yes")], 0, 3))
    sink.flush()
    assert disk == {12: ("b", "yes"), 14: ("c", "yes")}
    sink.close()
    assert elsewhere.closed


def staff(rows: pa.RecordBatch) -> np.ndarray:
    return np.array([status.startswith("staff") for status in rows["status"].to_pylist()], bool)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["yes", "no", "staff yes", "staff no"])), max_size=30),
    st.lists(st.tuples(st.integers(1, 7), st.sampled_from(["go on", "flush", "crash"])), max_size=30),
)
def test_a_staff_decision_passes_once_wherever_it_comes_and_a_customer_s_later_answer_does_not(
    log: list[tuple[str, str]], steps: list[tuple[int, str]]
) -> None:
    disk: dict[int, tuple[str, str]] = {}
    progress = [0]

    def restart() -> tuple[FirstAnswers, int]:
        sink = FirstAnswers(DurableSink(disk, progress), also=staff)
        sink.assigned(PARTITION, None)
        return sink, 0

    sink, position = restart()
    for size, then in [*steps, (len(log) + 1, "flush")]:
        end = min(position + size, len(log))
        if end > position:
            sink.write(batch(log, position, end))
            position = end
        if then == "flush":
            sink.flush()
        elif then == "crash":
            sink, position = restart()
    first = {case: index for index, (case, _) in reversed(list(enumerate(log)))}
    counting = {
        10 + 2 * index: row for index, row in enumerate(log) if first[row[0]] == index or row[1].startswith("staff")
    }
    assert disk == counting


def test_a_staff_decision_passes_whatever_lies_in_another_partition() -> None:
    class Elsewhere:
        def catch_up(self) -> None: ...

        def first_place(self, case: str) -> tuple[int, int, int] | None:
            return 1, 3, 70

        def close(self) -> None: ...

    disk: dict[int, tuple[str, str]] = {}
    sink = FirstAnswers(DurableSink(disk, [0]), elsewhere=Elsewhere(), also=staff)
    sink.assigned(PARTITION, None)
    sink.write(batch([("a", "yes"), ("a", "staff no")], 0, 2))
    sink.flush()
    assert disk == {12: ("a", "staff no")}
