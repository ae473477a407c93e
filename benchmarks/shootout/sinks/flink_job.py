"""Writes a topic to JSON files with Flink.

Arguments: topic, folder, folder of the checkpoints, seconds between checkpoints, jars, checkpoint to start from or "".
"""

import os
import sys

from pyflink.table import EnvironmentSettings, TableEnvironment

#: All columns except `type`: Flink's Avro format can't read enums.
_COLUMNS = """idTransaction STRING, `timestamp` TIMESTAMP(3), step INT, amount BIGINT, nameOrig STRING,
oldbalanceOrg BIGINT, newbalanceOrig BIGINT, nameDest STRING, oldbalanceDest BIGINT, newbalanceDest BIGINT,
isFraud INT, isFlaggedFraud INT"""

if __name__ == "__main__":
    topic, folder, checkpoints, seconds, jars, start = sys.argv[1:]
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, value in {
        "pipeline.jars": jars,
        "parallelism.default": "2",
        "execution.checkpointing.interval": f"{seconds} s",
        "execution.checkpointing.dir": checkpoints,
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "1000",
        **({"execution.state-recovery.path": start} if start else {}),
    }.items():
        tables.get_config().set(name, value)
    tables.execute_sql(f"""CREATE TABLE records ({_COLUMNS}) WITH (
        'connector' = 'kafka', 'topic' = '{topic}', 'scan.startup.mode' = 'earliest-offset',
        'properties.bootstrap.servers' = '{os.environ["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"]}',
        'format' = 'avro-confluent', 'avro-confluent.url' = '{os.environ["FRAUDSTREAM_SCHEMA_REGISTRY_URL"]}')""")
    tables.execute_sql(f"""CREATE TABLE files ({_COLUMNS}) WITH (
        'connector' = 'filesystem', 'path' = '{folder}', 'format' = 'json',
        'sink.rolling-policy.rollover-interval' = '{seconds} s', 'sink.rolling-policy.check-interval' = '1 s')""")
    tables.execute_sql("INSERT INTO files SELECT * FROM records").wait()
