"""Customers in a table: found, malformed and cached entries."""

import logging
from collections.abc import Iterable, Sequence

import pytest
from fraudstream.mail.customers import directory as module
from fraudstream.mail.customers.customer import Customer, NotReachable
from fraudstream.mail.customers.directory import CACHED_SECONDS, DirectoryCustomers, Entry
from fraudstream.mail.letter.recipients import is_address
from hypothesis import given
from hypothesis import strategies as st


class Table:
    """Entries in memory; records the look-ups."""

    def __init__(self, *entries: Entry) -> None:
        self.rows = list(entries)
        self.asked: list[list[str]] = []

    def entries(self, accounts: Sequence[str]) -> Iterable[Entry]:
        self.asked.append(list(accounts))
        return [row for row in self.rows if row.account in accounts]


def of(customers: DirectoryCustomers, *accounts: str) -> list[Customer | NotReachable]:
    return customers.of([{"nameOrig": account} for account in accounts])


def test_an_entry_is_a_customer_whose_domain_is_written_as_dns_has_it() -> None:
    table = Table(
        Entry("C1", " siti@bücher.example ", "id-ID", "Asia/Jakarta", "Siti Rahayu"), Entry("C2", "b@x.example")
    )
    assert of(DirectoryCustomers(table), "C2", "C1") == [
        Customer("b@x.example"),
        Customer("siti@xn--bcher-kva.example", "id-ID", "Asia/Jakarta", "Siti Rahayu"),
    ]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "the customer directory has no entry for the account"),
        ([Entry("C1", "a@x.example"), Entry("C1", "b@x.example")], "has 2 entries for the account"),
        ([Entry("C1", "")], "malformed: address is not a mail address"),
        ([Entry("C1", "a@x.example\r\nBcc: b@y.example")], "malformed: address is not a mail address"),
        ([Entry("C1", "a@x.example", "Bahasa Indonesia")], "malformed: language is not a tag such as id or en-GB"),
        ([Entry("C1", "a@x.example", "id", "Jakarta")], "malformed: time_zone is not a name such as Asia/Jakarta"),
        (
            [Entry("C1", "a@x.example", "id", "../etc/passwd")],
            "malformed: time_zone is not a name such as Asia/Jakarta",
        ),
        ([Entry("C1", "a@x.example", name="Siti\u202eRahayu")], "malformed: name is longer than 200 characters or"),
        ([Entry("C1", "a@x.example", name="S" * 201)], "malformed: name is longer than 200 characters or"),
        ([Entry("C1", "a@x.example", problem="line 7 has 2 fields")], "malformed: line 7 has 2 fields"),
    ],
)
def test_a_customer_without_one_usable_entry_is_not_reachable(
    entries: list[Entry], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    table = Table(*entries, Entry("C2", "b@x.example"))
    found, other = of(DirectoryCustomers(table), "C1", "C2")
    assert isinstance(found, NotReachable)
    assert found.reason.startswith("not reachable, ")
    assert reason in found.reason
    assert other == Customer("b@x.example"), "the others' mails go on"
    (record,) = caplog.records
    assert "1 accounts are not reachable, such as one ending in 'C1': not reachable, " in record.getMessage()


def test_what_is_not_reachable_is_counted_from_the_start_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    customers = DirectoryCustomers(Table(Entry("C1", "no address"), Entry("C2", "b@x.example")))
    of(customers, "C1", "C2", "C3")
    of(customers, "C4")
    assert "since the start 1 accounts without an entry and 1 with a malformed one" in caplog.messages[0]
    assert "since the start 2 accounts without an entry and 1 with a malformed one" in caplog.messages[1]


text = st.text(max_size=30)


@given(st.lists(st.builds(Entry, st.just("C1"), text, text, text, text), max_size=2))
def test_no_entry_makes_anything_but_a_usable_customer_or_a_reason(entries: list[Entry]) -> None:
    (found,) = of(DirectoryCustomers(Table(*entries)), "C1")
    if isinstance(found, Customer):
        assert is_address(found.address)
        assert found.name.isprintable()
    else:
        assert found.reason


class TestCache:
    def test_a_batch_is_one_look_up_of_each_account_once(self) -> None:
        table = Table(Entry("C1", "a@x.example"))
        customers = DirectoryCustomers(table)
        assert len(of(customers, "C1", "C2", "C1")) == 3
        of(customers, "C2", "C3", "C1")
        assert table.asked == [["C1", "C2"], ["C3"]]

    def test_a_change_of_the_table_counts_after_a_while(self) -> None:
        now = 0.0
        table = Table()
        customers = DirectoryCustomers(table, clock=lambda: now)
        assert isinstance(of(customers, "C1")[0], NotReachable)
        table.rows.append(Entry("C1", "a@x.example"))
        now = CACHED_SECONDS - 1
        assert isinstance(of(customers, "C1")[0], NotReachable)
        now = CACHED_SECONDS + 1
        assert of(customers, "C1") == [Customer("a@x.example")]

    def test_it_is_bounded_also_within_a_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "CACHED_ACCOUNTS", 3)
        customers = DirectoryCustomers(Table())
        assert len(of(customers, *(f"C{number}" for number in range(10)))) == 10
        assert list(customers._cached) == ["C7", "C8", "C9"]
