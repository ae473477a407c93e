"""The receiver of returned mails and the webhook for mail providers, and the events that they write."""

import asyncio
import hashlib
import hmac
from typing import Any

import orjson
import pytest
from aiosmtpd.smtp import Envelope
from fastapi.testclient import TestClient
from fraudstream.cases.events import MAIL_BOUNCED, MAIL_COMPLAINED
from fraudstream.mail.bounces import receiver
from fraudstream.mail.bounces.receiver import Bounces, Receiver
from fraudstream.mail.bounces.webhook import create_webhook

from tests.unit.mail.bounces.returned_mails import (
    CASE,
    COMPLAINT,
    KEY,
    NOW,
    OTHER_KEY,
    POSTFIX,
    VACATION,
    Events,
    addresses,
)


class TestReceiver:
    def take(self, events: Events, to: str, content: bytes) -> tuple[str, str]:
        """The replies to RCPT and, if that was accepted, to the content."""

        async def talk() -> tuple[str, str]:
            receiver = Receiver(Bounces(addresses(), events))
            envelope = Envelope()
            taken = await receiver.handle_RCPT(None, None, envelope, to, [])  # type: ignore[arg-type]
            if not taken.startswith("250"):
                return taken, ""
            envelope.content = content
            return taken, await receiver.handle_DATA(None, None, envelope)  # type: ignore[arg-type]

        return asyncio.run(talk())

    def test_a_bounce_becomes_an_event_of_the_mail_it_was_returned_to(self) -> None:
        events = Events()
        to = addresses().of("fraud_notice", CASE)
        assert self.take(events, to, POSTFIX % (to.encode(), b"failed"))[1].startswith("250")
        (event,) = events.published
        assert (event.id_transaction, event.event_type, event.by) == (CASE, MAIL_BOUNCED, "bounces")
        assert event.recipient == "c1***@example.com"
        assert event.details == {"kind": "fraud_notice", "status": "5.1.1"}

    def test_a_complaint_becomes_an_event_if_the_mail_is_ours(self) -> None:
        events = Events()
        ours = addresses().of("notice", CASE).encode()
        assert self.take(events, "complaints@bank.example", COMPLAINT % (b"X: y", ours))[1].startswith("250")
        assert [(event.id_transaction, event.event_type) for event in events.published] == [(CASE, MAIL_COMPLAINED)]
        forged = addresses(OTHER_KEY).of("notice", CASE).encode()
        assert self.take(events, "complaints@bank.example", COMPLAINT % (b"X: y", forged))[1].startswith("554")
        assert len(events.published) == 1

    @pytest.mark.parametrize("to", ["bounces@bank.example", "someone@bank.example", "complaints@other.example"])
    def test_other_recipients_are_refused(self, to: str) -> None:
        assert self.take(Events(), to, b"")[0].startswith("550")

    def test_a_forged_return_address_is_refused(self) -> None:
        events = Events()
        assert self.take(events, addresses(OTHER_KEY).of("fraud_notice", CASE), b"")[0].startswith("550")
        assert events.published == []

    def test_a_vacation_notice_is_taken_and_changes_nothing(self) -> None:
        events = Events()
        assert self.take(events, addresses().of("notice", CASE), VACATION)[1].startswith("250")
        assert events.published == []

    def test_while_kafka_is_away_the_sender_is_asked_to_come_back(self) -> None:
        events = Events()
        events.down = True
        to = addresses().of("fraud_notice", CASE)
        assert self.take(events, to, POSTFIX % (to.encode(), b"failed"))[1].startswith("451")

    def test_a_bounce_on_which_the_parser_fails_is_not_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(content: bytes) -> None:
            raise AttributeError

        monkeypatch.setattr(receiver, "read_report", fail)
        assert self.take(Events(), addresses().of("fraud_notice", CASE), POSTFIX)[1].startswith("451")
        assert self.take(Events(), "complaints@bank.example", COMPLAINT)[1].startswith("554")


RECIPIENT = {"emailAddress": "c1@example.com"}


class TestWebhook:
    def post(self, events: Events, body: Any, *, key: str = KEY, at: int = NOW, now: int = NOW) -> int:
        text = orjson.dumps(body)
        signature = hmac.new(key.encode(), str(at).encode() + b"." + text, hashlib.sha256).hexdigest()
        app = create_webhook(Bounces(addresses(), events), [OTHER_KEY, KEY], clock=lambda: float(now))
        headers = {"X-Signature": signature, "X-Signature-Timestamp": str(at)}
        return int(TestClient(app).post("/events", content=text, headers=headers).status_code)

    def test_events_of_both_shapes_become_events_of_cases(self) -> None:
        events = Events()
        path = addresses().of("fraud_notice", CASE)
        generic = {"type": "bounce", "return_path": path, "recipient": "c1@example.com", "reason": "550 unknown"}
        ses = {
            "notificationType": "Complaint",
            "mail": {"source": path},
            "complaint": {"complainedRecipients": [{"emailAddress": "c1@example.com"}]},
        }
        bounced = {
            "notificationType": "Bounce",
            "mail": {"source": path},
            "bounce": {
                "bounceType": "Permanent",
                "bouncedRecipients": [{"emailAddress": "c1@example.com", "diagnosticCode": "550 no"}],
            },
        }
        assert self.post(events, [generic, ses, bounced]) == 204
        assert [(event.id_transaction, event.event_type, event.by) for event in events.published] == [
            (CASE, MAIL_BOUNCED, "webhook"),
            (CASE, MAIL_COMPLAINED, "webhook"),
            (CASE, MAIL_BOUNCED, "webhook"),
        ]
        assert {event.recipient for event in events.published} == {"c1***@example.com"}

    def ses(self, kind: str, **found: Any) -> dict[str, Any]:
        return {"notificationType": kind, "mail": {"source": addresses().of("fraud_notice", CASE)}, kind.lower(): found}

    @pytest.mark.parametrize(
        ("bounce", "recipient", "expected"),
        [
            (("Transient", "General"), {}, []),  # as SES reports automatic replies
            (("Undetermined", "Undetermined"), {}, []),
            (("Transient", "General"), {"action": "delayed", "status": "4.4.7"}, []),
            (("Transient", "General"), {"action": "failed", "status": "4.4.7"}, [MAIL_BOUNCED]),
            (("Transient", "MailboxFull"), {}, [MAIL_BOUNCED]),
            (("Permanent", "General"), {}, [MAIL_BOUNCED]),
        ],
    )
    def test_a_bounce_of_ses_counts_if_the_mail_was_not_delivered(
        self, bounce: tuple[str, str], recipient: dict[str, str], expected: list[str]
    ) -> None:
        events = Events()
        recipients = [{"emailAddress": "c1@example.com", **recipient}]
        found = self.ses("Bounce", bounceType=bounce[0], bounceSubType=bounce[1], bouncedRecipients=recipients)
        assert self.post(events, found) == 204
        assert [event.event_type for event in events.published] == expected

    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            (
                {"eventType": "Bounce", "bounce": {"bounceType": "Permanent", "bouncedRecipients": [RECIPIENT]}},
                [(MAIL_BOUNCED, "")],
            ),
            (
                {
                    "eventType": "Bounce",
                    "bounce": {"bounceType": "Transient", "bounceSubType": "General", "bouncedRecipients": [RECIPIENT]},
                },
                [],
            ),
            (
                {"eventType": "Complaint", "complaint": {"complainedRecipients": [RECIPIENT]}},
                [(MAIL_COMPLAINED, "complaint")],
            ),
            ({"eventType": "Reject", "reject": {"reason": "Bad content"}}, [(MAIL_BOUNCED, "Bad content")]),
            ({"eventType": "Delivery", "delivery": {}}, []),
            ({"eventType": "Open", "open": {}}, []),
            ({"eventType": "DeliveryDelay", "deliveryDelay": {"delayType": "MailboxFull"}}, []),
        ],
    )
    @pytest.mark.parametrize("source", ["{}", "Example Bank <{}>"])
    def test_records_of_ses_event_publishing_are_read(
        self, found: dict[str, Any], expected: list[tuple[str, str]], source: str
    ) -> None:
        events = Events()
        path = source.format(addresses().of("fraud_notice", CASE))
        assert self.post(events, found | {"mail": {"source": path, "destination": ["c1@example.com"]}}) == 204
        assert [(event.event_type, event.reason) for event in events.published] == expected
        assert {event.recipient for event in events.published} <= {"c1***@example.com"}

    @pytest.mark.parametrize(
        ("complaint", "expected"),
        [
            ({"complaintFeedbackType": "abuse"}, [MAIL_COMPLAINED]),
            ({"complaintFeedbackType": "not-spam"}, []),
            ({"complaintSubType": "OnAccountSuppressionList"}, [MAIL_BOUNCED]),
        ],
    )
    def test_a_complaint_of_ses_may_say_that_the_mail_was_not_sent(
        self, complaint: dict[str, str], expected: list[str]
    ) -> None:
        events = Events()
        found = self.ses("Complaint", complainedRecipients=[{"emailAddress": "c1@example.com"}], **complaint)
        assert self.post(events, found) == 204
        assert [event.event_type for event in events.published] == expected

    def test_an_event_that_can_not_be_used_costs_no_other_one(self) -> None:
        events = Events()
        bounce = {"type": "bounce", "return_path": addresses().of("fraud_notice", CASE)}
        odd = [{"type": "delivered"}, {"type": "bounce"}, 1, self.ses("Bounce", bouncedRecipients=[])]
        assert self.post(events, [*odd, bounce]) == 204
        assert [event.event_type for event in events.published] == [MAIL_BOUNCED]
        assert self.post(events, {"type": "delivered"}) == 204

    @pytest.mark.parametrize("changed", [{"key": "a-key-nobody-configured"}, {"at": NOW - 301}, {"at": NOW + 301}])
    def test_what_is_not_signed_now_with_a_key_is_refused(self, changed: dict[str, Any]) -> None:
        events = Events()
        body = {"type": "bounce", "return_path": addresses().of("notice", CASE)}
        assert self.post(events, body, **changed) == 403
        assert events.published == []

    def test_an_event_about_no_mail_of_ours_is_passed_over(self) -> None:
        events = Events()
        assert self.post(events, {"type": "bounce", "return_path": addresses(OTHER_KEY).of("notice", CASE)}) == 204
        assert events.published == []

    @pytest.mark.parametrize(
        "body", [{}, [1], "x", {"notificationType": "Bounce"}, {"eventType": "Reject"}, {"type": "bounce"}]
    )
    def test_what_has_no_known_shape_is_refused(self, body: Any) -> None:
        assert self.post(Events(), body) == 400

    def test_while_kafka_is_away_the_provider_is_asked_to_come_back(self) -> None:
        events = Events()
        events.down = True
        assert self.post(events, {"type": "bounce", "return_path": addresses().of("notice", CASE)}) == 503
