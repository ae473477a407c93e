"""Spark's part of a compaction: JSON lines of one day to sorted Parquet files, and what was read of each object.

    spark-submit --py-files plugins/fraudstream/lake/compaction/checksum.py include/spark/compact.py LAKE JOB

LAKE is the root of the lake (gs://bucket, or file:///folder), JOB the name of a job in it. What the job asks for and
what becomes of the result: fraudstream/lake/compaction/spark.py. The steps:

1. read the job's objects with its schema; a line that doesn't fit fails the job
2. count and sum what was read, object by object, with the checksum of fraudstream/lake/compaction/checksum.py
3. write the rows, sorted over all files, to files/ beside the job
4. write what was counted to result/ beside the job, last of all: no result, no compaction

Nothing outside the job's own folder is changed, so that it can be killed and run again at any time.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

_CHECKSUM_OF_BATCH = "checksum STRING"


def main(lake: str, job_name: str) -> None:
    """Does one job."""
    spark = SparkSession.builder.appName(f"compact {job_name}").getOrCreate()
    # Only sessions can be given these, and a job may run in a session that others configured.
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MILLIS")
    lake = lake.rstrip("/")
    folder = f"{lake}/{job_name.removesuffix('/job.json')}"
    job = json.loads(spark.read.text(f"{lake}/{job_name}", wholetext=True).first()[0])
    # 1. read
    rows = _read(spark, lake, job).persist(StorageLevel.DISK_ONLY)
    # 2. count and sum
    objects = _objects(rows, lake)
    columns = [name for _, name in job["columns"]]
    total = _checksum(rows.select(columns))
    # 3. write
    _write(rows.select(columns), f"{folder}/files", job)
    # 4. result
    result = {"rows": sum(found["rows"] for found in objects), "checksum": f"{total:016x}", "objects": objects}
    spark.createDataFrame([(json.dumps(result),)], "value STRING").coalesce(1).write.mode("overwrite").text(
        f"{folder}/result"
    )
    spark.stop()


def _read(spark: SparkSession, lake: str, job: dict[str, Any]) -> DataFrame:
    lines = spark.read.schema(job["schema"]).option("mode", "FAILFAST")
    columns = [f.col(path).alias(name) for path, name in job["columns"]]
    return lines.json([f"{lake}/{name}" for name in job["sources"]]).select(
        *columns, f.col("_metadata.file_path").alias("_object")
    )


def _objects(rows: DataFrame, lake: str) -> list[dict[str, Any]]:
    counted = rows.groupBy("_object").agg(
        f.count(f.lit(1)).alias("rows"),
        f.count_distinct("offset").alias("offsets"),
        f.min("offset").alias("first"),
        f.max("offset").alias("last"),
        f.sort_array(f.collect_set("topic")).alias("topics"),
        f.sort_array(f.collect_set("partition")).alias("partitions"),
        f.count_if(f.col("recordTimestamp").isNull()).alias("without_time"),
    )
    root = lake.split(":", 1)[1].lstrip("/") + "/"
    found = []
    for row in counted.toLocalIterator():
        _, _, name = row["_object"].partition(root)
        if row["without_time"]:
            raise ValueError(f"object {name} holds lines without recordTimestamp: move it away")
        found.append({key: value for key, value in row.asDict().items() if not key.startswith("_")} | {"name": name})
    return sorted(found, key=lambda one: str(one["name"]))


def _checksum(rows: DataFrame) -> int:
    def of_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from checksum import add, checksum  # noqa: PLC0415  # comes with --py-files, to the executors only

        total = 0
        for batch in batches:
            total = add(total, checksum(pa.Table.from_batches([batch]).cast(_in_milliseconds(batch.schema))))
        yield pa.record_batch([pa.array([f"{total:016x}"])], names=["checksum"])

    sums = rows.mapInArrow(of_partition, _CHECKSUM_OF_BATCH).collect()
    return sum(int(row[0], 16) for row in sums) & ((1 << 64) - 1)


def _in_milliseconds(schema: pa.Schema) -> pa.Schema:
    """The lake's types: Spark's own times count microseconds."""
    fields = [
        pa.field(field.name, pa.timestamp("ms", "UTC")) if pa.types.is_timestamp(field.type) else field
        for field in schema
    ]
    return pa.schema(fields)


def _write(rows: DataFrame, path: str, job: dict[str, Any]) -> None:
    writer = (
        rows.repartitionByRange(job["files"], *job["order"])
        .sortWithinPartitions(*job["order"])
        .write.mode("overwrite")
        .option("compression", "zstd")
        .option("parquet.block.row.count.limit", job["row_group_rows"])
    )
    for name in job["bloom_filters"]:
        writer = writer.option(f"parquet.bloom.filter.enabled#{name}", "true")
        writer = writer.option(f"parquet.bloom.filter.expected.ndv#{name}", job["row_group_rows"])
    writer.parquet(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
