"""The schema registry: subjects are `<topic>-value`, compatibility BACKWARD."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError as RegistryAnswer

from fraudstream.errors import SchemaRegistryError
from fraudstream.settings import Settings

#: Error codes of the registry's API. HTTP status 404 alone isn't enough, because a wrong path gives it as well.
_SUBJECT_NOT_FOUND, _SCHEMA_NOT_FOUND = 40401, 40403
#: Seconds for which a subject that was found isn't looked up again.
_SUBJECT_SECONDS = 10.0
#: Exceptions of the client if the answer isn't from a registry, such as a proxy's error page or JSON of another kind.
_NO_ANSWER_OF_A_REGISTRY = (ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True)
class RegisteredSchema:
    """A schema of the registry: its text, its kind (AVRO, JSON or PROTOBUF), and the names of referenced schemas."""

    text: str
    kind: str = "AVRO"
    references: tuple[str, ...] = ()


class Registry:
    """Registers and looks up Avro schemas.

    :raises SchemaRegistryError: from every method, if the registry doesn't answer or refuses; the message names
        its address and the subject or id
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.schema_registry_url
        self._ca = settings.schema_registry_ca_location
        self._login = (settings.schema_registry_username, settings.schema_registry_password)
        self._subject_found_until = 0.0

    def _client(self) -> SchemaRegistryClient:
        """Makes a client for one request. Requests are rare, because a codec caches schemas, so no socket stays open.

        The client retries few times and for a short time, because its callers have retries of their own.
        """
        config: dict[str, Any] = {
            "url": self.url,
            "timeout": 10,
            "max.retries": 3,
            "retries.wait.ms": 200,
            "retries.max.wait.ms": 1000,
        }
        if self.url.startswith("http://"):
            config["ssl.ca.location"] = False  # without TLS no CA certificates are needed; loading them takes 35 ms
        elif self._ca:
            config["ssl.ca.location"] = self._ca
        username, password = self._login
        if username:
            config["basic.auth.user.info"] = f"{username}:{password.get_secret_value()}"
        return SchemaRegistryClient(config)

    def register(self, topic: str, schema: str) -> int:
        """Registers a topic's value schema, sets the subject's compatibility to BACKWARD, and returns the id."""
        subject = f"{topic}-value"
        with self._asking(f"registering the schema of subject {subject!r}") as client:
            identifier = client.register_schema(subject, Schema(schema, "AVRO"))
            client.set_compatibility(subject_name=subject, level="BACKWARD")
            return int(identifier)

    def identifier(self, topic: str, schema: str) -> int:
        """The id under which exactly this schema is registered for a topic."""
        subject = f"{topic}-value"
        with self._asking(f"looking up the schema of subject {subject!r}") as client:
            return int(client.lookup_schema(subject, Schema(schema, "AVRO")).schema_id)

    def schema(self, identifier: int, topic: str) -> RegisteredSchema | None:
        """The schema with this id; None if the registry has the topic's subject but no such id.

        A proxy, a mistyped path, and a registry that is empty, restored or the wrong one answer "not found" as well.
        So that answer counts only if the registry has the topic's subject.
        """
        doing = f"reading schema id {identifier} for topic {topic}"
        with self._asking(doing) as client:
            try:
                found = client.get_schema(identifier)
            except RegistryAnswer as error:
                if error.error_code != _SCHEMA_NOT_FOUND:
                    raise
                self._require_subject(client, f"{topic}-value", doing)
                return None
            if not found.schema_str:
                raise ValueError("the answer holds no schema")
            names = tuple(reference.name or "" for reference in found.references or [])
            return RegisteredSchema(found.schema_str, found.schema_type or "AVRO", names)

    def _require_subject(self, client: SchemaRegistryClient, subject: str, doing: str) -> None:
        if time.monotonic() < self._subject_found_until:
            return
        try:
            client.get_latest_version(subject)
        except RegistryAnswer as error:
            if error.error_code != _SUBJECT_NOT_FOUND:
                raise
            raise SchemaRegistryError(
                f"{doing}: the schema registry {self.url} knows neither this id nor subject {subject!r}, so it is "
                f"empty, was restored to an earlier state, or is another one than the topic's. Check "
                f"FRAUDSTREAM_SCHEMA_REGISTRY_URL; start_kafka registers the schemas"
            ) from error
        self._subject_found_until = time.monotonic() + _SUBJECT_SECONDS

    @contextmanager
    def _asking(self, doing: str) -> Iterator[SchemaRegistryClient]:
        """Provides a client and raises its errors as :class:`SchemaRegistryError`."""
        try:
            with self._client() as client:
                yield client
        except (RegistryAnswer, httpx2.HTTPError, OSError, *_NO_ANSWER_OF_A_REGISTRY) as error:
            raise self._failed(doing, error) from error

    def _failed(self, what: str, error: Exception) -> SchemaRegistryError:
        return SchemaRegistryError(
            f"{what} at the schema registry {self.url} failed: {error}. Is it running, and did start_kafka register "
            f"the schemas? (setting FRAUDSTREAM_SCHEMA_REGISTRY_URL)"
        )
