"""Mails are what Jinja renders, whatever the values; read back with the standard library's parser."""

import re
from dataclasses import asdict, fields
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from bs4 import BeautifulSoup
from fraudstream.errors import SettingsError
from fraudstream.mail.letter.templates import (
    Facts,
    Kind,
    MailTemplates,
    _subject,
    cleaned,
    message_id,
    shown_time,
    shown_type,
)
from fraudstream.settings import Settings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.mail import sample_facts

AT = datetime(2023, 10, 7, 12, 30, 5, tzinfo=UTC)
TEMPLATES = MailTemplates(Settings())
CASES: list[tuple[Kind, str]] = [
    ("notice", ""),
    ("fraud_notice", ""),
    ("receipt", "REPORTED_FRAUD"),
    ("receipt", "REPORTED_NOT_FRAUD"),
    ("receipt", "NO_RESPONSE"),
]
FACTS = sample_facts()
#: Text as Avro can carry it, with what breaks mail well represented.
nasty = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n.=%&<>\"' \t\x00é€😀\u202e"), max_size=300
)
facts = st.builds(Facts, **{field.name: nasty for field in fields(Facts) if field.name != "status"})


def with_status(values: Facts, status: str) -> Facts:
    return Facts(**{**asdict(values), "status": status})


def render(kind: Kind, values: Facts) -> bytes:
    return TEMPLATES.render(kind, values, recipient="c1@example.com", identity="<x@bank.example>", sent_at=AT)


def parse(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=default)
    assert message.defects == []
    return message


def part(message: EmailMessage, subtype: str) -> str:
    body = message.get_body((subtype,))
    assert body is not None
    assert body.defects == []
    return str(body.get_content())


class TestBytes:
    @pytest.mark.parametrize(("kind", "status"), CASES)
    @settings(deadline=None)
    @given(values=facts)
    def test_every_part_is_what_jinja_renders_of_the_same_values(self, kind: Kind, status: str, values: Facts) -> None:
        values = with_status(values, status)
        shown = {name: cleaned(value) for name, value in asdict(values).items()} | {"status": status}
        subject, text, html = TEMPLATES.texts(kind, shown)

        message = parse(render(kind, values))

        assert part(message, "plain") == text.replace("\n", "\r\n")
        assert part(message, "html") == html.replace("\n", "\r\n")
        assert str(message["Subject"]).split() == subject.split()

    @pytest.mark.parametrize(("kind", "status"), CASES)
    @settings(deadline=None)
    @given(values=facts)
    def test_it_is_seven_bit_with_short_lines_that_end_with_crlf(self, kind: Kind, status: str, values: Facts) -> None:
        content = render(kind, with_status(values, status))
        assert content.isascii()
        assert content.endswith(b"\r\n")
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", content)
        body = content.partition(b"\r\n\r\n")[2]
        assert max(map(len, body.split(b"\r\n"))) <= 76
        assert max(map(len, content.split(b"\r\n"))) <= 998

    @pytest.mark.parametrize(("kind", "status"), CASES)
    @settings(deadline=None)
    @given(values=facts)
    def test_no_value_can_add_or_change_a_header(self, kind: Kind, status: str, values: Facts) -> None:
        message = parse(render(kind, with_status(values, status)))
        assert message.keys() == [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "X-Auto-Response-Suppress",
            "MIME-Version",
            "Content-Type",
        ]
        assert message["From"] == "Example Bank <no-reply@bank.example>"
        assert message["To"] == "c1@example.com"
        assert message["Date"].datetime == AT
        assert message["Message-ID"] == "<x@bank.example>"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["MIME-Version"] == "1.0"
        assert message.get_content_type() == "multipart/alternative"
        assert [str(one.get_content_type()) for one in message.iter_parts()] == ["text/plain", "text/html"]

    def test_a_sender_with_an_accent_is_read_back(self) -> None:
        sender = "Crédit 100 % <no-reply@bank.example>"
        templates = MailTemplates(Settings(mail_sender=sender, bank_name="Crédit 100 %"))
        content = templates.render("notice", FACTS, recipient="c1@example.com", identity="<x@y>", sent_at=AT)
        assert parse(content)["From"] == "Crédit 100 % <no-reply@bank.example>"
        assert "Crédit 100 %" in part(parse(content), "plain")

    @pytest.mark.parametrize("sender", ["", "Example Bank", "Bank <a b@example.com>", "a@b\r\nBcc: c@d"])
    def test_an_unusable_sender_is_refused_by_name(self, sender: str) -> None:
        with pytest.raises(SettingsError, match="FRAUDSTREAM_MAIL_SENDER"):
            MailTemplates(Settings(mail_sender=sender))

    def test_answers_go_to_the_address_of_the_setting(self) -> None:
        templates = MailTemplates(Settings(mail_reply_to="Help <help@bücher.example>"))
        message = parse(templates.render("notice", FACTS, recipient="c@x", identity="<x@y>", sent_at=AT))
        assert message["Reply-To"] == "Help <help@xn--bcher-kva.example>"

    @pytest.mark.parametrize(
        "subject",
        ["kurz", "ä" * 60, ("Ein langer Betreff " * 9).strip(), "=?utf-8?q?fake?=", "a" * 66, "🦊" * 40, "a" * 67],
    )
    def test_a_subject_of_any_length_is_read_back_from_short_lines(self, subject: str) -> None:
        lines = b"Subject: " + _subject(subject) + b"\r\n\r\n"
        assert str(parse(lines)["Subject"]) == subject
        assert max(len(line) for line in lines.split(b"\r\n")) <= 78
        assert all(len(word) <= 75 for line in lines.split(b"\r\n") for word in line.split() if word[:2] == b"=?")


class TestWords:
    @pytest.mark.parametrize(("kind", "status"), CASES)
    def test_both_parts_say_what_happened_to_the_account(self, kind: Kind, status: str) -> None:
        message = parse(render(kind, with_status(FACTS, status)))
        for words in (part(message, "plain"), BeautifulSoup(part(message, "html"), "html.parser").get_text(" ")):
            for value in (FACTS.amount, FACTS.type, FACTS.account, FACTS.counterparty, FACTS.time, FACTS.id):
                assert value in words
        assert str(message["Subject"]).endswith("Cash out of 9,839.64")

    def test_a_fraud_notice_has_the_two_links_and_says_until_when_they_work(self) -> None:
        message = parse(render("fraud_notice", FACTS))
        html = BeautifulSoup(part(message, "html"), "html.parser")
        assert {str(link.get_text()): link["href"] for link in html.find_all("a")} == {
            "Report as fraud": FACTS.fraud_url,
            "Not fraud, it was me": FACTS.not_fraud_url,
        }
        text = part(message, "plain").split("\r\n")
        assert {text[number + 1]: line for number, line in enumerate(text) if line.endswith(":")} == {
            link["href"]: f"{link.get_text()}:" for link in html.find_all("a")
        }
        assert FACTS.fraud_url in text
        assert FACTS.not_fraud_url in text
        assert f"until {FACTS.until}" in html.get_text(" ")
        assert f"until {FACTS.until}." in part(message, "plain")

    @pytest.mark.parametrize(("kind", "status"), [case for case in CASES if case[0] != "fraud_notice"])
    def test_other_mails_have_no_link(self, kind: Kind, status: str) -> None:
        message = parse(render(kind, with_status(FACTS, status)))
        assert "<a" not in part(message, "html")
        assert "confirm/" not in part(message, "plain")

    def test_each_answer_gets_words_of_its_own(self) -> None:
        said = {part(parse(render("receipt", with_status(FACTS, status))), "plain") for _, status in CASES[2:]}
        assert len(said) == 3
        assert all(FACTS.answered in words for words in said)

    @pytest.mark.parametrize(("kind", "status"), CASES)
    def test_html_needs_nothing_from_elsewhere_and_fits_small_screens(self, kind: Kind, status: str) -> None:
        html = BeautifulSoup(part(parse(render(kind, with_status(FACTS, status))), "html"), "html.parser")
        assert html.find_all(["img", "link", "script", "iframe", "object"]) == []
        assert "url(" not in str(html)
        assert "@import" not in str(html)
        assert html.html is not None
        assert html.html["lang"] == "en"
        widths = [int(str(table["width"])) for table in html.find_all("table") if str(table["width"]).isdigit()]
        assert widths
        assert max(widths) <= 600
        assert all(table["role"] == "presentation" for table in html.find_all("table"))


class TestMessageId:
    def test_it_is_the_same_for_the_same_mail_and_another_for_any_other(self) -> None:
        same = message_id("fraud_transaction", "fraud_notice", "tx-1", "bank.example")
        assert same == message_id("fraud_transaction", "fraud_notice", "tx-1", "bank.example")
        others = {
            message_id("fraud_transaction", "fraud_notice", "tx-2", "bank.example"),
            message_id("fraud_transaction", "receipt", "tx-1", "bank.example"),
            message_id("fraud_confirmation", "fraud_notice", "tx-1", "bank.example"),
        }
        assert len(others | {same}) == 4

    @given(id_transaction=nasty)
    def test_it_is_well_formed_for_any_id(self, id_transaction: str) -> None:
        identity = message_id("fraud_transaction", "fraud_notice", id_transaction, "bank.example")
        assert re.fullmatch(r"<fraud_notice\.[0-9a-f]{40}@bank\.example>", identity)


def test_times_and_types_are_shown_for_people() -> None:
    assert shown_time(1_696_681_805_000) == "2023-10-07 12:30 UTC"
    assert [shown_type(symbol) for symbol in ("CASH_IN", "PAYMENT")] == ["Cash in", "Payment"]


def test_nothing_that_is_not_printable_survives_cleaning() -> None:
    assert cleaned("C1\r\nBcc: x\u202e\x00é") == "C1  Bcc: x  é"
