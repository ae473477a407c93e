"""The lake's bucket on Google Cloud Storage, or on an emulator when STORAGE_EMULATOR_HOST is set."""

import http.client
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import requests
from google.api_core import exceptions as api
from google.api_core.exceptions import RetryError
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption

from fraudstream.errors import LakeError, LakeUnavailable
from fraudstream.lake.store.credentials import renewal_may_pass
from fraudstream.lake.store.downloads import Downloads
from fraudstream.lake.store.objects import Created, ObjectInfo, StoredObject

T = TypeVar("T")

#: Metadata key. Its value is unique for each write and shows whether a write succeeded whose response was lost.
_WRITE = "write"
_TIMEOUT = (5, 30)  # seconds to connect, seconds without receiving a byte
#: Statuses that are retried besides every 5xx: request timeout, conflict with another request, too many requests.
_MAY_PASS_STATUS = (408, 409, 429)
_MAY_PASS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    DataCorruption,
    ConnectionError,
)
#: Reason of a 403 that more permissions would not change.
_RETAINED = "retentionPolicyNotMet"
_NOT_ALLOWED = (api.Unauthorized, api.Forbidden, auth.RefreshError)


class Store:
    """:class:`~fraudstream.lake.store.objects.ObjectStore` on a bucket; safe to share between threads.

    After a status 408, 409, 429 or 5xx, a lost connection or a timeout, a request is retried with growing, jittered
    pauses for `patience` seconds. A write whose response was lost is recognised by a unique value in the metadata.
    """

    def __init__(self, client: storage.Client, bucket: str, *, patience: float = 60.0) -> None:
        self.bucket = bucket
        self._client = client
        self._bucket = client.bucket(bucket)
        self._downloads = Downloads(client, bucket)
        self._patience = patience
        self._retry = Retry(
            predicate=_may_pass,
            initial=0.2,
            multiplier=2.0,
            maximum=8.0,
            timeout=patience,
        )

    @classmethod
    def connect(cls, bucket: str) -> "Store":
        """A store with the Application Default Credentials.

        :raises LakeError: there are none
        """
        try:
            return cls(storage.Client(), bucket)
        except auth.DefaultCredentialsError as error:
            raise LakeError(
                f"no Google Cloud credentials to open gs://{bucket} with ({error}): run `gcloud auth"
                " application-default login`, set GOOGLE_APPLICATION_CREDENTIALS, or set STORAGE_EMULATOR_HOST"
            ) from error

    def create(self, name: str, data: bytes | Path, *, content_type: str, metadata: Mapping[str, str]) -> Created:
        for _ in range(3):
            # A file is large: a look-up is cheaper than an upload that fails because the name is taken.
            if isinstance(data, Path) and (there := self.look_up(name)) is not None:
                return Created(there, False)
            created = self._upload(name, data, 0, content_type, metadata)
            if created is not None:
                return Created(created, True)
            there = self.look_up(name)
            if there is not None:
                return Created(there, False)
            # The object that had the name was deleted before the look-up: the name is free again.
        raise LakeError(
            f"gs://{self.bucket}/{name} appears and vanishes each time it is written: something else deletes objects"
            " of the lake; look for lifecycle rules or other writers on the bucket"
        )

    def replace(self, name: str, data: bytes, generation: int, *, content_type: str) -> ObjectInfo | None:
        return self._upload(name, data, generation, content_type, {})

    def look_up(self, name: str) -> ObjectInfo | None:
        def stat() -> ObjectInfo | None:
            blob = self._bucket.get_blob(name, timeout=_TIMEOUT, retry=None)
            return None if blob is None else _info(blob)

        return self._call("look up", name, stat)

    def get(self, name: str) -> StoredObject | None:
        while (info := self.look_up(name)) is not None:
            data = self.download(info)
            if data is not None:
                return StoredObject(info, data)
            # The object was replaced between the two requests: repeat both, so that content and generation match.
        return None

    def download(self, info: ObjectInfo, start: int = 0, end: int | None = None) -> bytes | None:
        span = None if not start and end is None else (start, info.size if end is None else end)

        def download() -> bytes | None:
            try:
                return self._downloads.content(info.name, info.generation, span)
            except api.NotFound:
                return None

        return self._call("read", info.name, download)

    def list(self, prefix: str, start: str = "") -> list[ObjectInfo]:
        def list_all() -> list[ObjectInfo]:
            blobs = self._client.list_blobs(
                self._bucket, prefix=prefix, start_offset=start or None, timeout=_TIMEOUT, retry=None
            )
            return sorted((_info(blob) for blob in blobs), key=lambda info: info.name)

        return self._call("list", prefix, list_all)

    def delete(self, name: str, generation: int) -> bool:
        def delete() -> bool:
            try:
                self._bucket.blob(name).delete(if_generation_match=generation, timeout=_TIMEOUT, retry=None)
            except (api.NotFound, api.PreconditionFailed):
                return False
            return True

        return self._call("delete", name, delete)

    def _upload(
        self, name: str, data: bytes | Path, generation: int, content_type: str, metadata: Mapping[str, str]
    ) -> ObjectInfo | None:
        """Replaces exactly `generation`; None: the object has another generation, which this call didn't write."""
        write = uuid.uuid4().hex

        def upload() -> ObjectInfo | None:
            blob = self._bucket.blob(name)
            blob.metadata = {**metadata, _WRITE: write}
            options: dict[str, Any] = {
                "content_type": content_type,
                "if_generation_match": generation,
                "timeout": _TIMEOUT,
                "retry": None,
                "checksum": "crc32c",
            }
            try:
                if isinstance(data, bytes):
                    blob.upload_from_string(data, **options)
                else:
                    blob.upload_from_filename(str(data), **options)
            except api.PreconditionFailed:
                there = self._bucket.get_blob(name, timeout=_TIMEOUT, retry=None)
                if there is not None and (there.metadata or {}).get(_WRITE) == write:
                    return _info(there)
                return None
            return _info(blob)

        return self._call("write", name, upload)

    def _call(self, what: str, name: str, call: Callable[[], T]) -> T:
        """Retries a request. Every request goes through it, so it translates all errors of the client library.

        :raises LakeUnavailable: no attempt succeeded within `patience` seconds
        :raises LakeError: any other error
        """
        where = f"gs://{self.bucket}/{name}"
        try:
            return cast(T, self._retry(call)())
        except RetryError as error:
            raise LakeUnavailable(
                f"could not {what} {where} within {self._patience:.0f} s, the last answer was: {error.cause!r}; the"
                f" object store at {self._client.api_endpoint} is down, overloaded or unreachable: retry later"
            ) from error
        except api.NotFound as error:
            raise LakeError(
                f"could not {what} {where}: bucket {self.bucket} does not exist; create it or set"
                " FRAUDSTREAM_LAKE_BUCKET to one that does"
            ) from error
        except _NOT_ALLOWED as error:
            if _RETAINED in f"{error} {getattr(error, 'errors', '')}":  # an upload's error has it in its text only
                raise LakeError(
                    f"could not {what} {where}: bucket {self.bucket} has a retention policy or the object is on hold"
                    f" ({error}); the lake replaces and deletes objects of its own, so run `gcloud storage buckets"
                    f" update gs://{self.bucket} --clear-retention-period`, or move the lake to a bucket without one"
                ) from error
            raise LakeError(
                f"could not {what} {where}: the store refuses these credentials ({error}); grant them"
                f" roles/storage.objectUser on bucket {self.bucket}"
            ) from error
        except (api.GoogleAPIError, auth.GoogleAuthError, requests.RequestException) as error:
            raise LakeError(f"could not {what} {where}: the store answered {error!r}") from error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, api.GoogleAPICallError):
        status = error.code or 0
        return status in _MAY_PASS_STATUS or status >= http.client.INTERNAL_SERVER_ERROR
    return isinstance(error, _MAY_PASS) or renewal_may_pass(error)


def _info(blob: storage.Blob) -> ObjectInfo:
    return ObjectInfo(blob.name, int(blob.size), int(blob.generation), blob.updated, dict(blob.metadata or {}))
