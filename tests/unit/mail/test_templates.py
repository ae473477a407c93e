"""Mails are rendered as Jinja would, with any values; checked with the standard library's parser."""

import re
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from fraudstream.errors import SettingsError
from fraudstream.mail.customers.customer import Customer
from fraudstream.mail.letter.facts import FactsWriter
from fraudstream.mail.letter.templates import (
    REMINDER,
    Facts,
    Kind,
    MailTemplates,
    _subject,
    cleaned,
    message_id,
)
from fraudstream.settings import TEMPLATES as FILES
from fraudstream.settings import Settings
from fraudstream.texts import texts_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.mail import sample_facts
from tests.unit.mail.bench import Links

AT = datetime(2023, 10, 7, 12, 30, 5, tzinfo=UTC)
TEMPLATES = MailTemplates(Settings())
CASES: list[tuple[Kind, str]] = [
    ("notice", ""),
    ("fraud_notice", ""),
    ("fraud_notice", REMINDER),
    ("receipt", "REPORTED_FRAUD"),
    ("receipt", "REPORTED_NOT_FRAUD"),
    ("receipt", "NO_RESPONSE"),
    ("receipt", "STAFF_REPORTED_FRAUD"),
    ("receipt", "STAFF_REPORTED_NOT_FRAUD"),
]
FACTS = sample_facts()
TEXTS = texts_of(Settings())
LANGUAGES = list(TEXTS)
GOLDEN = Path(__file__).parent / "golden"
#: Text as Avro can carry it, with what breaks mail well represented.
nasty = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n.=%&<>\"' \t\x00é€😀\u202e"), max_size=300
)
facts = st.builds(
    Facts,
    **{field.name: nasty for field in fields(Facts) if field.name not in ("language", "status")},
    language=st.sampled_from(LANGUAGES),
)


def with_status(values: Facts, status: str) -> Facts:
    return replace(values, status=status)


def render(kind: Kind, values: Facts) -> bytes:
    return TEMPLATES.render(kind, values, recipient="c1@example.com", identity="<x@bank.example>", sent_at=AT)


def golden_facts(kind: Kind, status: str, language: str) -> Facts:
    """The facts that FactsWriter makes of a transaction, for a customer of the language's country."""
    settings = Settings(bank_currency="IDR")
    row = {
        "idTransaction": "3f9a-000000017",
        "amount": 18_198_343,
        "type": "CASH_OUT",
        "nameOrig": "C1231006815",
        "nameDest": "M1979787155",
        "timestamp": 1_696_125_600_000,
        "answeredAt": 1_696_238_100_000,
        "status": status.removeprefix("STAFF_"),
        "staff": status.startswith("STAFF_"),
    }
    customer = {
        "en": Customer("c1@example.com", "en-GB", "Europe/London", "Zoë O'Brien"),
        "id": Customer("c1@example.com", "id", "Asia/Jakarta", "Siti Rahayu"),
    }[language]
    until = row["timestamp"] + settings.confirmation_time_limit_seconds * 1000
    return FactsWriter(settings, Links()).facts(kind, row, until, customer, reminder=status == REMINDER)


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
        shown = {name: cleaned(value) for name, value in asdict(values).items()}
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

    def test_a_sender_whose_message_ids_would_not_fit_into_a_record_is_refused(self) -> None:
        domain = ".".join(["a" * 60, "b" * 60, "c" * 60, "d" * 7])
        identity = message_id(
            "fraud_transaction", "fraud_notice", "tx", MailTemplates(Settings(mail_sender=f"no-reply@{domain}")).domain
        )
        assert len(f"{identity}/99999999") == 255
        with pytest.raises(SettingsError, match=r"FRAUDSTREAM_MAIL_SENDER .* has 191 characters"):
            MailTemplates(Settings(mail_sender=f"no-reply@{domain}d"))

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
    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(("kind", "status"), CASES)
    def test_both_parts_say_what_happened_to_the_account(self, kind: Kind, status: str, language: str) -> None:
        text = TEXTS[language]
        message = parse(render(kind, replace(FACTS, language=language, status=status)))
        for words in (part(message, "plain"), BeautifulSoup(part(message, "html"), "html.parser").get_text(" ")):
            for value in (FACTS.amount, FACTS.type, FACTS.account, FACTS.counterparty, FACTS.time, FACTS.id):
                assert value in words
            for label in ("amount", "type", "from", "to", "time", "id"):
                assert text[f"label_{label}"] in words, "the words of the pages"
            assert text["mail_never"] in words
            assert "Example Bank" in words
        assert FACTS.amount not in str(message["Subject"])

    @pytest.mark.parametrize(("kind", "status"), CASES)
    def test_the_amount_is_in_the_subject_only_if_the_setting_says_so(self, kind: Kind, status: str) -> None:
        templates = MailTemplates(Settings(mail_amount_in_subject=True))
        content = templates.render(
            kind, with_status(FACTS, status), recipient="c1@example.com", identity="<x@bank.example>", sent_at=AT
        )
        shown, hidden = str(parse(content)["Subject"]), str(parse(render(kind, with_status(FACTS, status)))["Subject"])
        assert shown == f"{hidden} (9,839.64)"

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_a_fraud_notice_has_the_two_links_and_says_until_when_and_what_else_to_do(self, language: str) -> None:
        text = TEXTS[language]
        message = parse(render("fraud_notice", replace(FACTS, language=language)))
        html = BeautifulSoup(part(message, "html"), "html.parser")
        assert {str(link.get_text()): link["href"] for link in html.find_all("a")} == {
            text["button_fraud"]: FACTS.fraud_url,
            text["button_not_fraud"]: FACTS.not_fraud_url,
        }
        lines = part(message, "plain").split("\r\n")
        assert lines[lines.index(f"{text['button_fraud']}:") + 1] == FACTS.fraud_url
        assert lines[lines.index(f"{text['button_not_fraud']}:") + 1] == FACTS.not_fraud_url
        for words in (" ".join(lines), html.get_text(" ")):
            assert text["mail_deadline"].replace("{until}", FACTS.until) in words
            assert text["mail_way_out"] in words

    def test_the_banks_phone_number_is_the_other_way_out(self) -> None:
        templates = MailTemplates(Settings(bank_phone="+62 21 500"))
        content = templates.render("fraud_notice", FACTS, recipient="c@x", identity="<x@y>", sent_at=AT)
        for subtype in ("plain", "html"):
            assert "You do not have to use these links: call us at +62 21 500, or open our app." in part(
                parse(content), subtype
            )

    @pytest.mark.parametrize(("kind", "status"), [case for case in CASES if case[0] != "fraud_notice"])
    def test_other_mails_have_no_link(self, kind: Kind, status: str) -> None:
        message = parse(render(kind, with_status(FACTS, status)))
        assert "<a" not in part(message, "html")
        assert "confirm/" not in part(message, "plain")

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(("kind", "status"), CASES)
    def test_a_mail_greets_by_name_if_the_name_is_known(self, kind: Kind, status: str, language: str) -> None:
        values = replace(FACTS, language=language, status=status)
        greeting = TEXTS[language]["mail_greeting"].partition("{")[0]
        for subtype in ("plain", "html"):
            known = part(parse(render(kind, replace(values, name="Siti Ä. <b>"))), subtype)
            assert f"{greeting}{'Siti Ä. <b>' if subtype == 'plain' else 'Siti Ä. &lt;b&gt;'}," in known
            assert greeting not in part(parse(render(kind, values)), subtype)

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_a_receipt_says_what_was_answered_and_whom_to_call(self, language: str) -> None:
        text = TEXTS[language]
        for status in (status for kind, status in CASES if kind == "receipt"):
            message = parse(render("receipt", replace(FACTS, language=language, status=status)))
            assert str(message["Subject"]) == text[f"recorded_title_{status}"], "the page's words"
            for words in (part(message, "plain"), BeautifulSoup(part(message, "html"), "html.parser").get_text(" ")):
                assert text[f"recorded_answer_{status}"] in words
                assert FACTS.answered in words
                staff = status.startswith("STAFF_")
                not_you = "staff_not_you" if staff else "mail_receipt_not_you"
                assert text["recorded_next_NO_RESPONSE" if status == "NO_RESPONSE" else not_you] in words
                assert (text["label_decision"] in words, text["label_answer"] in words) == (staff, not staff)

    def test_replies_are_said_to_be_unread_only_where_nobody_gets_them(self) -> None:
        templates = MailTemplates(Settings(mail_reply_to="Help <help@bank.example>"))
        content = templates.render("notice", FACTS, recipient="c@x", identity="<x@y>", sent_at=AT)
        assert TEXTS["en"]["mail_no_reply"] in part(parse(render("notice", FACTS)), "plain")
        for subtype in ("plain", "html"):
            assert TEXTS["en"]["mail_no_reply"] not in part(parse(content), subtype)

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(("kind", "status"), CASES)
    def test_html_needs_nothing_from_elsewhere_and_fits_small_screens(
        self, kind: Kind, status: str, language: str
    ) -> None:
        values = replace(FACTS, language=language, status=status)
        html = BeautifulSoup(part(parse(render(kind, values)), "html"), "html.parser")
        assert html.find_all(["img", "link", "script", "iframe", "object"]) == []
        assert "url(" not in str(html)
        assert "@import" not in str(html)
        assert html.html is not None
        assert html.html["lang"] == language
        widths = [int(str(table["width"])) for table in html.find_all("table") if str(table["width"]).isdigit()]
        assert widths
        assert max(widths) <= 600
        assert all(table["role"] == "presentation" for table in html.find_all("table"))

    def test_no_template_has_words_of_its_own(self) -> None:
        for template in (FILES / "mail").iterdir():
            bare = re.sub(
                r"\{#.*?#\}|<style>.*?</style>|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>|&nbsp;|Subject:|--",
                " ",
                template.read_text(),
                flags=re.S,
            )
            assert set("".join(bare.split())) <= {":", "(", ")"}, template.name

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_no_text_promises_what_the_system_does_not_do(self, language: str) -> None:
        promised = re.compile(r"refund|return(ing)? the|reimburse|block|cancel|kembalikan|blokir|batalkan", re.I)
        assert [name for name, words in TEXTS[language].items() if promised.search(words)] == []

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(("kind", "status"), CASES)
    def test_the_plain_text_is_the_golden_one(self, kind: Kind, status: str, language: str) -> None:
        """After a change of the texts: check the file's new content, and keep it if it is right."""
        message = parse(render(kind, golden_facts(kind, status, language)))
        found = f"Subject: {message['Subject']}\n\n" + part(message, "plain").replace("\r\n", "\n")
        file = GOLDEN / f"{'_'.join(filter(None, (kind, status)))}.{language}.txt"
        assert found == file.read_text(encoding="utf-8")


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


def test_nothing_that_is_not_printable_survives_cleaning() -> None:
    assert cleaned("C1\r\nBcc: x\u202e\x00é") == "C1  Bcc: x  é"
