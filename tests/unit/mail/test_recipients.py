"""Addresses are made of columns, never of anything that could break a header or a command."""

import pytest
from fraudstream.errors import SettingsError
from fraudstream.mail.letter.recipients import COLUMNS, Recipients, is_address, to_ascii
from fraudstream.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

ROW = dict.fromkeys(COLUMNS, "x") | {"nameOrig": "C1231006815"}


def recipients(template: str = "{nameOrig}@example.com", **values: object) -> Recipients:
    return Recipients(Settings(mail_recipient_template=template, **values))  # type: ignore[arg-type]


def test_the_template_is_filled_with_the_columns() -> None:
    assert recipients("{nameOrig}+{type}@mail.example.com").address(ROW | {"type": "DEBIT"}) == (
        "C1231006815+DEBIT@mail.example.com"
    )
    assert recipients("{nameOrig}+{type}@example.com").columns == ["nameOrig", "type"]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{customer}@example.com", "'customer'"),
        ("{}@example.com", "''"),
        ("{nameOrig.__class__}@example.com", "'nameOrig.__class__'"),
        ("{nameOrig[0]}@example.com", r"'nameOrig\[0\]'"),
        ("{nameOrig!r}@example.com", "conversion"),
        ("{nameOrig:>10}@example.com", "format"),
        ("{nameOrig@example.com", "nameOrig@example.com"),
        ("{nameOrig}", "no mail address"),
        ("{nameOrig}@", "no mail address"),
        ("{nameOrig} @example.com", "no mail address"),
        ("{nameOrig}@example.com\r\nBcc: a@b.example", "no mail address"),
    ],
)
def test_an_unusable_template_is_refused_at_the_start(template: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE.*{problem}"):
        recipients(template)


@pytest.mark.parametrize(
    "text", ["c1@example.com", "C1+x.y@mail.example.com", "a@b", "o'neil@example.com", "x" * 64 + "@example.com"]
)
def test_plain_addresses_are_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c1",
        "@example.com",
        "c1@",
        "c1@@example.com",
        "c 1@example.com",
        "c1@example.com ",
        "c1@example.com\n",
        "c1@exa\rmple.com",
        ".c1@example.com",
        "c1.@example.com",
        "c..1@example.com",
        "c1@-example.com",
        "c1@example..com",
        "é@example.com",
        "<c1@example.com>",
        "x" * 65 + "@example.com",
        "c1@" + ".".join(["x" * 60] * 5),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_address(text)


@given(st.text(max_size=40))
def test_an_address_never_holds_what_ends_a_command_or_a_header(text: str) -> None:
    address = recipients().address(ROW | {"nameOrig": text})
    assert not is_address(address) or (address.isascii() and not set(address) & set("\r\n\t <>,;:\0"))


def test_safe_mode_lets_through_what_a_pattern_matches_as_a_whole() -> None:
    safe = recipients(mail_allowed_recipients=["*@example.com", "qa-?@bank.example"])
    assert safe.allowed("c1@example.com")
    assert safe.allowed("C1@EXAMPLE.COM")
    assert safe.allowed("qa-1@bank.example")
    assert not safe.allowed("qa-12@bank.example")
    assert not safe.allowed("c1@example.com.evil.example")
    assert not safe.allowed("c1@other.example")


def test_safe_mode_without_patterns_lets_nothing_through() -> None:
    assert not recipients(mail_allowed_recipients=[]).allowed("c1@example.com")


def test_without_safe_mode_everything_goes() -> None:
    assert recipients(mail_safe_mode=False, mail_allowed_recipients=[]).allowed("c1@other.example")


def test_safe_mode_is_on_by_default() -> None:
    assert not recipients().allowed("c1@other.example")


def test_a_domain_of_other_letters_is_written_as_dns_has_it() -> None:
    settings = Settings(mail_recipient_template="{nameOrig}@bücher.example", mail_allowed_recipients="*@BÜCHER.example")
    recipients = Recipients(settings)
    address = recipients.address({"nameOrig": "C1"})
    assert address == "C1@xn--bcher-kva.example"
    assert is_address(address)
    assert recipients.allowed(address)


def test_a_domain_that_dns_can_not_have_makes_no_address() -> None:
    assert not is_address(to_ascii("c1@-ü-.example"))
    assert not is_address(to_ascii("ü@example.com"))
