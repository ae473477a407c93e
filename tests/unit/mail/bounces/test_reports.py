"""The kinds of returned mails: bounces, complaints and automatic replies."""

import codecs

import pytest
from fraudstream.mail.bounces.reports import Outcome, read_report

from tests.unit.mail.bounces.returned_mails import COMPLAINT, POSTFIX, QMAIL, VACATION


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
