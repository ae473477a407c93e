"""Converts the day's files on local disk to Parquet with Spark in local mode. Arguments: folder, result.

It runs in Spark's own environment. The start of the JVM isn't timed.
"""

import sys
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.harness.outcome import timed

_SCHEMA = """idTransaction STRING, timestamp TIMESTAMP, step INT, type STRING, amount DECIMAL(18,2), nameOrig STRING,
oldbalanceOrg DECIMAL(18,2), newbalanceOrig DECIMAL(18,2), nameDest STRING, oldbalanceDest DECIMAL(18,2),
newbalanceDest DECIMAL(18,2), isFraud INT, isFlaggedFraud INT, topic STRING, partition INT, offset BIGINT,
recordTimestamp TIMESTAMP"""

if __name__ == "__main__":
    folder, target = sys.argv[1:]
    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "2g")
    spark = builder.config("spark.ui.enabled", "false").config("spark.driver.host", "127.0.0.1").getOrCreate()
    spark.range(1).count()
    with timed() as work:
        spark.read.schema(_SCHEMA).json(f"file://{Path(folder).resolve()}").write.mode("overwrite").option(
            "compression", "zstd"
        ).parquet(f"file://{Path(target).resolve()}")
        java = Path(f"/proc/{spark.sparkContext._gateway.proc.pid}/status").read_text()
        work.items = spark.read.parquet(f"file://{Path(target).resolve()}").count()
        work.also["peak_rss_mib"] = int(java.split("VmHWM:")[1].split()[0]) / 1024
    spark.stop()
