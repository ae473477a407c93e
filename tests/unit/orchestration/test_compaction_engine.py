"""Which engine compacts a day, and the request to Dataproc."""

import pytest
from fraudstream.errors import SettingsError
from fraudstream.orchestration.operators.lake import BY_SIZE, ONE_MACHINE, SPARK, engine_for
from fraudstream.orchestration.operators.spark import batch_of
from fraudstream.settings import Settings

MIB = 1 << 20
JOB = "_spark/abc/job.json"


@pytest.mark.parametrize(
    ("asked", "size", "threshold", "engine"),
    [
        (BY_SIZE, 10**15, 0, ONE_MACHINE),
        (BY_SIZE, 10 * MIB - 1, 10, ONE_MACHINE),
        (BY_SIZE, 10 * MIB, 10, SPARK),
        (SPARK, 1, 0, SPARK),
        (ONE_MACHINE, 10**15, 1, ONE_MACHINE),
    ],
)
def test_the_days_size_decides_unless_an_engine_is_asked_for(asked, size, threshold, engine):
    assert engine_for(asked, size, Settings(lake_spark_mib=threshold)) == engine


@pytest.fixture
def catalog(monkeypatch):
    for name, value in {
        "TYPE": "rest",
        "URI": "https://biglake.googleapis.com/iceberg/v1/restcatalog",
        "WAREHOUSE": "gs://lake",
        "AUTH__TYPE": "google",
        "HEADER__X_GOOG_USER_PROJECT": "p",
        "HEADER__AUTHORIZATION": "Bearer secret-1",
        "TOKEN": "secret-2",
    }.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__FRAUDSTREAM__{name}", value)


def test_a_batch_runs_the_jobs_own_code_on_the_lake(catalog):
    settings = Settings(
        lake_bucket="lake",
        dataproc_project="p",
        dataproc_region="europe-west1",
        dataproc_service_account="spark@p.iam.gserviceaccount.com",
    )
    batch = batch_of(settings, JOB)
    assert batch["pyspark_batch"] == {
        "main_python_file_uri": "gs://lake/_spark/abc/compact.py",
        "args": ["gs://lake", JOB],
    }
    assert batch["environment_config"]["execution_config"] == {"service_account": "spark@p.iam.gserviceaccount.com"}
    assert batch["runtime_config"]["version"] == "3.0"
    properties = batch["runtime_config"]["properties"]
    assert properties["spark.sql.ansi.doubleQuotedIdentifiers"] == "true"
    assert properties["spark.sql.catalog.fraudstream"] == "org.apache.iceberg.spark.SparkCatalog"
    assert properties["spark.sql.catalog.fraudstream.warehouse"] == "gs://lake"
    assert properties["spark.sql.catalog.fraudstream.header.x-goog-user-project"] == "p"
    assert properties["spark.sql.catalog.fraudstream.rest.auth.type"].endswith("GoogleAuthManager")
    assert "secret-" not in str(batch)


def test_spark_without_a_catalog_that_its_machines_can_reach_is_refused(monkeypatch):
    monkeypatch.setenv("PYICEBERG_CATALOG__FRAUDSTREAM__TYPE", "sql")
    with pytest.raises(SettingsError, match="of type 'sql'"):
        batch_of(Settings(dataproc_project="p", dataproc_region="r"), JOB)


def test_spark_without_a_place_to_run_is_refused_with_the_settings_to_set():
    with pytest.raises(SettingsError, match="FRAUDSTREAM_DATAPROC_REGION is empty"):
        batch_of(Settings(dataproc_project="p"), JOB)
