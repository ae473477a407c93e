"""Stores for the tests of sources: Cloud Storage in this process, a directory, and a real object store."""

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import google_crc32c
from google.api_core import exceptions as google


class Store(Protocol):
    """A store of files; `client` is the argument of open_source."""

    client: Any

    def put(self, name: str, content: bytes, content_encoding: str | None = None) -> str:
        """Creates or replaces a file and returns its URI."""

    def missing_container(self, name: str) -> str:
        """URI of `name` in a bucket or directory that doesn't exist."""


@dataclass
class FakeObject:
    """One generation, with the attributes of the blob that get_blob returns."""

    generation: int
    content: bytes
    content_encoding: str | None

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def crc32c(self) -> str:
        return base64.b64encode(google_crc32c.Checksum(self.content).digest()).decode()


@dataclass
class FakeBucket:
    objects: dict[str, FakeObject] = field(default_factory=dict)
    before_download: Callable[[], None] = lambda: None

    def get_blob(self, name: str) -> FakeObject | None:
        return self.objects.get(name)


@dataclass
class FakeClient:
    buckets: dict[str, FakeBucket] = field(default_factory=dict)

    def bucket(self, name: str) -> FakeBucket:
        return self.buckets.get(name, FakeBucket())


class FakeDownloads:
    """Stands for fraudstream.lake.store.downloads.Downloads; it reads the bucket's current, stored content."""

    def __init__(self, client: FakeClient, bucket: str) -> None:
        self._bucket = client.bucket(bucket)

    def content(self, name: str, generation: int, span: tuple[int, int]) -> bytes:
        self._bucket.before_download()
        found = self._bucket.objects.get(name)
        if found is None or found.generation != generation:
            raise google.NotFound("no such object")
        if span[0] >= len(found.content):
            raise google.RequestRangeNotSatisfiable("no such range")
        return found.content[span[0] : span[1]]


class FakeStore:
    """Cloud Storage in this process, with generations."""

    def __init__(self) -> None:
        self.bucket = FakeBucket()
        self.client = FakeClient({"data": self.bucket})
        self._generation = 1_700_000_000_000_000

    def put(self, name: str, content: bytes, content_encoding: str | None = None) -> str:
        self._generation += 1
        self.bucket.objects[name] = FakeObject(self._generation, content, content_encoding)
        return f"gs://data/{name}"

    def missing_container(self, name: str) -> str:
        return f"gs://no-such-bucket/{name}"


class DirectoryStore:
    """Local files; they have no content encoding."""

    client = None

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._puts = 0

    def put(self, name: str, content: bytes, content_encoding: str | None = None) -> str:
        path = self._directory / name
        path.write_bytes(content)
        self._puts += 1
        os.utime(path, ns=(self._puts, self._puts))  # a replacement must have another time, however fast it follows
        return str(path)

    def missing_container(self, name: str) -> str:
        return str(self._directory / "no-such-directory" / name)


class CloudStore:
    """A bucket of a real object store."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self._bucket = client.bucket(bucket)

    def put(self, name: str, content: bytes, content_encoding: str | None = None) -> str:
        blob = self._bucket.blob(name)
        blob.content_encoding = content_encoding
        blob.upload_from_string(content, content_type="text/csv")
        return f"gs://{self._bucket.name}/{name}"

    def missing_container(self, name: str) -> str:
        return f"gs://{self._bucket.name}-no-such-bucket/{name}"
