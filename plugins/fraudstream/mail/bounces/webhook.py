"""A webhook for events about mails, for mail providers that receive returned mails themselves.

The body is signed: header ``X-Signature`` is the HMAC-SHA256, in hex, of ``<X-Signature-Timestamp>.<body>`` with one of
`mail_webhook_keys`, the timestamp in seconds since 1970. The JSON is an event or a list of events, in one of two forms:

- ``{"type": "bounce" | "complaint", "return_path": …, "recipient": …, "reason": …, "status": …}``;
- Amazon SES' notifications, ``{"notificationType": "Bounce" | "Complaint", "mail": {"source": …}, …}``, and the records
  of its event publishing, which have ``eventType`` instead, and the additional type ``Reject`` for a mail that SES
  accepted but didn't send.

A bounce of the first form is final. SES also reports automatic replies as bounces, so a bounce of SES that isn't
permanent counts only if it says why the mail wasn't delivered. Events of other types have no effect. An event that
can't be read is counted and logged; the other events of its list are processed.

The return path of an event identifies its mail. Its signature is checked as for a returned mail.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parseaddr
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import generate_latest

from fraudstream.errors import KafkaError
from fraudstream.mail.bounces.receiver import Bounces
from fraudstream.mail.bounces.reports import Outcome, Report

logger = logging.getLogger(__name__)

#: Maximum difference in seconds between a signature's timestamp and now, so that an old request can't be repeated.
_SKEW = 300.0
_LARGEST = 1 << 20
#: Subtypes of SES' bounces that don't say whether the mail was delivered, or why not.
_SES_UNCLEAR = ("", "General", "Undetermined")


def create_webhook(bounces: Bounces, keys: Sequence[str], clock: Callable[[], float] = time.time) -> FastAPI:
    """Returns the app: POST /events, GET /metrics and /health/live.

    POST /events returns 204 once all events are durable, 403 without a valid signature, 400 if nothing can be read, 413
    for a body of more than 1 MiB, and 503 if Kafka is not available.
    """
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
        except ValueError as error:
            logger.warning("the mail provider posted what is not JSON: %s", error)
            bounces.refused("webhook")
            return Response(status_code=400)
        posted = found if isinstance(found, list) else [found]
        reports = []
        for event in posted:
            try:
                reports.append(_report(event))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                logger.warning("the mail provider posted an event of no known shape: %r", error)
                bounces.refused("webhook")
        if posted and not reports:
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
    """Whether one of the keys signed this body, with a timestamp at most 300 s before or after `now`."""
    stamp, signature = headers.get("x-signature-timestamp", ""), headers.get("x-signature", "")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12 or abs(now - int(stamp)) > _SKEW:
        return False
    text = stamp.encode() + b"." + body
    return any(
        hmac.compare_digest(hmac.digest(key.encode(), text, hashlib.sha256).hex().encode(), signature.encode())
        for key in keys
    )


def _report(event: Mapping[str, Any]) -> Report:
    if "notificationType" in event or "eventType" in event:
        return _ses(event, str(event.get("notificationType") or event["eventType"]))
    outcome = {"bounce": Outcome.BOUNCED, "complaint": Outcome.COMPLAINED}.get(str(event["type"]))
    if outcome is None:
        return Report(Outcome.OTHER, str(event["type"])[:500], addresses=[str(event.get("return_path", ""))])
    return Report(
        outcome,
        str(event.get("reason", ""))[:500],
        str(event.get("status", ""))[:20],
        str(event.get("recipient", "")),
        [str(event["return_path"])],
    )


def _ses(event: Mapping[str, Any], what: str) -> Report:
    mail = event["mail"]
    addresses = [parseaddr(str(mail["source"]))[1]]
    if what == "Bounce":
        bounce = event["bounce"]
        (recipient, *_) = bounce["bouncedRecipients"]
        kind = str(bounce.get("bounceSubType", ""))
        # SES reports a transient bounce after it has tried for hours and given up. Automatic replies have the subtype
        # General, and no action of a delivery status notification.
        failed = str(recipient.get("action", "")).lower() == "failed"
        given_up = failed or bounce["bounceType"] == "Permanent" or kind not in _SES_UNCLEAR
        reason = str(recipient.get("diagnosticCode", kind))[:500]
        status = str(recipient.get("status", ""))[:20]
        outcome = Outcome.BOUNCED if given_up else Outcome.OTHER
        return Report(outcome, reason, status, str(recipient["emailAddress"]), addresses)
    if what == "Complaint":
        complaint = event["complaint"]
        (recipient, *_) = complaint["complainedRecipients"]
        # The recipient complained about an earlier mail, so SES didn't send this one.
        unsent = complaint.get("complaintSubType") == "OnAccountSuppressionList"
        reason = "OnAccountSuppressionList" if unsent else str(complaint.get("complaintFeedbackType", "complaint"))
        outcome = Outcome.BOUNCED if unsent else Outcome.OTHER if reason == "not-spam" else Outcome.COMPLAINED
        return Report(outcome, reason, "", str(recipient["emailAddress"]), addresses)
    if what == "Reject":
        (recipient, *_) = mail["destination"]
        reason = str(event.get("reject", {}).get("reason", what))[:500]
        return Report(Outcome.BOUNCED, reason, "", str(recipient), addresses)
    return Report(Outcome.IN_PROGRESS, what, "", "", addresses)
