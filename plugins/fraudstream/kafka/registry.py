"""The schema registry: subjects are `<topic>-value`, compatibility BACKWARD."""

from typing import Any

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError as RegistryAnswer

from fraudstream.errors import SchemaRegistryError
from fraudstream.settings import Settings

_NOT_FOUND = 404


class Registry:
    """Registers and looks up Avro schemas.

    :raises SchemaRegistryError: from every method, when the registry doesn't answer or refuses; the message names
        its address and the subject or id
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.schema_registry_url
        self._ca = settings.schema_registry_ca_location
        self._login = (settings.schema_registry_username, settings.schema_registry_password)

    def _client(self) -> SchemaRegistryClient:
        """A client for one question: they are few, since a codec keeps what it learnt, and no socket stays open.

        Few and short tries: the caller has the retry that fits.
        """
        config: dict[str, Any] = {
            "url": self.url,
            "timeout": 10,
            "max.retries": 3,
            "retries.wait.ms": 200,
            "retries.max.wait.ms": 1000,
        }
        if self.url.startswith("http://"):
            config["ssl.ca.location"] = False  # no TLS: the authorities' certificates, which take 35 ms, aren't read
        elif self._ca:
            config["ssl.ca.location"] = self._ca
        username, password = self._login
        if username:
            config["basic.auth.user.info"] = f"{username}:{password.get_secret_value()}"
        return SchemaRegistryClient(config)

    def register(self, topic: str, schema: str) -> int:
        """Registers a topic's value schema, compatible with what is there; returns its id."""
        subject = f"{topic}-value"
        try:
            with self._client() as client:
                identifier = client.register_schema(subject, Schema(schema, "AVRO"))
                client.set_compatibility(subject_name=subject, level="BACKWARD")
        except (RegistryAnswer, httpx2.HTTPError, OSError) as error:
            raise self._failed(f"registering the schema of subject {subject!r}", error) from error
        return int(identifier)

    def identifier(self, topic: str, schema: str) -> int:
        """The id under which exactly this schema is registered for a topic."""
        subject = f"{topic}-value"
        try:
            with self._client() as client:
                found = client.lookup_schema(subject, Schema(schema, "AVRO")).schema_id
        except (RegistryAnswer, httpx2.HTTPError, OSError) as error:
            raise self._failed(f"looking up the schema of subject {subject!r}", error) from error
        return int(found)

    def schema(self, identifier: int) -> str | None:
        """Text of the schema with this id; None where the registry has none."""
        try:
            with self._client() as client:
                return str(client.get_schema(identifier).schema_str)
        except (RegistryAnswer, httpx2.HTTPError, OSError) as error:
            if isinstance(error, RegistryAnswer) and error.http_status_code == _NOT_FOUND:
                return None
            raise self._failed(f"reading schema id {identifier}", error) from error

    def _failed(self, what: str, error: Exception) -> SchemaRegistryError:
        return SchemaRegistryError(
            f"{what} at the schema registry {self.url} failed: {error}. Is it running, and did start_kafka register "
            f"the schemas? (setting FRAUDSTREAM_SCHEMA_REGISTRY_URL)"
        )
