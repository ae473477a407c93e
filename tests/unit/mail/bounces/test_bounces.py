"""Returned mails: which mail they are about, what they say, and what becomes of that."""

import asyncio
import codecs
import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from aiosmtpd.smtp import Envelope
from fastapi.testclient import TestClient
from fraudstream.cases.events import MAIL_BOUNCED, MAIL_COMPLAINED, CaseEvent
from fraudstream.errors import KafkaUnavailable, SettingsError
from fraudstream.mail.bounces import receiver
from fraudstream.mail.bounces.addresses import About, ReturnAddresses
from fraudstream.mail.bounces.receiver import Bounces, Receiver
from fraudstream.mail.bounces.reports import Outcome, read_report
from fraudstream.mail.bounces.webhook import create_webhook
from fraudstream.mail.letter.recipients import is_address
from fraudstream.settings import Settings

CASE = "738e366774-000000042"
KEY, OTHER_KEY = "a-key-of-the-tests-only", "another-key-of-the-tests"
NOW = 1_700_000_000

POSTFIX = b"""\
From: MAILER-DAEMON@relay.example (Mail Delivery System)
To: %b
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

<c1@example.com>: host mx.example.com said: 550 5.1.1 unknown

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example
Arrival-Date: Fri, 27 Nov 2026 09:00:00 +0000

Final-Recipient: rfc822; c1@example.com
Action: %b
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <c1@example.com>:
    Recipient address rejected

--b
Content-Type: text/rfc822-headers

From: no-reply@bank.example

--b--
"""
COMPLAINT = b"""\
From: feedback@provider.example
To: complaints@bank.example
Subject: FW: Was this yours?
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider/1.0
Version: 1
%b

--b
Content-Type: message/rfc822

Return-Path: <%b>
From: no-reply@bank.example
Subject: Was this yours?

text
--b--
"""
VACATION = b"""\
From: c1@example.com
Subject: Out of office
Auto-Submitted: auto-replied

I am away.
"""
QMAIL = b"""\
From: MAILER-DAEMON@mx.example.com
Subject: failure notice

Hi. This is the qmail-send program at mx.example.com.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<c1@example.com>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

"""


#: With "bounces@" 199 characters.
LONG_DOMAIN = ".".join(["a" * 63, "b" * 63, "c" * 63])


def addresses(*keys: str, sender: str = "bounces@bank.example") -> ReturnAddresses:
    return ReturnAddresses(Settings(mail_bounce_keys=",".join(keys or (KEY,)), mail_envelope_sender=sender))


class Events:
    """Stands for the topic."""

    def __init__(self) -> None:
        self.published: list[CaseEvent] = []
        self.down = False

    def publish(self, events: Iterable[CaseEvent]) -> None:
        if self.down:
            raise KafkaUnavailable("no answer")
        self.published += events


class TestReturnAddresses:
    @pytest.mark.parametrize("kind", ["notice", "fraud_notice", "receipt"])
    def test_an_address_says_which_mail_it_belongs_to_whatever_servers_do_to_its_case(self, kind: Any) -> None:
        made = addresses().of(kind, CASE)
        assert made.startswith("bounces+")
        assert len(made.rpartition("@")[0]) <= 64
        for spelling in (made, made.upper(), f"<{made}>"):
            assert addresses().read(spelling) == About(kind, CASE)

    def test_nothing_that_was_changed_or_made_up_is_read(self) -> None:
        made = addresses().of("fraud_notice", CASE)
        for forged in (
            made.replace("+f", "+n"),
            made.replace("000000042", "000000043"),
            made.replace("@bank", "@other"),
            made[:9] + made[10:],
            addresses(OTHER_KEY).of("fraud_notice", CASE),
            "bounces@bank.example",
            "",
            "bounces+f1.aaaaaaaaaaaaaaaa@bank.example",
        ):
            assert addresses().read(forged) is None, forged

    def test_a_key_is_replaced_without_losing_mails_that_are_out(self) -> None:
        made = addresses(KEY).of("receipt", CASE)
        assert addresses(OTHER_KEY, KEY).read(made) == About("receipt", CASE)
        assert addresses(OTHER_KEY, KEY).of("receipt", CASE) == addresses(OTHER_KEY).of("receipt", CASE)

    def test_the_longest_return_address_is_one_that_mail_servers_take(self) -> None:
        address = addresses(sender=f"bounces@{LONG_DOMAIN}").of("fraud_notice", "0" * 36)
        assert len(address) == 254
        assert is_address(address)

    def test_without_keys_or_with_an_odd_id_the_plain_address_is_used(self) -> None:
        plain = ReturnAddresses(Settings(mail_envelope_sender="bounces@bank.example"))
        assert plain.of("notice", CASE) == "bounces@bank.example"
        assert addresses().of("notice", "an id\r\nRCPT") == "bounces@bank.example"
        assert ReturnAddresses(Settings()).of("notice", CASE) == "no-reply@bank.example"

    @pytest.mark.parametrize(
        ("values", "setting"),
        [
            ({"mail_bounce_keys": "short"}, "MAIL_BOUNCE_KEYS"),
            ({"mail_bounce_keys": KEY, "mail_envelope_sender": "a-long-local-part@bank.example"}, "ENVELOPE_SENDER"),
            ({"mail_bounce_keys": KEY, "mail_envelope_sender": f"bounces@{LONG_DOMAIN}a"}, "ENVELOPE_SENDER"),
            ({"mail_envelope_sender": "no address"}, "ENVELOPE_SENDER"),
        ],
    )
    def test_what_can_not_work_is_refused_by_name(self, values: dict[str, str], setting: str) -> None:
        with pytest.raises(SettingsError, match=setting):
            ReturnAddresses(Settings(**values))


class TestReports:
    def test_a_bounce_has_its_reason_status_and_recipient(self) -> None:
        report = read_report(POSTFIX % (b"x", b"failed"))
        assert (report.outcome, report.status, report.recipient) == (Outcome.BOUNCED, "5.1.1", "c1@example.com")
        assert report.reason == "550 5.1.1 <c1@example.com>: Recipient address rejected"

    def test_a_bounce_with_text_in_any_encoding_is_one(self) -> None:
        bounce = POSTFIX % (b"x", b"failed")
        for charset, reason in (("utf-8", "ящика нет"), ("koi8-r", "����� ���")):
            report = read_report(bounce.replace(b"Recipient address rejected", "ящика нет".encode(charset)))
            assert (report.outcome, report.status) == (Outcome.BOUNCED, "5.1.1")
            assert report.reason == f"550 5.1.1 <c1@example.com>: {reason}"

    @pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
    def test_a_bounce_of_internationalized_mail_is_one(self, encoding: str) -> None:
        head, _, rest = (POSTFIX % (b"x", b"failed")).partition(b"Content-Type: message/delivery-status\n\n")
        body, end, rest = rest.partition(b"\n--b\n")
        body = body.replace(b"rfc822; c1@", "utf-8; ящик@".encode())
        if encoding != "8bit":
            body = codecs.encode(body, encoding)
        kind = f"Content-Type: message/global-delivery-status\nContent-Transfer-Encoding: {encoding}\n\n".encode()
        report = read_report(head + kind + body + end + rest)
        assert (report.outcome, report.status, report.recipient) == (Outcome.BOUNCED, "5.1.1", "ящик@example.com")

    @pytest.mark.parametrize(
        ("was", "became"),
        [
            (b"+0000\n\nFinal", b"+0000\nFinal"),
            (b"Reporting-MTA: dns; relay.example\nArrival-Date: Fri, 27 Nov 2026 09:00:00 +0000\n\n", b""),
            (b"Action: failed", b"Action: Failed (for good)"),
        ],
        ids=["one block", "no block about the mail", "comment"],
    )
    def test_a_bounce_in_other_blocks_than_the_standard_says_is_one(self, was: bytes, became: bytes) -> None:
        bounce = POSTFIX % (b"x", b"failed")
        assert was in bounce
        report = read_report(bounce.replace(was, became))
        assert (report.outcome, report.status, report.recipient) == (Outcome.BOUNCED, "5.1.1", "c1@example.com")

    @pytest.mark.parametrize("action", [b"delayed", b"delivered", b"relayed"])
    def test_a_mail_that_is_still_on_its_way_has_not_bounced(self, action: bytes) -> None:
        assert read_report(POSTFIX % (b"x", action)).outcome is Outcome.IN_PROGRESS

    def test_words_of_servers_without_a_format_are_known(self) -> None:
        assert read_report(QMAIL).outcome is Outcome.BOUNCED
        assert read_report(QMAIL).recipient == "c1@example.com"
        subject = read_report(QMAIL.replace(b"failure notice", "не доставлено".encode()))
        assert (subject.outcome, subject.reason) == (Outcome.BOUNCED, "не доставлено")

    def test_a_vacation_notice_is_no_bounce(self) -> None:
        assert read_report(VACATION).outcome is Outcome.OTHER
        assert read_report(VACATION.replace(b"replied", "replied (ответ)".encode())).outcome is Outcome.OTHER

    def test_a_complaint_names_where_the_mail_came_from(self) -> None:
        report = read_report(COMPLAINT % (b"Original-Mail-From: <one@x>", b"two@x"))
        assert report.outcome is Outcome.COMPLAINED
        assert list(report.addresses) == ["<one@x>", "<two@x>"]
        report = read_report(COMPLAINT % ("Original-Mail-From: ящик@x".encode(), b"two@x"))
        assert list(report.addresses) == ["ящик@x", "<two@x>"]

    @pytest.mark.parametrize(
        "content",
        [b"", b"\x00\xff" * 100, POSTFIX[:300], COMPLAINT[:200], b"Content-Type: message/delivery-status\n\n"],
    )
    def test_whatever_comes_is_read(self, content: bytes) -> None:
        assert read_report(content).outcome in (Outcome.OTHER, Outcome.IN_PROGRESS)


class TestReceiver:
    def take(self, events: Events, to: str, content: bytes) -> tuple[str, str]:
        """Replies to RCPT and, where that was taken, to the content."""

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
