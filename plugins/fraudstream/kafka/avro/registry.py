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

#: The registry API's own codes; an HTTP status of 404 alone may as well be a wrong path.
_SUBJECT_NOT_FOUND, _SCHEMA_NOT_FOUND = 40401, 40403
#: How long the topic's subject counts as found after it was.
_SUBJECT_SECONDS = 10.0
#: What the client raises where the answer is no registry's: a page of a proxy, or JSON of another kind.
_NO_ANSWER_OF_A_REGISTRY = (ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True)
class RegisteredSchema:
    """A schema as the registry has it: AVRO, JSON or PROTOBUF, with the names of other schemas that it refers to."""

    text: str
    kind: str = "AVRO"
    references: tuple[str, ...] = ()


class Registry:
    """Registers and looks up Avro schemas.

    :raises SchemaRegistryError: from every method, when the registry doesn't answer or refuses; the message names
        its address and the subject or id
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.schema_registry_url
        self._ca = settings.schema_registry_ca_location
        self._login = (settings.schema_registry_username, settings.schema_registry_password)
        self._subject_found_until = 0.0

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
        """The schema with this id; None where the registry has none, though it knows the topic's own subject.

        A registry that is restored, empty or another one, a proxy and a mistyped path answer "not found" as well: that
        says nothing about the id as long as the topic's subject can't be found there either.
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
        """A client, whose errors are raised as :class:`SchemaRegistryError`."""
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
