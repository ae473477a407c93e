"""Writes a topic to JSON files with Spark.

Arguments: topic, file with the Avro schema, folder, folder of the checkpoint, seconds between batches.
"""

import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.avro.functions import from_avro
from pyspark.sql.functions import expr

#: Cuts off the 5 bytes that the Confluent wire format puts before a record: Spark's Avro can't use a registry.
_RECORD = "substring(value, 6, length(value) - 5)"

if __name__ == "__main__":
    topic, schema, folder, checkpoint, seconds = sys.argv[1:]
    spark = SparkSession.builder.getOrCreate()
    source = {
        "kafka.bootstrap.servers": os.environ["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
        "subscribe": topic,
        "startingOffsets": "earliest",
    }
    rows = spark.readStream.format("kafka").options(**source).load()
    rows = rows.select(from_avro(expr(_RECORD), Path(schema).read_text()).alias("row")).select("row.*")
    sink = rows.writeStream.format("json").option("path", folder).option("checkpointLocation", checkpoint)
    sink.trigger(processingTime=f"{seconds} seconds").start().awaitTermination()
