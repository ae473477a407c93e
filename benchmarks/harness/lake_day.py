"""Generates a day of the lake as write_lake would have written it: gzipped JSON lines, on disk and in a bucket."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from fraudstream.kafka.avro.codec import arrow_schema
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Batch, Partition
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import GZIP, ObjectStore
from fraudstream.lake.stream import lines, names, progress
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.totals import Totals, totals_of, totals_of_lines
from fraudstream.lake.table.lake import Lake
from isal import igzip

from benchmarks.harness.dataset import paysim
from benchmarks.harness.stack import FOLDER

DAY = date(2023, 10, 7)
_MIDNIGHT = int(datetime(2023, 10, 7, tzinfo=UTC).timestamp() * 1000)
_PARTITIONS = 6
_MAILS_OF_AN_OBJECT = 2_000
_MONEY = sorted(lines.MONEY)
#: Name of the file, in a day's folder, with the control totals of each object.
_TOTALS = "totals.json"


def json_day(rows: int, objects: int) -> Path:
    """A folder with the objects of a day of `rows` transactions; it is generated once and kept for later benchmarks."""
    folder = FOLDER / f"lake-{rows}-{objects}-totals"
    if not folder.exists():
        part = folder.with_suffix(".part")
        _write(paysim(rows), objects, part)
        part.rename(folder)
    return folder


def cases_and_mails(store: Store, cases: int, mails: int) -> None:
    """Writes fraud cases of the same day, and a mail log in which one mail in a hundred failed."""
    moment = "2023-10-07T00:00:00.000Z"
    place = Partition(FRAUD_TRANSACTION, 0)
    frauds = [
        f'{{"idTransaction":"f-{n:09}","timestamp":"{moment}","step":1,"type":"{("TRANSFER", "CASH_OUT")[n % 2]}",'
        f'"amount":{n}.50,"nameOrig":"C{n}","oldbalanceOrg":{n}.50,"newbalanceOrig":0.00,"nameDest":"C{n + 1}",'
        f'"oldbalanceDest":0.00,"newbalanceDest":0.00,"isFraud":1,"isFlaggedFraud":0,"status":"PENDING",'
        f'"topic":"{place.topic}","partition":0,"offset":{n},"recordTimestamp":"{moment}"}}\n'
        for n in range(cases)
    ]
    _put_lines(store, names.FRAUD_CASES, place, 0, frauds)
    place = Partition(NON_FRAUD_TRANSACTION, 0)
    for start in range(0, mails, _MAILS_OF_AN_OBJECT):
        log = [
            f'{{"idTransaction":"b-{n:012}","kind":"notice","recipient":"C{n}@example.com","messageId":"<{n}@bank>",'
            f'"status":"{"failed" if n % 100 == 0 else "sent"}","reply":"{550 if n % 100 == 0 else 250} said it",'
            f'"attempts":1,"firstTriedAt":"{moment}","finishedAt":"{moment}","topic":"{place.topic}","partition":0,'
            f'"offset":{n},"recordTimestamp":"{moment}"}}\n'
            for n in range(start, min(start + _MAILS_OF_AN_OBJECT, mails))
        ]
        _put_lines(store, names.MAILS, place, start, log)


def _put_lines(store: Store, folder: str, place: Partition, start: int, log: list[str]) -> None:
    link = Link(place, start, start, start + len(log), totals_of_lines([line.encode() for line in log], ()))
    body = igzip.compress("".join(log).encode(), 1)
    store.create(names.object_name(folder, DAY, *place, start), body, content_type=GZIP, metadata=link.metadata())
    settle(store, folder, {place: link.end})


def without_tables(lake: Lake) -> None:
    """Drops the tables that an earlier round created, so that the JSON is compacted again."""
    for folder in names.FOLDERS:
        if lake.tables.load(folder) is not None:
            lake.tables.catalog.drop_table((lake.tables.namespace, folder))


def upload_day(store: Store, folder: Path) -> None:
    """Uploads a day's objects to an empty bucket, and writes the progress of each partition."""
    totals = json.loads((folder / _TOTALS).read_text())

    def put(path: Path) -> Link:
        name = path.relative_to(folder).as_posix()
        parsed = names.parse_object_name(name)
        if parsed is None:
            raise ValueError(f"{path} isn't named like an object of the lake")
        first, of_object = parsed.first_offset, Totals.from_json(totals[name])
        link = Link(parsed.partition, first, first, first + of_object.rows, of_object)
        store.create(name, path.read_bytes(), content_type=GZIP, metadata=link.metadata())
        return link

    with ThreadPoolExecutor(4) as pool:
        links = list(pool.map(put, sorted(folder.rglob("*.json.gz"))))
    ends: dict[Partition, int] = {}
    for link in links:
        ends[link.partition] = max(link.end, ends.get(link.partition, 0))
    settle(store, names.TRANSACTIONS, ends)


def settle(store: ObjectStore, folder: str, ends: Mapping[Partition, int]) -> None:
    """Sets the progress of each partition to its end offset, as the consumer that writes the objects does."""
    for partition, end in ends.items():
        there = progress.load(store, folder, partition)
        progress.save(store, folder, partition, Progress(end, there.generation if there else 0, day=DAY))


def _write(source: Path, objects: int, folder: Path) -> None:
    (folder / names.day_prefix(names.TRANSACTIONS, DAY)).mkdir(parents=True, exist_ok=True)
    frame = _frame(source)
    schema = arrow_schema(NON_FRAUD_TRANSACTION)
    table = frame.select(schema.names).to_arrow().cast(schema)
    ends = np.linspace(0, len(table), objects + 1).astype(int)
    offsets = [0] * _PARTITIONS
    totals = {}
    for number, (start, end) in enumerate(pairwise(ends)):
        partition = Partition(NON_FRAUD_TRANSACTION, number % _PARTITIONS)
        first, count = offsets[partition.number], int(end - start)
        offsets[partition.number] += count
        batch = Batch(
            partition,
            np.arange(first, first + count),
            np.full(count, _MIDNIGHT) + number,
            _one_batch(table.slice(start, count)),
            first + count,
        )
        name = names.object_name(names.TRANSACTIONS, DAY, *partition, first)
        (folder / name).write_bytes(igzip.compress(bytes(lines.transaction(batch)), 1))
        totals[name] = totals_of(batch.offsets, batch.rows).to_json()
    (folder / _TOTALS).write_text(json.dumps(totals))


def batch_of(rows: int, partition: Partition, first: int, midnight: int) -> Batch:
    """A batch of a topic-partition from offset `first` on, with `rows` rows of the data set.

    :param midnight: timestamp of all records, in milliseconds since 1970
    """
    frame = _frame(paysim(rows))
    schema = arrow_schema(NON_FRAUD_TRANSACTION)
    made = _one_batch(frame.select(schema.names).to_arrow().cast(schema))
    return Batch(partition, np.arange(first, first + rows), np.full(rows, midnight), made, first + rows)


def _frame(source: Path) -> pl.DataFrame:
    """The data set with the columns and types of decoded records."""
    frame = pl.read_csv(source, schema_overrides=dict.fromkeys(_MONEY, pl.String))
    return frame.with_row_index("row").with_columns(
        pl.col(_MONEY).str.to_decimal(scale=2).cast(pl.Decimal(18, 2)).mul(100).cast(pl.Int64),
        pl.format("b-{}", pl.col("row").cast(pl.String).str.zfill(12)).alias("idTransaction"),
        (pl.lit(_MIDNIGHT) + pl.col("step") * 3_600_000).cast(pl.Datetime("ms")).alias("timestamp"),
    )


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    (batch,) = table.combine_chunks().to_batches()
    return batch
