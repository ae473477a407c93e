"""Writes the mail log that send_mail would write for the records in a folder of the lake, without sending mails.

Argument: folder of the lake. Each record gets a line with status sent. Sending seven million mails would take longer
than the rest of the benchmark.
"""

import io
import sys

import polars as pl
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream import names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import Totals
from fraudstream.settings import Settings
from google.cloud import storage
from isal import igzip

from benchmarks.harness.outcome import timed

_KEPT = ("idTransaction", "topic", "partition", "offset", "recordTimestamp")


def lines(records: bytes) -> bytes:
    """Converts JSON lines of the lake to lines of the mail log."""
    rows = pl.read_ndjson(io.BytesIO(records)).select(_KEPT)
    logged = rows.select(
        pl.col("idTransaction"),
        pl.lit("notice").alias("kind"),
        pl.lit("customer@example.com").alias("recipient"),
        pl.format("<{}@example.com>", "idTransaction").alias("messageId"),
        pl.lit("sent").alias("status"),
        pl.lit("250 2.0.0 Ok").alias("reply"),
        pl.lit(1).alias("attempts"),
        pl.col("recordTimestamp").alias("firstTriedAt"),
        pl.col("recordTimestamp").alias("finishedAt"),
        *_KEPT[1:],
    )
    out = io.BytesIO()
    logged.write_ndjson(out)
    return out.getvalue()


def main(folder: str) -> int:
    """Writes log lines for the records that the log doesn't have yet; returns their number."""
    store = Store(storage.Client(), Settings().lake_bucket)
    chain = AppendingChain(store, names.MAILS)
    ends: dict[object, int] = {}
    logged = 0
    for info in store.list(f"{folder}/"):
        link, named = Link.of(info), names.parse_object_name(info.name)
        if named is None:
            raise SystemExit(f"{info.name} is not an object of the lake")
        if link.partition not in ends:
            ends[link.partition] = chain.open(link.partition) or 0
        if link.end <= ends[link.partition]:
            continue
        body = igzip.compress(lines(igzip.decompress(store.download(info) or b"")), 1)
        totals = Totals(link.totals.rows, link.totals.offsets)
        ends[link.partition] = chain.append(link.partition, link.first, link.end, named.day, body, totals).end
        logged += link.totals.rows
    chain.settle()
    return logged


if __name__ == "__main__":
    with timed() as work:
        work.items = main(sys.argv[1])
