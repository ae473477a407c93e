"""Typed settings. Only this module reads the environment.

The variable of a field is ``FRAUDSTREAM_<FIELD>``, in capitals. The elements of a list are separated by commas.
Secrets are :class:`pydantic.SecretStr`, so that no repr, log or traceback shows them. In containers they are files
named ``fraudstream_<field>`` in the folder ``FRAUDSTREAM_SECRETS_DIR``. A variable takes precedence over a file.
"""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fraudstream.errors import SettingsError
from fraudstream.kafka.client.client_config import PARTITIONER, RESERVED, client_config, unknown_property

#: The root of the checkout or of the release bundle, which contains include/ and plugins/.
ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "include" / "schemas"
TEMPLATES = ROOT / "include" / "templates"

#: All signing keys in this repository contain this word. They are refused if the site's URL is not a loopback address.
PUBLISHED_KEY = "example"

#: An example of each setting that is a JSON object, for error messages.
_OBJECTS = {
    "bank_texts": '{"en": {"call": "…"}}',
    "kafka_properties": '{"socket.keepalive.enable": "true"}',
    "login_users": '{"me@example.com": "Admin"}',
}


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class DagSettings(BaseSettings):
    """The settings that DAG files read when they are parsed.

    DAG files read no other settings, so that an invalid value of another setting does not break their import.
    """

    model_config = SettingsConfigDict(
        env_prefix="FRAUDSTREAM_",
        extra="ignore",
        secrets_dir=os.environ.get("FRAUDSTREAM_SECRETS_DIR"),
        hide_input_in_errors=True,
    )

    lake_compaction: Literal["daily", "hourly"] = Field(
        "daily",
        description="when compact_lake runs: daily (only days that are over) or hourly (the current day too)",
    )
    queue_producer: str = Field("default", description="Celery queue of the producer's tasks")
    queue_consumer_fraud: str = Field("default", description="Celery queue of tasks on fraud and retry topics")
    queue_consumer_non_fraud: str = Field(
        "default", description="Celery queue of the tasks that read non_fraud_transaction"
    )


class Settings(DagSettings):
    """The settings that differ between one machine, containers and Google Cloud."""

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094",
        description="comma-separated addresses (host:port) of brokers",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="protocol between clients and brokers"
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism; used when the security protocol includes SASL"
    )
    kafka_sasl_username: str = Field("", description="SASL user")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="SASL password")
    kafka_ssl_ca_location: str = Field("", description="file with the CA certificate of the brokers' certificates")
    kafka_ssl_certificate_location: str = Field("", description="file with the client certificate, for mutual TLS")
    kafka_ssl_key_location: str = Field("", description="file with the private key of the client certificate")
    kafka_ssl_key_password: SecretStr = Field(SecretStr(""), description="password of that private key, if it has one")
    kafka_token_source: str = Field(
        "",
        description="source of OAUTHBEARER tokens: google, or module:function, a function that returns a token and the "
        "time at which it expires (seconds since 1970)",
    )
    kafka_properties: Annotated[dict[str, SecretStr], NoDecode] = Field(
        {}, description="additional librdkafka properties for every client, as a JSON object with string values"
    )
    kafka_replication_factor: int = Field(3, ge=1, description="replication factor of topics created by start_kafka")
    kafka_partitions: int = Field(6, ge=1, description="number of partitions of topics created by start_kafka")
    kafka_max_dead_letter_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="a consumer stops when more than this share of its last 10,000 records is invalid; fewer than 100 "
        "invalid records never stop it",
    )
    schema_registry_url: str = Field(
        "http://127.0.0.1:18081/apis/ccompat/v7", description="URL of the Confluent-compatible schema registry"
    )
    schema_registry_username: str = Field("", description="user at the schema registry, if it requires a login")
    schema_registry_password: SecretStr = Field(SecretStr(""), description="password of that user")
    schema_registry_ca_location: str = Field(
        "", description="file with the CA certificate of the registry's certificate"
    )

    lake_bucket: str = Field("fraudstream-lake", description="bucket of the lake, without the prefix gs://")
    lake_flush_seconds: float = Field(5.0, gt=0, description="longest time a record waits before its object is written")
    lake_flush_rows: int = Field(50_000, ge=1, description="rows after which a topic-partition's object is written")
    lake_catalog_uri: SecretStr = Field(
        SecretStr(""),
        description="URI of the Iceberg catalog if its type is sql; a secret, as it contains a password. Empty: "
        "pyiceberg's own configuration gives the URI (PYICEBERG_CATALOG__FRAUDSTREAM__URI)",
    )
    lake_target_mib: int = Field(256, ge=1, description="approximate size of a compacted Parquet file, in MiB")
    lake_keep_snapshots_hours: float = Field(
        72, ge=1, description="how long old table snapshots, and files that belong to no snapshot, are kept"
    )
    lake_spark_mib: int = Field(
        0, ge=0, description="Spark compacts a folder's day from this size of gzipped JSON on, in MiB; 0: never"
    )
    dataproc_project: str = Field("", description="Google Cloud project of Dataproc Serverless, which runs Spark")
    dataproc_region: str = Field("", description="region of Dataproc Serverless")
    dataproc_service_account: str = Field("", description="service account with which Spark reads and writes the lake")
    dataproc_subnetwork: str = Field("", description="subnetwork of the Spark machines; it needs Private Google Access")
    dataset: str = Field(
        "gs://fraudstream-lake/dataset/paysim.csv",
        description="file that produce_transactions reads when no source is given: gs://bucket/object or a path",
    )
    dataset_start_date: datetime = Field(
        datetime(2023, 10, 1, tzinfo=UTC), description="time of step 0 of the dataset; a step is one hour"
    )

    bank_name: str = Field("Example Bank", min_length=1, description="the bank's name, on every page and in every mail")
    bank_texts: Annotated[dict[str, dict[str, str]], NoDecode] = Field(
        {},
        description="the bank's own sentences, which replace those in include/templates/texts.toml, as a JSON "
        'object: {"en": {"call": "…"}}; a language that the file does not have needs every sentence',
    )
    bank_phone: str = Field(
        "", description="phone number for customers on pages and in mails; empty: “the number on the back of your card”"
    )
    bank_currency: str = Field(
        "", description="currency before each amount on pages and in mails, such as USD; empty: none is shown"
    )
    bank_language: str = Field(
        "en", description="language of mails and pages if neither the customer directory nor the browser names one"
    )
    bank_time_zone: str = Field(
        "UTC",
        description="time zone of the times on pages, and in mails to customers without one in the customer directory, "
        "such as Asia/Jakarta",
    )

    customer_directory: str = Field(
        "",
        description="table of the customers' addresses, languages, time zones and names: a CSV or Parquet file "
        "(gs://bucket/object or a path) or postgres:table; empty: addresses come from mail_recipient_template",
    )
    customer_database_uri: SecretStr = Field(
        SecretStr(""),
        description="database of a directory postgres:table, such as postgresql://user:password@host/database",
    )

    mail_sender: str = Field("Example Bank <no-reply@bank.example>", description="From header of every mail")
    mail_envelope_sender: str = Field(
        "", description="envelope sender, to which mail servers return mails; empty: the address of mail_sender"
    )
    mail_reply_to: str = Field("", description="Reply-To header of every mail; empty: replies go to mail_sender")
    mail_ehlo_name: str = Field(
        "", description="host name that send_mail gives in EHLO; empty: the fully qualified name of its host"
    )
    mail_bounce_keys: Annotated[list[SecretStr], NoDecode] = Field(
        [],
        description="comma-separated keys that sign the return address of each mail, so that a bounce identifies "
        "its mail. The first key signs, all keys are accepted. Empty: return addresses are not signed",
    )
    mail_bounce_bind: str = Field(
        "127.0.0.1:8025", description="host:port on which `python -m fraudstream.mail bounces` receives returned mails"
    )
    mail_webhook_bind: str = Field(
        "127.0.0.1:8026",
        description="host:port of the same program for the mail provider's webhook and /metrics",
    )
    mail_webhook_keys: Annotated[list[SecretStr], NoDecode] = Field(
        [], description="comma-separated keys with which the mail provider signs its requests; empty: no webhook"
    )
    mail_recipient_template: str = Field(
        "{nameOrig}@example.com",
        description="template of a customer's address if there is no customer_directory; it can use the transaction's "
        "columns",
    )
    mail_amount_in_subject: bool = Field(
        False, description="show the amount in the subject, which phones show on the lock screen"
    )
    mail_safe_mode: bool = Field(True, description="send mail only to recipients that match mail_allowed_recipients")
    mail_allowed_recipients: Annotated[list[str], NoDecode] = Field(
        ["*@example.com"],
        description="comma-separated shell-style patterns of the recipients that safe mode allows",
    )
    mail_connections: int = Field(8, ge=1, le=64, description="number of SMTP connections of one send_mail task")
    mail_batch_rows: int = Field(500, ge=1, description="maximum number of mails in flight; a crash can resend them")
    mail_attempts: int = Field(
        8, ge=1, description="maximum number of times that the content of a mail is sent without a reply"
    )
    mail_retry_hours: float = Field(
        24, gt=0, description="how long a deferred mail is sent again before it is marked as failed"
    )
    mail_per_second: float = Field(
        0, ge=0, description="maximum number of mails per second of one send_mail task; 0: no limit"
    )

    alert_address: str = Field(
        "", description="recipient of mails about failed tasks, failing consumers and late runs; empty: no mails"
    )
    alert_conn_id: str = Field(
        "smtp_default",
        description="Airflow connection for these mails; best another server than for customers",
    )

    confirmation_url: str = Field("http://127.0.0.1:8085", description="URL of the confirmation site in the mails")
    confirmation_keys: Annotated[list[SecretStr], NoDecode] = Field(
        [],
        description="comma-separated keys that sign the links. The first key signs, all keys are accepted. Only "
        "the site and the task that mails fraud notices need them",
    )
    confirmation_time_limit_seconds: int = Field(
        72 * 3600,
        ge=1,
        description="how long a case waits for its customer after the mail server accepted the notice, or without that "
        "for its acceptance, before its outcome is NO_RESPONSE",
    )
    confirmation_cases_per_second: float = Field(
        40,
        gt=0,
        description="maximum number of cases per second that an open_cases task opens; limits the scheduler's load",
    )
    confirmation_reminders: Annotated[list[float], NoDecode] = Field(
        [0.5],
        description="comma-separated shares of the time limit, between 0 and 1, after which a customer who hasn't "
        "answered is reminded; empty: no reminders",
    )
    confirmation_escalation: float = Field(
        0.8, gt=0, le=1, description="share of the time limit after which a case without an answer is escalated"
    )
    confirmation_bind: str = Field("127.0.0.1:8085", description="host:port on which the confirmation site listens")
    confirmation_health_bind: str = Field(
        "127.0.0.1:8086", description="host:port of the site's /health/live, /health/ready, /health/kafka and /metrics"
    )
    confirmation_trusted_proxies: Annotated[list[str], NoDecode] = Field(
        [],
        description="comma-separated addresses or networks of the proxies in front of the site. The client "
        "address is the last entry of X-Forwarded-For that is not one of them",
    )
    confirmation_requests_per_minute: int = Field(
        300, ge=1, description="maximum number of requests per minute from one client address"
    )

    desk_users: Annotated[list[str], NoDecode] = Field(
        [],
        description="comma-separated names of the Airflow users who may use the page Cases; *: everybody whom the auth "
        "manager lets see and change the custom view Cases. Empty: nobody",
    )
    desk_second_person_amount: Decimal = Field(
        Decimal(1_000_000),
        ge=0,
        decimal_places=2,
        description="from this amount on, a staff decision counts when a second person confirmed it at the page Cases; "
        "`python -m fraudstream.cases decide` refuses such a case",
    )

    login_users: Annotated[dict[str, Literal["Admin", "Op", "User", "Viewer", "Clerk"]], NoDecode] = Field(
        {},
        description="JSON object: address of a Google account → its role in Airflow. Where Airflow runs with the FAB "
        "auth manager, only these people can log in. A Clerk sees what a Viewer sees and may use the page Cases",
    )
    login_client_id: str = Field("", description="OAuth client at Google through which people log in to Airflow")
    login_client_secret: SecretStr = Field(SecretStr(""), description="secret of that OAuth client")

    compute_project: str = Field("", description="Google Cloud project of the instances in compute_instances")
    compute_instances: Annotated[list[str], NoDecode] = Field(
        [],
        description="comma-separated zone/name of each Kafka VM; empty: start_kafka and stop_kafka change no VM",
    )

    @field_validator(
        "mail_allowed_recipients",
        "mail_bounce_keys",
        "mail_webhook_keys",
        "confirmation_keys",
        "confirmation_trusted_proxies",
        "confirmation_reminders",
        "compute_instances",
        "desk_users",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _comma_separated(value)

    @field_validator("kafka_properties", "bank_texts", "login_users", mode="before")
    @classmethod
    def _json_object(cls, value: Any, info: ValidationInfo) -> Any:
        try:
            found = json.loads(value or "{}") if isinstance(value, str) else value
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError(f"expected a JSON object, such as {_OBJECTS[str(info.field_name)]}")  # noqa: TRY004
        return found

    @field_validator("kafka_properties")
    @classmethod
    def _not_reserved(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        reserved = sorted(value.keys() & RESERVED)
        if reserved:
            raise ValueError(
                f"{', '.join(reserved)} can't be set here: guarantees rest on it, or another setting is it"
            )
        if value:
            reason = unknown_property({name: text.get_secret_value() for name, text in value.items()})
            if reason:
                raise ValueError(reason)
        return value

    @field_validator("schema_registry_url", "confirmation_url")
    @classmethod
    def _without_credentials(cls, value: str) -> str:
        if "@" in urlsplit(value).netloc:
            raise ValueError(
                "an address with a user or password in it would be logged: take them out; the registry's belong in "
                "FRAUDSTREAM_SCHEMA_REGISTRY_USERNAME and FRAUDSTREAM_SCHEMA_REGISTRY_PASSWORD"
            )
        return value

    @field_validator("confirmation_reminders")
    @classmethod
    def _shares(cls, value: list[float]) -> list[float]:
        wrong = [share for share in value if not 0 < share < 1]
        if wrong:
            raise ValueError(f"{wrong} are no shares of the time limit; expected numbers between 0 and 1, such as 0.5")
        return value

    @field_validator("confirmation_trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for network in value:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"{error}; expected addresses or networks, such as 35.191.0.0/16") from None
        return value

    @field_validator("bank_time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is not a time zone; expected a name such as UTC or Asia/Jakarta")
        return value

    @field_validator("compute_instances")
    @classmethod
    def _zone_and_name(cls, value: list[str], info: ValidationInfo) -> list[str]:
        wrong = [instance for instance in value if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", instance)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))} is not zone/name, such as us-central1-a/kafka-1")
        if value and not info.data.get("compute_project"):
            raise ValueError("instances need a project: set FRAUDSTREAM_COMPUTE_PROJECT too")
        return value

    @field_validator("dataset_start_date")
    @classmethod
    def _times_of_records(cls, value: datetime) -> datetime:
        first = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        # Times of records must be from 1971 to 2199. The largest valid step is 114 years after the start.
        if not 1971 <= first.year < 2085:
            raise ValueError(f"{first.date()} is not a start of a dataset: expected a date in 1971 to 2084")
        return first

    @property
    def confirmation_time_limit(self) -> timedelta:
        """How long a customer may take to answer."""
        return timedelta(seconds=self.confirmation_time_limit_seconds)

    def kafka_config(self, **properties: Any) -> dict[str, Any]:
        """Returns librdkafka's configuration of a client: brokers, login and `properties`; see :func:`client_config`.

        :raises SettingsError: a setting that the security protocol needs is missing or can't be used
        :raises KafkaUnavailable: the token source returns no token
        """
        return client_config(self, properties)

    def producer_config(self, **properties: Any) -> dict[str, Any]:
        """As :meth:`kafka_config`, with the properties that all producers have in common.

        :raises SettingsError, KafkaUnavailable: as :meth:`kafka_config`
        """
        return client_config(self, {"acks": "all", "partitioner": PARTITIONER} | properties)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Returns the settings of this process. Only the first call reads the environment.

    :raises SettingsError: variables have invalid values; the message names each of them
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"FRAUDSTREAM_{str(name).upper()}{''.join(f'[{part}]' for part in entry)}: {e['msg']}"
            for e in error.errors()
            for name, *entry in [e["loc"]]
        )
        raise SettingsError(f"unusable settings in the environment: {wrong}") from None
