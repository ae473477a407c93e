"""Returned mails in the forms of mail servers, and a receiver for tests."""

from collections.abc import Iterable

from fraudstream.cases.events import CaseEvent
from fraudstream.errors import KafkaUnavailable
from fraudstream.mail.bounces.addresses import ReturnAddresses
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
