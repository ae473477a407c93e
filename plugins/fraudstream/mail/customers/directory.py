"""Customers from a directory: a table with the account as its key. Each lookup is for a batch of transactions."""

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple, Protocol
from zoneinfo import available_timezones

from fraudstream.mail.customers.customer import Customer, NotReachable
from fraudstream.mail.letter.recipients import is_address, to_ascii

logger = logging.getLogger(__name__)

#: The table's columns; the last three are optional.
COLUMNS = ("account", "address", "language", "time_zone", "name")
NEEDED = COLUMNS[:2]
#: Maximum number of cached accounts, and the maximum time until a change of the table has effect.
CACHED_ACCOUNTS = 50_000
CACHED_SECONDS = 300.0

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*", re.ASCII)
_LONGEST_NAME = 200


class Entry(NamedTuple):
    """A row of the table. If the row can't be parsed, `problem` says why."""

    account: str
    address: str
    language: str = ""
    time_zone: str = ""
    name: str = ""
    problem: str = ""


class Table(Protocol):
    """A table of entries. To be used from one thread at a time."""

    def entries(self, accounts: Sequence[str]) -> Iterable[Entry]:
        """Returns all entries of these accounts.

        :raises SettingsError: the table can't be read; retrying can't help
        :raises DirectoryUnavailable: the table can't be reached; a retry may help
        """


class DirectoryCustomers:
    """:class:`~fraudstream.mail.customers.customer.Customers` from a table, with a cache.

    An account is not reachable if it has no entry, several entries or a malformed entry. Each lookup logs the number of
    such accounts.
    """

    columns: Sequence[str] = ("nameOrig",)

    def __init__(self, table: Table, clock: Callable[[], float] = time.monotonic) -> None:
        self._table = table
        self._clock = clock
        #: Account → time of the lookup, and its result; the oldest first.
        self._cached: OrderedDict[str, tuple[float, Customer | NotReachable]] = OrderedDict()
        self._missing = self._malformed = 0

    def of(self, rows: Sequence[Mapping[str, object]]) -> list[Customer | NotReachable]:
        """Returns the customer of each transaction."""
        accounts = [str(row["nameOrig"]) for row in rows]
        oldest = self._clock() - CACHED_SECONDS
        known = {
            account: self._cached[account][1]
            for account in accounts
            if account in self._cached and self._cached[account][0] >= oldest
        }
        wanted = list(dict.fromkeys(account for account in accounts if account not in known))
        if wanted:
            found = self._look_up(wanted)
            self._keep(found)
            known.update(found)
        return [known[account] for account in accounts]

    def _look_up(self, accounts: Sequence[str]) -> dict[str, Customer | NotReachable]:
        entries: dict[str, list[Entry]] = {account: [] for account in accounts}
        for entry in self._table.entries(accounts):
            if entry.account in entries:  # a database may have other rules of comparison
                entries[entry.account].append(Entry(*map(str.strip, entry)))
        customers = {account: _customer(found) for account, found in entries.items()}
        unusable = {account: found.reason for account, found in customers.items() if isinstance(found, NotReachable)}
        missing = sum(not entries[account] for account in unusable)
        self._missing += missing
        self._malformed += len(unusable) - missing
        if unusable:
            account, reason = next(iter(unusable.items()))
            logger.warning(
                "customer directory: %d accounts are not reachable, such as one ending in %r: %s; since the start %d "
                "accounts without an entry and %d with a malformed one",
                len(unusable),
                account[-4:],
                reason,
                self._missing,
                self._malformed,
            )
        return customers

    def _keep(self, found: Mapping[str, Customer | NotReachable]) -> None:
        now = self._clock()
        for account, customer in found.items():
            self._cached[account] = (now, customer)
            self._cached.move_to_end(account)
        while len(self._cached) > CACHED_ACCOUNTS:
            self._cached.popitem(last=False)


def _customer(entries: Sequence[Entry]) -> Customer | NotReachable:
    if not entries:
        return NotReachable("not reachable, the customer directory has no entry for the account")
    if len(entries) > 1:
        return NotReachable(f"not reachable, the customer directory has {len(entries)} entries for the account")
    (entry,) = entries
    address = to_ascii(entry.address)
    problem = entry.problem or _problem(entry, address)
    if problem:
        return NotReachable(f"not reachable, the account's entry in the customer directory is malformed: {problem}")
    return Customer(address, entry.language, entry.time_zone, entry.name)


def _problem(entry: Entry, address: str) -> str:
    """Describes what is wrong with an entry, without its values, which are personal data; empty: nothing is."""
    if not is_address(address):
        return "address is not a mail address"
    if entry.language and not _LANGUAGE.fullmatch(entry.language):
        return "language is not a tag such as id or en-GB"
    if entry.time_zone and entry.time_zone not in _time_zones():
        return "time_zone is not a name such as Asia/Jakarta"
    if len(entry.name) > _LONGEST_NAME or not entry.name.isprintable():
        return f"name is longer than {_LONGEST_NAME} characters or holds unprintable ones"
    return ""


@cache
def _time_zones() -> set[str]:
    return available_timezones()
