"""Tokens for Google's Managed Service for Apache Kafka, from the credentials that this process runs with.

The format is that service's own: a JWT with the access token in place of a signature. The brokers verify the access
token with Google.
"""

import base64
import json
import time
from datetime import UTC
from functools import cache
from typing import Any

import google.auth
from google.auth.transport.requests import Request

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def google_token() -> tuple[str, float]:
    """Returns a token and the time at which it expires, in seconds since 1970.

    :raises google.auth.exceptions.GoogleAuthError: there are no credentials, or Google refuses them
    """
    credentials = _credentials()
    if not credentials.valid:
        credentials.refresh(Request())
    expires = credentials.expiry.replace(tzinfo=UTC).timestamp()
    account = getattr(credentials, "service_account_email", "")
    claims = {"exp": expires, "iat": time.time(), "iss": "Google", "scope": "kafka", "sub": account}
    header = {"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}
    parts = (json.dumps(header), json.dumps(claims), credentials.token)
    return ".".join(map(_encoded, parts)), expires


@cache
def _credentials() -> Any:
    credentials, _ = google.auth.default(scopes=[_SCOPE])
    return credentials


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
