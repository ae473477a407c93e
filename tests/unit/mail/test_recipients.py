"""Addresses are built from columns, but never from text that could break a header or a command."""

import pytest
from fraudstream.errors import SettingsError
from fraudstream.mail.customers.customer import Customer
from fraudstream.mail.customers.template import COLUMNS, TemplateCustomers
from fraudstream.mail.letter.recipients import SafeMode, is_address, to_ascii
from fraudstream.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

ROW = dict.fromkeys(COLUMNS, "x") | {"nameOrig": "C1231006815"}


def recipients(template: str = "{nameOrig}@example.com") -> TemplateCustomers:
    return TemplateCustomers(Settings(mail_recipient_template=template))


def address(customers: TemplateCustomers, row: dict[str, str]) -> str:
    (customer,) = customers.of([row])
    assert isinstance(customer, Customer)
    return customer.address


def safe_mode(**values: object) -> SafeMode:
    return SafeMode(Settings(**values))  # type: ignore[arg-type]


def test_the_template_is_filled_with_the_columns() -> None:
    customers = recipients("{nameOrig}+{type}@mail.example.com")
    assert address(customers, ROW | {"type": "DEBIT"}) == "C1231006815+DEBIT@mail.example.com"
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
        ("{nameOrig}", "not a mail address"),
        ("{nameOrig}@", "not a mail address"),
        ("{nameOrig} @example.com", "not a mail address"),
        ("{nameOrig}@example.com\r\nBcc: a@b.example", "not a mail address"),
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
    made = address(recipients(), ROW | {"nameOrig": text})
    assert not is_address(made) or (made.isascii() and not set(made) & set("\r\n\t <>,;:\0"))


def test_safe_mode_lets_through_what_a_pattern_matches_as_a_whole() -> None:
    safe = safe_mode(mail_allowed_recipients=["*@example.com", "qa-?@bank.example"])
    assert safe.allows("c1@example.com")
    assert safe.allows("C1@EXAMPLE.COM")
    assert safe.allows("qa-1@bank.example")
    assert not safe.allows("qa-12@bank.example")
    assert not safe.allows("c1@example.com.evil.example")
    assert not safe.allows("c1@other.example")


def test_safe_mode_without_patterns_lets_nothing_through() -> None:
    assert not safe_mode(mail_allowed_recipients=[]).allows("c1@example.com")


def test_without_safe_mode_everything_goes() -> None:
    assert safe_mode(mail_safe_mode=False, mail_allowed_recipients=[]).allows("c1@other.example")


def test_safe_mode_is_on_by_default() -> None:
    assert not safe_mode().allows("c1@other.example")


def test_a_domain_of_other_letters_is_written_as_dns_has_it() -> None:
    made = address(recipients("{nameOrig}@bücher.example"), {"nameOrig": "C1"})
    assert made == "C1@xn--bcher-kva.example"
    assert is_address(made)
    assert safe_mode(mail_allowed_recipients="*@BÜCHER.example").allows(made)


def test_a_domain_that_dns_can_not_have_makes_no_address() -> None:
    assert not is_address(to_ascii("c1@-ü-.example"))
    assert not is_address(to_ascii("ü@example.com"))
