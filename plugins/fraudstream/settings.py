"""Typed settings, read from the environment here and nowhere else.

Every field is the variable ``FRAUDSTREAM_<FIELD>`` in capitals; lists are separated by commas.
Secrets are :class:`pydantic.SecretStr`, so that no repr, log or traceback shows them. In containers they are files:
``fraudstream_<field>`` in the folder that ``FRAUDSTREAM_SECRETS_DIR`` names; a variable goes before a file.
"""

import os
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fraudstream.errors import SettingsError

#: The checkout (or the release bundle): where include/ lies beside plugins/.
ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "include" / "schemas"
TEMPLATES = ROOT / "include" / "templates"

#: The key that the local stack signs links with; refused for any other confirmation address than loopback.
EXAMPLE_CONFIRMATION_KEY = "local-stack-example-key-not-for-real-links"


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """What differs between one machine, containers and Google Cloud."""

    model_config = SettingsConfigDict(
        env_prefix="FRAUDSTREAM_", extra="ignore", secrets_dir=os.environ.get("FRAUDSTREAM_SECRETS_DIR")
    )

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094", description="brokers to start from, host:port, by comma"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients talk to the brokers"
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="used when the security protocol has SASL in it"
    )
    kafka_sasl_username: str = Field("", description="user for SASL")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="password for SASL")
    kafka_ssl_ca_location: str = Field("", description="file with the authority that signed the brokers' certificates")
    kafka_replication_factor: int = Field(3, ge=1, description="replicas of each topic that start_kafka creates")
    kafka_partitions: int = Field(6, ge=1, description="partitions of each topic that start_kafka creates")
    schema_registry_url: str = Field(
        "http://127.0.0.1:18081/apis/ccompat/v7", description="Confluent-compatible schema registry"
    )

    lake_bucket: str = Field("fraudstream-lake", description="bucket of the lake, without gs://")
    lake_flush_seconds: float = Field(5.0, gt=0, description="longest time a record waits before its object is written")
    lake_flush_rows: int = Field(50_000, ge=1, description="rows of one topic-partition that make an object at once")
    lake_target_mib: int = Field(256, ge=1, description="about the size of a Parquet file that compact_lake writes")
    lake_spark_mib: int = Field(
        0, ge=0, description="gzipped JSON of one day and folder, in MiB, from which on Spark compacts it; 0: never"
    )
    dataproc_project: str = Field("", description="Google Cloud project in which Dataproc Serverless runs Spark")
    dataproc_region: str = Field("", description="region in which Dataproc Serverless runs Spark")
    dataproc_service_account: str = Field("", description="who Spark reads and writes the lake as")
    dataproc_subnetwork: str = Field("", description="subnetwork, with Private Google Access, of Spark's machines")
    dataset: str = Field(
        "gs://fraudstream-lake/dataset/paysim.csv",
        description="what produce_transactions replays when no source is given: gs://bucket/object or a path",
    )
    dataset_start_date: datetime = Field(
        datetime(2023, 10, 1, tzinfo=UTC), description="time of step 0 of the dataset; a step is one hour"
    )

    mail_sender: str = Field("Example Bank <no-reply@bank.example>", description="From of every mail")
    mail_recipient_template: str = Field(
        "{nameOrig}@example.com", description="address of a customer, made of the transaction's columns"
    )
    mail_safe_mode: bool = Field(True, description="send only to recipients that mail_allowed_recipients matches")
    mail_allowed_recipients: Annotated[list[str], NoDecode] = Field(
        ["*@example.com"], description="patterns (shell style, by comma) that safe mode lets through"
    )
    mail_connections: int = Field(8, ge=1, le=64, description="SMTP connections of one send_mail worker")
    mail_batch_rows: int = Field(500, ge=1, description="mails in flight at most: what a crash may send twice")
    mail_attempts: int = Field(8, ge=1, description="tries of a mail that the server answers 4xx, before it is failed")

    confirmation_url: str = Field("http://127.0.0.1:8085", description="address of the confirmation site in the mails")
    confirmation_keys: Annotated[list[SecretStr], NoDecode] = Field(
        [SecretStr(EXAMPLE_CONFIRMATION_KEY)],
        description="keys for the links, by comma: the first signs, all are accepted",
    )
    confirmation_time_limit_seconds: int = Field(
        72 * 3600, ge=1, description="how long a case waits for its customer before the outcome is NO_RESPONSE"
    )
    confirmation_cases_per_second: float = Field(
        40,
        gt=0,
        description="cases that an open_cases task opens a second at most: what Airflow's scheduler keeps up with",
    )
    confirmation_bind: str = Field("127.0.0.1:8085", description="host:port the confirmation site listens on")
    confirmation_health_bind: str = Field(
        "127.0.0.1:8086", description="host:port of the site's /health/live, /health/ready and /metrics"
    )
    confirmation_trusted_proxies: Annotated[list[str], NoDecode] = Field(
        [], description="addresses or networks, by comma, whose X-Forwarded-For and -Proto headers are believed"
    )
    confirmation_requests_per_minute: int = Field(
        300, ge=1, description="requests that the site answers for one client address in a minute"
    )

    compute_project: str = Field("", description="Google Cloud project of compute_instances")
    compute_instances: Annotated[list[str], NoDecode] = Field(
        [], description="zone/name of each Kafka VM, by comma; empty: start_kafka and stop_kafka leave machines alone"
    )

    queue_producer: str = Field("default", description="Celery queue of the producer's tasks")
    queue_consumer_fraud: str = Field("default", description="Celery queue of the tasks that read the fraud topics")
    queue_consumer_non_fraud: str = Field(
        "default", description="Celery queue of the tasks that read non_fraud_transaction"
    )

    @field_validator(
        "mail_allowed_recipients",
        "confirmation_keys",
        "confirmation_trusted_proxies",
        "compute_instances",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _comma_separated(value)

    @field_validator("compute_instances")
    @classmethod
    def _zone_and_name(cls, value: list[str], info: ValidationInfo) -> list[str]:
        wrong = [instance for instance in value if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", instance)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))} is no zone/name, such as us-central1-a/kafka-1")
        if value and not info.data.get("compute_project"):
            raise ValueError("instances need a project: set FRAUDSTREAM_COMPUTE_PROJECT too")
        return value

    @field_validator("dataset_start_date")
    @classmethod
    def _utc(cls, value: datetime) -> datetime:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @property
    def confirmation_time_limit(self) -> timedelta:
        """How long a case waits for its customer."""
        return timedelta(seconds=self.confirmation_time_limit_seconds)

    def kafka_config(self, **properties: Any) -> dict[str, Any]:
        """librdkafka properties that reach the brokers, with `properties` on top.

        :raises SettingsError: what the security protocol needs isn't there
        """
        config: dict[str, Any] = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
        }
        if "SASL" in self.kafka_security_protocol:
            if not self.kafka_sasl_username or not self.kafka_sasl_password.get_secret_value():
                raise SettingsError(
                    f"FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL is {self.kafka_security_protocol}, but "
                    f"FRAUDSTREAM_KAFKA_SASL_USERNAME or FRAUDSTREAM_KAFKA_SASL_PASSWORD is empty: set both"
                )
            config["sasl.mechanism"] = self.kafka_sasl_mechanism
            config["sasl.username"] = self.kafka_sasl_username
            config["sasl.password"] = self.kafka_sasl_password.get_secret_value()
        if self.kafka_ssl_ca_location:
            if not Path(self.kafka_ssl_ca_location).is_file():
                raise SettingsError(
                    f"FRAUDSTREAM_KAFKA_SSL_CA_LOCATION is {self.kafka_ssl_ca_location!r}, where no file is: give the "
                    f"certificate (PEM) of the authority that signed the brokers' certificates"
                )
            config["ssl.ca.location"] = self.kafka_ssl_ca_location
        return config | properties


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment once.

    :raises SettingsError: a variable has an unusable value; the message names each one
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"FRAUDSTREAM_{'_'.join(str(part) for part in e['loc']).upper()}: {e['msg']}" for e in error.errors()
        )
        raise SettingsError(f"unusable settings in the environment: {wrong}") from None
