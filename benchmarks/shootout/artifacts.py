"""The peers' jars: downloaded from Maven Central to the stack's cache, and checked against ``artifacts.lock``.

``python -m benchmarks.shootout.artifacts`` resolves the versions below again and rewrites the lock.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from local.programs import artifacts

_KAFKA = "4.3.1"
_ICEBERG = "1.11.0"
_HADOOP = "3.5.0"
_SPARK = "4.1.1"
#: For each part of the lock, the artifacts that are loaded together with all their dependencies.
ROOTS: dict[str, tuple[str, ...]] = {
    "connect": (f"org.apache.kafka:connect-runtime:{_KAFKA}", artifacts.KAFKA_LOGGING),
    "connect-file": (f"org.apache.kafka:connect-file:{_KAFKA}",),
    "connect-avro": ("io.apicurio:apicurio-registry-utils-converter:2.6.13.Final",),
    "connect-iceberg": (
        f"org.apache.iceberg:iceberg-kafka-connect:{_ICEBERG}",
        f"org.apache.iceberg:iceberg-parquet:{_ICEBERG}",
        f"org.apache.iceberg:iceberg-orc:{_ICEBERG}",
        "org.apache.avro:avro:1.12.1",  # Parquet depends on an older version, which doesn't work with Iceberg
        f"org.apache.hadoop:hadoop-client-api:{_HADOOP}",
        f"org.apache.hadoop:hadoop-client-runtime:{_HADOOP}",
        "org.xerial:sqlite-jdbc:3.54.1.0",
    ),
}
#: As `ROOTS`, but without dependencies: these jars contain them, or Flink and Spark have them.
ALONE: dict[str, tuple[str, ...]] = {
    "flink": (
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        "org.apache.flink:flink-sql-avro-confluent-registry:2.1.0",
    ),
    "spark": (
        f"org.apache.spark:spark-sql-kafka-0-10_2.13:{_SPARK}",
        f"org.apache.spark:spark-token-provider-kafka-0-10_2.13:{_SPARK}",
        f"org.apache.spark:spark-avro_2.13:{_SPARK}",
        "org.apache.kafka:kafka-clients:3.9.1",
        "org.apache.commons:commons-pool2:2.12.1",
    ),
}
LOCK = Path(__file__).with_name("artifacts.lock")


def classpath(part: str) -> list[Path]:
    """Returns the paths of a part's jars. Downloads those that aren't cached.

    :raises ArtifactError: a file has another checksum than the lock names
    """
    wanted = {coordinate: checksum for of, coordinate, checksum in _locked() if of == part}
    return list(artifacts.fetch_files(wanted, lambda _: None).values())


def _locked() -> Iterable[tuple[str, str, str]]:
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            part, coordinate, checksum = line.split(" ")
            yield part, coordinate, checksum


def _relock() -> None:
    found = {part: artifacts.resolved(roots) for part, roots in ROOTS.items()}
    found |= {part: artifacts.checksums(coordinates) for part, coordinates in ALONE.items()}
    lines = [
        f"{part} {coordinate} {checksum}" for part, files in found.items() for coordinate, checksum in files.items()
    ]
    LOCK.write_text(
        "# peer, coordinate and SHA-256 of each file; written by python -m benchmarks.shootout.artifacts\n"
        + "\n".join(lines)
        + "\n"
    )
    sys.stdout.write(f"{len(lines)} files locked in {LOCK.name}\n")


if __name__ == "__main__":
    _relock()
