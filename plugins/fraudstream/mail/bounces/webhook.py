"""What a mail provider posts about mails: the second way in, for providers that take returned mails themselves.

The body is signed: header ``X-Signature`` is the HMAC-SHA256, in hex, of ``<X-Signature-Timestamp>.<body>`` with one of
`mail_webhook_keys`, the timestamp in seconds since 1970. The JSON is an event or a list of them, of two shapes:

- ``{"type": "bounce" | "complaint", "return_path": …, "recipient": …, "reason": …, "status": …}``;
- Amazon SES' notifications, ``{"notificationType": "Bounce" | "Complaint", "mail": {"source": …}, …}``.

Which mail an event is about says its return path, whose own signature is checked as that of a returned mail.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import generate_latest

from fraudstream.errors import KafkaError
from fraudstream.mail.bounces.receiver import Bounces
from fraudstream.mail.bounces.reports import Outcome, Report

logger = logging.getLogger(__name__)

#: Seconds that a signature may be old or young: a recorded request can't be repeated later.
_SKEW = 300.0
_LARGEST = 1 << 20


def create_webhook(bounces: Bounces, keys: Sequence[str], clock: Callable[[], float] = time.time) -> FastAPI:
    """The app: POST /events, GET /metrics and /health/live."""
    app = FastAPI(openapi_url=None)

    @app.get("/health/live")
    async def live() -> Response:
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(bounces.registry), media_type="text/plain; version=0.0.4")

    @app.post("/events")
    async def events(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST:
                return Response(status_code=413)
        if not signed(request.headers, bytes(body), keys, clock()):
            bounces.refused("webhook")
            return Response(status_code=403)
        try:
            found = orjson.loads(bytes(body))
            reports = [_report(event) for event in (found if isinstance(found, list) else [found])]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("the mail provider posted events of no known shape: %r", error)
            bounces.refused("webhook")
            return Response(status_code=400)
        for report in reports:
            about = bounces.addresses.find(report.addresses)
            if about is None:
                bounces.refused("webhook")
                continue
            try:
                await bounces.report("webhook", about, report)
            except KafkaError as error:
                logger.warning("an event about %s has to come again: %s", about.id_transaction, error)
                return Response(status_code=503, headers={"Retry-After": "60"})
        return Response(status_code=204)

    return app


def signed(headers: Mapping[str, str], body: bytes, keys: Sequence[str], now: float) -> bool:
    """Whether one of the keys signed this body not long ago."""
    stamp, signature = headers.get("x-signature-timestamp", ""), headers.get("x-signature", "")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12 or abs(now - int(stamp)) > _SKEW:
        return False
    text = stamp.encode() + b"." + body
    return any(
        hmac.compare_digest(hmac.digest(key.encode(), text, hashlib.sha256).hex().encode(), signature.encode())
        for key in keys
    )


def _report(event: Mapping[str, Any]) -> Report:
    if "notificationType" in event:
        return _ses(event)
    outcome = {"bounce": Outcome.BOUNCED, "complaint": Outcome.COMPLAINED}.get(str(event["type"]), Outcome.OTHER)
    return Report(
        outcome,
        str(event.get("reason", ""))[:500],
        str(event.get("status", ""))[:20],
        str(event.get("recipient", "")),
        [str(event["return_path"])],
    )


def _ses(event: Mapping[str, Any]) -> Report:
    addresses = [str(event["mail"]["source"])]
    if event["notificationType"] == "Bounce":
        bounce = event["bounce"]
        (recipient, *_) = bounce["bouncedRecipients"]
        # A transient one was tried for hours by then, and is given up.
        reason = str(recipient.get("diagnosticCode", bounce.get("bounceSubType", "")))[:500]
        status = str(recipient.get("status", ""))[:20]
        return Report(Outcome.BOUNCED, reason, status, str(recipient["emailAddress"]), addresses)
    if event["notificationType"] == "Complaint":
        complaint = event["complaint"]
        (recipient, *_) = complaint["complainedRecipients"]
        reason = str(complaint.get("complaintFeedbackType", "complaint"))
        return Report(Outcome.COMPLAINED, reason, "", str(recipient["emailAddress"]), addresses)
    return Report(Outcome.IN_PROGRESS, str(event["notificationType"]), "", "", addresses)
