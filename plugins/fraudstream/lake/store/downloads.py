"""Downloads objects from the client library's own endpoint, but without the library's 1 ms of Python per request.

A day has thousands of small objects. The Python code of a request holds the interpreter's lock, which all threads
share; here it takes a sixth of that time. Credentials, their renewal and the endpoint are those of the client. The
connections are http.client's, and are kept open and reused. If the environment has a proxy for the store, or a file of
certificate authorities (``REQUESTS_CA_BUNDLE``), the client library downloads, which uses both.
"""

import base64
import http.client
import weakref
from collections import deque
from urllib.parse import quote, urlsplit

import google_crc32c
import requests
from google.api_core import exceptions as api
from google.auth.transport.requests import Request
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption

_CONNECT_SECONDS = 5.0
#: Longest time without receiving a byte.
_READ_SECONDS = 30.0


class Downloads:
    """Downloads from one bucket; safe to share between threads."""

    def __init__(self, client: storage.Client, bucket: str) -> None:
        self._credentials = client._credentials  # the client has no public attribute for them
        self._renewal = Request()
        endpoint = urlsplit(client.api_endpoint)
        self._host = endpoint.netloc
        self._new = http.client.HTTPSConnection if endpoint.scheme == "https" else http.client.HTTPConnection
        self._origin = f"{endpoint.scheme}://{endpoint.netloc}"
        self._path = f"{endpoint.path}/download/storage/v1/b/{quote(bucket, safe='')}/o/"
        self._by_client = client.bucket(bucket) if _needs_client(client.api_endpoint) else None
        self._idle: deque[http.client.HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def content(self, name: str, generation: int, span: tuple[int, int] | None = None) -> bytes:
        """The bytes of a generation as they are stored: all of them, or [start, end).

        :raises GoogleAPIError: the store answered with an error; NotFound for a 404
        :raises DataCorruption: the CRC32C of all bytes isn't the one that the store sent; it isn't checked for a range
        :raises ConnectionError, requests.RequestException: the connection failed, or no byte was received for 30 s
        """
        if self._by_client is not None:
            start, end = span or (0, None)
            data: bytes = self._by_client.blob(name, generation=generation).download_as_bytes(
                start=start or None,
                end=None if end is None else end - 1,
                raw_download=True,
                checksum="crc32c" if span is None else None,  # the store sends that of the whole object
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                retry=None,
            )
            return data
        headers = {"Accept-Encoding": "gzip"}  # the stored bytes are sent unchanged
        if span is not None:
            headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"  # the end of an HTTP range is inclusive
        path = f"{self._path}{quote(name, safe='')}?alt=media&generation={generation}"
        url = self._origin + path
        self._credentials.before_request(self._renewal, "GET", url, headers)
        try:
            status, hashes, data = self._get(path, headers)
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(f"GET {url}: {error!r}") from error
        if status not in {http.client.OK, http.client.PARTIAL_CONTENT}:
            raise api.from_http_status(status, f"GET {url}: {data[:500].decode(errors='replace')}")
        if span is None:
            _require_checksum(url, data, hashes)
        return data

    def _get(self, path: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
        """The response's status, hashes and body. Uses an idle connection if there is one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._ask(self._connect(), path, headers)
            try:
                return self._ask(connection, path, headers)
            except ConnectionError:  # the store closed it while it was idle
                continue

    def _connect(self) -> http.client.HTTPConnection:
        connection = self._new(self._host, timeout=_CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(_READ_SECONDS)
        return connection

    def _ask(
        self, connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
    ) -> tuple[int, str, bytes]:
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            data = response.read()
        except BaseException:
            connection.close()
            raise
        if not response.will_close:
            self._idle.append(connection)
        return response.status, response.headers.get("X-Goog-Hash", ""), data


def _needs_client(endpoint: str) -> bool:
    """Whether the environment has a proxy or certificate authorities for the store, which http.client doesn't use."""
    found = requests.Session().merge_environment_settings(endpoint, {}, None, None, None)
    authorities = endpoint.startswith("https:") and found["verify"] is not True
    return authorities or requests.utils.select_proxy(endpoint, found["proxies"]) is not None


def _close_all(connections: deque[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _require_checksum(url: str, data: bytes, hashes: str) -> None:
    """Compares the data with the CRC32C in a list such as ``crc32c=K3EM8w==,md5=FSuNIMSyK1hY7bjq5Gl2qg==``.

    Without a CRC32C in the list, nothing is compared.
    """
    said = dict(one.strip().split("=", 1) for one in hashes.split(",") if "=" in one).get("crc32c")
    found = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    if said is not None and said != found:
        raise DataCorruption(None, f"GET {url}: content with CRC32C {found}, the store says {said}")
