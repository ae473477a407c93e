"""Compaction of a day with Spark on Dataproc Serverless. Its first and last steps are those of one_machine."""

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
    """Writes a Spark job and its code to the lake; returns the job's object name. Skips a day that is compacted."""

    template_fields = ("folder", "day")

    def __init__(self, *, folder: str, day: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.day = day

    def execute(self, context: Context) -> str:
        """Writes the job and returns its object name.

        :raises AirflowSkipException: the day has no JSON to compact
        :raises LakeError: the day can't be listed
        """
        lake = lake_with_tables(get_settings())
        job = prepare(lake, self.folder, date.fromisoformat(self.day))
        if job is None:
            raise AirflowSkipException(f"{self.folder} of {self.day} has no JSON that isn't compacted")
        code = job.removesuffix("job.json") + _CODE.name
        lake.store.create(code, _CODE.read_bytes(), content_type="text/x-python", metadata={})
        self.log.info("job gs://%s/%s", lake.store.bucket, job)
        return job


class RunSparkJob(DataprocCreateBatchOperator):
    """Runs a prepared job as a batch of Dataproc Serverless, and waits for it in the triggerer.

    Project, region, service account and subnetwork are settings. include/spark/batch.json has everything else.
    """

    template_fields = (*DataprocCreateBatchOperator.template_fields, "job")

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(region="", batch={}, batch_id_prefix="compact", gcp_conn_id=GOOGLE, deferrable=True, **kwargs)
        self.job = job

    def execute(self, context: Context) -> Any:
        """Runs the batch.

        :raises SettingsError: FRAUDSTREAM_DATAPROC_PROJECT or _REGION is missing
        """
        settings = get_settings()
        self.batch = batch_of(settings, self.job)
        self.project_id, self.region = settings.dataproc_project, settings.dataproc_region
        return super().execute(context)


def batch_of(settings: Settings, job: str) -> dict[str, Any]:
    """The batch that Dataproc runs for a job.

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
