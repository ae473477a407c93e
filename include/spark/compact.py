"""Spark's part of a compaction: JSON lines to a branch of an Iceberg table, and the control totals of what it has then.

    spark-submit --packages org.apache.iceberg:iceberg-spark-runtime-… include/spark/compact.py LAKE JOB

LAKE is the root of the lake (gs://bucket, or file:///folder), JOB the name of a job in it; the session's configuration
names the catalog. What the job asks for, and what becomes of its result: fraudstream/lake/compaction/spark.py.
The steps:

1. read the job's objects with its schema; a line that doesn't fit fails the job
2. make the branch at the job's snapshot, and append the rows that the job's SQL selects and sorts
3. sum what was appended, read from the branch, with the job's SQL
4. write the sums to result/ beside the job, last of all: no result, no compaction

Readers see nothing of it until the branch is published, so it can be killed and run again at any time.
"""

import json
import sys
from typing import Any

from pyspark.sql import SparkSession


def main(lake: str, job_name: str) -> None:
    """Does one job."""
    spark = SparkSession.builder.appName(f"compact {job_name}").getOrCreate()
    lake = lake.rstrip("/")
    folder = f"{lake}/{job_name.removesuffix('/job.json')}"
    job: dict[str, Any] = json.loads(spark.read.text(f"{lake}/{job_name}", wholetext=True).first()[0])
    # 1. read
    lines = spark.read.schema(job["schema"]).option("mode", "FAILFAST")
    lines.json([f"{lake}/{name}" for name in job["sources"]]).createOrReplaceTempView("lines")
    # 2. append
    spark.sql(job["branch"])
    writer = spark.sql(job["rows"]).writeTo(job["target"])
    for name, value in job["properties"].items():
        writer = writer.option(f"snapshot-property.{name}", value)
    writer.append()
    # 3. sum
    staged = spark.sql(f"SELECT snapshot_id FROM {job['table']}.refs WHERE name = 'compaction'").first()[0]  # noqa: S608
    added = spark.read.option("start-snapshot-id", job["base"]).option("end-snapshot-id", staged)
    added.table(job["table"]).createOrReplaceTempView("added")
    totals = [
        {name: value if value is None else str(value) for name, value in row.asDict().items()}
        for row in spark.sql(job["totals"]).collect()
    ]
    # 4. result
    result = json.dumps({"snapshot": staged, "totals": totals})
    spark.createDataFrame([(result,)], "value STRING").coalesce(1).write.mode("overwrite").text(f"{folder}/result")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
