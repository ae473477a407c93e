"""Content of objects, by the address that the client library itself uses, without its 1 ms of Python a request.

A day has thousands of small objects: here a request costs a third. Credentials, their renewal and the endpoint are the
client's own; the transport is google-auth's, on pooled connections of urllib3.
"""

import base64
from urllib.parse import quote

import google_crc32c
import urllib3
from google.api_core import exceptions as api
from google.auth.transport.urllib3 import AuthorizedHttp
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption

_TIMEOUT = urllib3.Timeout(connect=5, read=30)  # seconds to connect, seconds without a byte
_CONNECTIONS = 32


class Downloads:
    """Downloads from one bucket; safe to share between threads."""

    def __init__(self, client: storage.Client, bucket: str) -> None:
        # The client has no public way to say whom it works for.
        self._http = AuthorizedHttp(client._credentials, urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False))
        self._bucket = f"{client.api_endpoint}/download/storage/v1/b/{quote(bucket, safe='')}/o/"

    def content(self, name: str, generation: int, span: tuple[int, int] | None = None) -> bytes:
        """Bytes of a generation as they are stored: all of them, compared with their CRC32C, or [start, end).

        :raises GoogleAPIError: the store answered with an error, 404 as NotFound
        :raises DataCorruption: these aren't the bytes that the store says it sent
        :raises urllib3.exceptions.HTTPError: the connection failed
        """
        headers = {"Accept-Encoding": "gzip"}  # whatever is stored is sent as it is
        if span is not None:
            headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"  # HTTP ranges name their last byte
        url = f"{self._bucket}{quote(name, safe='')}?alt=media&generation={generation}"
        response = self._http.request("GET", url, headers=headers, timeout=_TIMEOUT, decode_content=False)
        data = bytes(response.data or b"")
        if response.status not in {200, 206}:
            raise api.from_http_status(response.status, f"GET {url}: {data[:500].decode(errors='replace')}")
        if span is None:
            _require_checksum(url, data, response.headers.get("X-Goog-Hash", ""))
        return data


def _require_checksum(url: str, data: bytes, hashes: str) -> None:
    """Compares with a list as ``crc32c=K3EM8w==,md5=FSuNIMSyK1hY7bjq5Gl2qg==``."""
    said = dict(one.strip().split("=", 1) for one in hashes.split(",") if "=" in one).get("crc32c")
    found = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    if said is not None and said != found:
        raise DataCorruption(None, f"GET {url}: content with CRC32C {found}, the store says {said}")
