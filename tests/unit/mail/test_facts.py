"""What a mail says about a transaction, for each kind of customer."""

import re
from typing import Any

import pytest
from fraudstream.mail.customers.customer import Customer
from fraudstream.mail.letter.facts import FactsWriter, masked_account
from fraudstream.mail.letter.templates import Facts
from fraudstream.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mail.bench import Links

ROW = {
    "idTransaction": "tx-1",
    "amount": 983_964,
    "type": "TRANSFER",
    "nameOrig": "C1231006815",
    "nameDest": "M1979787155",
    "timestamp": 1_696_125_600_000,
}


def facts(customer: Customer, **settings: Any) -> Facts:
    writer = FactsWriter(Settings(**settings), Links())
    return writer.facts("fraud_notice", ROW, ROW["timestamp"] + 3_600_000, customer)


def test_language_time_zone_and_name_are_the_customers() -> None:
    found = facts(Customer("c@x", "id-ID", "Asia/Makassar", "Siti"), bank_currency="IDR")
    assert (found.language, found.name) == ("id", "Siti")
    assert (found.amount, found.type) == ("IDR 9.839,64", "Transfer")
    assert (found.time, found.until) == ("1 Oktober 2023, 10:00 WITA", "1 Oktober 2023, 11:00 WITA")
    assert found.fraud_url.endswith("/fraud?lang=id")
    assert found.not_fraud_url.endswith("/not-fraud?lang=id")


@pytest.mark.parametrize("language", ["", "fr"])
def test_what_is_not_known_of_a_customer_is_the_banks_and_the_page_is_left_to_the_browser(language: str) -> None:
    found = facts(Customer("c@x", language), bank_language="id", bank_time_zone="Asia/Jakarta")
    assert found.language == "id"
    assert found.time == "1 Oktober 2023, 09:00 WIB"
    assert found.fraud_url.endswith("/fraud")


def test_accounts_show_their_last_digits() -> None:
    found = facts(Customer("c@x"))
    assert (found.account, found.counterparty) == ("****6815", "****7155")


@given(st.text(min_size=1, max_size=64))
def test_at_least_half_of_an_account_is_hidden(number: str) -> None:
    shown = re.sub(r"^\*{4}", "", masked_account(number))
    assert number.endswith(shown)
    assert len(shown) <= min(4, len(number) / 2)
