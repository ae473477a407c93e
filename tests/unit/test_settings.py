"""Which settings are passed to librdkafka and the registry, and which are never shown."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient
from fraudstream.dataset.columns.values import MOST_STEPS
from fraudstream.errors import KafkaUnavailable, SettingsError
from fraudstream.kafka.avro.valid_records import are_times
from fraudstream.settings import ROOT, Settings, get_settings

from tests.fakes import certificates

OAUTH = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    get_settings.cache_clear()


def made(**fields: object) -> Settings:
    return Settings(**fields)  # type: ignore[arg-type]


def some_token() -> tuple[str, float]:
    return "token", 1.0


def no_token() -> tuple[str, float]:
    raise OSError("the metadata server doesn't answer")


def test_a_client_certificate_reaches_the_client_with_its_key_and_password(tmp_path: Path) -> None:
    certificate = key = certificates.client(tmp_path, "hush")
    settings = made(
        kafka_security_protocol="SSL",
        kafka_ssl_certificate_location=str(certificate),
        kafka_ssl_key_location=str(key),
        kafka_ssl_key_password="hush",
    )
    config = settings.kafka_config()
    assert config["ssl.certificate.location"] == str(certificate)
    assert (config["ssl.key.location"], config["ssl.key.password"]) == (str(key), "hush")
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("field", ["kafka_ssl_ca_location", "kafka_ssl_certificate_location", "kafka_ssl_key_location"])
def test_a_file_of_tls_that_is_not_there_is_named_with_its_setting(field: str) -> None:
    settings = made(kafka_security_protocol="SSL", **{field: "/nowhere/file.pem"})
    with pytest.raises(SettingsError, match=rf"FRAUDSTREAM_{field.upper()} is '/nowhere/file.pem'"):
        settings.kafka_config()


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_an_authority_that_can_not_be_read_is_named_with_its_setting(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(content)
    settings = made(kafka_security_protocol="SSL", kafka_ssl_ca_location=str(file))
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_KAFKA_SSL_CA_LOCATION is .*ca\.pem', which can't be used"):
        settings.kafka_config()


@pytest.mark.parametrize("password", ["", "guessed"])
def test_a_key_that_can_not_be_read_is_named_with_its_settings(tmp_path: Path, password: str) -> None:
    file = str(certificates.client(tmp_path, "hush"))
    settings = made(
        kafka_security_protocol="SSL",
        kafka_ssl_certificate_location=file,
        kafka_ssl_key_location=file,
        kafka_ssl_key_password=password,
    )
    with pytest.raises(SettingsError, match=r"can't be used together .*FRAUDSTREAM_KAFKA_SSL_KEY_PASSWORD") as raised:
        settings.kafka_config()
    assert "guessed" not in str(raised.value)


def test_a_client_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    certificate = tmp_path / "client.pem"
    certificate.touch()
    settings = made(kafka_security_protocol="SSL", kafka_ssl_certificate_location=str(certificate))
    with pytest.raises(SettingsError, match="FRAUDSTREAM_KAFKA_SSL_KEY_LOCATION"):
        settings.kafka_config()


def test_tokens_come_from_the_function_that_the_setting_names() -> None:
    callback = made(**OAUTH, kafka_token_source=f"{__name__}:some_token").kafka_config()["oauth_cb"]
    assert callback("") == ("token", 1.0)


def test_a_source_that_gives_no_token_is_named_with_its_reason() -> None:
    with pytest.raises(KafkaUnavailable, match=r"FRAUDSTREAM_KAFKA_TOKEN_SOURCE is '.*:no_token'.* doesn't answer"):
        made(**OAUTH, kafka_token_source=f"{__name__}:no_token").kafka_config()


@pytest.mark.parametrize("source", ["", "no_function", "no.such.module:token", f"{__name__}:no_such_function"])
def test_a_source_of_tokens_that_can_not_be_used_is_named(source: str) -> None:
    with pytest.raises(SettingsError, match=rf"FRAUDSTREAM_KAFKA_TOKEN_SOURCE is '{source}'"):
        made(**OAUTH, kafka_token_source=source).kafka_config()


def test_more_properties_win_over_the_pipelines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FRAUDSTREAM_KAFKA_PROPERTIES", '{"linger.ms": "7", "ssl.endpoint.identification.algorithm": "none"}'
    )
    config = get_settings().kafka_config(**{"linger.ms": 20, "group.id": "readers"})
    assert (config["linger.ms"], config["group.id"]) == ("7", "readers")
    assert config["ssl.endpoint.identification.algorithm"] == "none"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"acks": "1"}', "acks"),
        ('{"isolation.level": "read_uncommitted"}', "isolation.level"),
        ('{"auto.offset.reset": "latest"}', "auto.offset.reset"),
        ("linger.ms=7", "JSON object"),
        ('["linger.ms"]', "JSON object"),
        ('{"no.such.property": "secret-value"}', "no.such.property"),
    ],
)
def test_properties_that_can_not_be_used_are_refused_without_their_values(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("FRAUDSTREAM_KAFKA_PROPERTIES", value)
    with pytest.raises(SettingsError, match=rf"FRAUDSTREAM_KAFKA_PROPERTIES: .*{said}") as refused:
        get_settings()
    assert "secret-value" not in str(refused.value)


def test_every_client_is_named_by_its_role_and_every_producer_partitions_as_kafkas_own() -> None:
    settings = made()
    assert settings.kafka_config(**{"group.id": "send_mail-topic"})["client.id"] == "fraudstream-send_mail-topic"
    produces = settings.kafka_config(**{"transactional.id": "fraudstream-produce-1"})
    assert produces["client.id"] == "fraudstream-produce-1"
    assert settings.kafka_config(**{"client.id": "answers"})["client.id"] == "answers"
    producer = settings.producer_config()
    assert (producer["partitioner"], producer["acks"]) == ("murmur2_random", "all")


@pytest.mark.parametrize("field", ["SCHEMA_REGISTRY_URL", "CONFIRMATION_URL"])
def test_an_address_with_a_password_in_it_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setenv(f"FRAUDSTREAM_{field}", "https://reader:hush-hush@registry.example/apis")
    with pytest.raises(SettingsError, match=f"FRAUDSTREAM_{field}: .*FRAUDSTREAM_SCHEMA_REGISTRY_USERNAME") as refused:
        get_settings()
    assert "hush-hush" not in str(refused.value)
    with pytest.raises(ValueError, match="password") as direct:
        made(schema_registry_url="https://reader:hush-hush@registry.example/apis")
    assert "hush-hush" not in str(direct.value)


def test_the_properties_of_every_client_are_known_to_the_library() -> None:
    AdminClient(made().kafka_config(log_level=0))
    AdminClient(made().producer_config(log_level=0))


@pytest.mark.parametrize("date", ["1970-12-31", "0023-10-01", "2085-01-01", "9999-12-31"])
def test_a_start_of_the_dataset_that_makes_no_records_is_refused(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_DATASET_START_DATE", date)
    with pytest.raises(SettingsError, match=rf"FRAUDSTREAM_DATASET_START_DATE: .*{date} is not a start of a dataset"):
        get_settings()


@pytest.mark.parametrize("date", ["1971-01-01", "2084-12-31T23:59:59"])
def test_every_step_from_the_start_of_the_dataset_on_is_a_time_that_a_record_may_have(date: str) -> None:
    start = made(dataset_start_date=date).dataset_start_date
    times = [start, start + timedelta(hours=MOST_STEPS)]
    assert are_times(np.array([int(time.timestamp() * 1000) for time in times])).all()


def test_settings_load_without_the_kafka_library() -> None:
    script = "import sys; import fraudstream.settings; assert 'confluent_kafka' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOGIN_USERS", "me@example.com", r"LOGIN_USERS: .*JSON object, such as {\"me@example.com\": \"Admin\"}"),
        ("LOGIN_USERS", '{"me@example.com": "Owner"}', r"LOGIN_USERS\[me@example.com\]: .*'Admin', .* or 'Clerk'"),
        ("CONFIRMATION_REMINDERS", "0.5,soon", r"CONFIRMATION_REMINDERS\[1\]: "),
    ],
)
def test_an_entry_that_is_wrong_is_named_beside_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"FRAUDSTREAM_{name}", value)
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match=f"FRAUDSTREAM_{said}"):
        get_settings()
