"""Spark Structured Streaming's file sink: one driver, writes JSON lines to disk."""

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fraudstream.settings import ROOT

from benchmarks.shootout import artifacts
from benchmarks.shootout.fleet import Command
from benchmarks.shootout.readers import Files, Reader, ids_in_file
from benchmarks.shootout.sinks.subject import FLUSH_SECONDS, Subject, Trial
from local.programs import spark

_JOB = ROOT / "benchmarks" / "shootout" / "spark_job.py"
_SCHEMA = ROOT / "include" / "schemas" / "transaction.avsc"
_BROKERS = "FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"
_LOG = "_spark_metadata"


class SparkFiles(Subject):
    """A second worker is a second driver on the same checkpoint, as a scheduler would start it for a lost driver."""

    name = "spark"
    has_group = False

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial)
        spark.make_environment()
        self._jars = artifacts.classpath("spark")

    def command(self, worker: int) -> Command:
        jars = ",".join(map(str, self._jars))
        options = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.sql.shuffle.partitions": "4"}
        return Command(
            [
                spark.ENVIRONMENT / "bin" / "spark-submit",
                *("--master", "local[2]", "--driver-memory", "1g", "--jars", jars),
                *(part for name, value in options.items() for part in ("--conf", f"{name}={value}")),
                *(_JOB, self.trial.topic, _SCHEMA, self.trial.files, self.trial.folder / "checkpoint", FLUSH_SECONDS),
            ],
            {**spark.environment(), _BROKERS: self.trial.environment[_BROKERS]},
        )

    def reader(self) -> Reader:
        return Files(self.trial.files, ids_in_file)

    def other_reader(self) -> tuple[str, Reader]:
        return "Spark's own reader", Committed(self.trial.files)


class Committed(Reader):
    """Reads only the files that the sink's log names, as Spark's own reader does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self) -> list[str]:
        return [one for path in sorted(self._committed()) for one in ids_in_file(path)]

    def _committed(self) -> set[Path]:
        entries: list[str] = []
        for log in (self._folder / _LOG).glob("[0-9]*"):
            entries += log.read_text().splitlines()[1:]  # the first line is the format's version
        return {Path(unquote(urlsplit(json.loads(entry)["path"]).path)) for entry in entries}
