"""Compaction of a day on Dataproc Serverless; before and after it, the one machine's own protocol."""

import json
from datetime import date
from typing import Any

from airflow.providers.google.cloud.operators.dataproc import DataprocCreateBatchOperator
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from fraudstream.errors import SettingsError
from fraudstream.lake.compaction.spark import CONFIGURATION, catalog_configuration, prepare
from fraudstream.orchestration.connections import GOOGLE, lake_with_tables
from fraudstream.settings import ROOT, Settings, get_settings

_CODE = ROOT / "include" / "spark" / "compact.py"


class PrepareSparkJob(BaseOperator):
    """Writes the job, and the code that does it, to the lake; returns the job's name. Skips a day that is done."""

    template_fields = ("folder", "day")

    def __init__(self, *, folder: str, day: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.day = day

    def execute(self, context: Context) -> str:
        """:raises LakeError: the day can't be listed"""
        lake = lake_with_tables(get_settings())
        job = prepare(lake, self.folder, date.fromisoformat(self.day))
        if job is None:
            raise AirflowSkipException(f"{self.folder} of {self.day} has no JSON that isn't compacted")
        code = job.removesuffix("job.json") + _CODE.name
        lake.store.create(code, _CODE.read_bytes(), content_type="text/x-python", metadata={})
        self.log.info("job gs://%s/%s", lake.store.bucket, job)
        return job


class RunSparkJob(DataprocCreateBatchOperator):
    """Runs a prepared job as a batch of Dataproc Serverless; waits in the triggerer.

    Project, region, service account and subnetwork are settings, everything else is include/spark/batch.json.
    """

    template_fields = (*DataprocCreateBatchOperator.template_fields, "job")

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(region="", batch={}, batch_id_prefix="compact", gcp_conn_id=GOOGLE, deferrable=True, **kwargs)
        self.job = job

    def execute(self, context: Context) -> Any:
        """:raises SettingsError: FRAUDSTREAM_DATAPROC_PROJECT or _REGION is missing"""
        settings = get_settings()
        self.batch = batch_of(settings, self.job)
        self.project_id, self.region = settings.dataproc_project, settings.dataproc_region
        return super().execute(context)


def batch_of(settings: Settings, job: str) -> dict[str, Any]:
    """What Dataproc is asked to run for a job.

    :raises SettingsError: project or region is missing
    """
    missing = [name for name in ("dataproc_project", "dataproc_region") if not getattr(settings, name)]
    if missing:
        variables = " and ".join(f"FRAUDSTREAM_{name.upper()}" for name in missing)
        raise SettingsError(f"Spark is asked for, but {variables} is empty: set it, or use the engine one_machine")
    batch: dict[str, Any] = json.loads((ROOT / "include" / "spark" / "batch.json").read_text())
    root = f"gs://{settings.lake_bucket}"
    folder = f"{root}/{job.removesuffix('job.json')}"
    batch["pyspark_batch"] = {"main_python_file_uri": f"{folder}{_CODE.name}", "args": [root, job]}
    batch["runtime_config"]["properties"] |= CONFIGURATION | catalog_configuration()
    place = {
        "service_account": settings.dataproc_service_account,
        "subnetwork_uri": settings.dataproc_subnetwork,
    }
    batch["environment_config"] = {"execution_config": {name: value for name, value in place.items() if value}}
    return batch
