"""What a mail needs to know of its customer, and where that comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom a mail goes to; what isn't known is empty.

    `address` may be none that mail can go to. `language` is a tag such as ``id-ID``, `time_zone` a name of IANA's.
    """

    address: str
    language: str = ""
    time_zone: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class NotReachable:
    """A customer to whom no mail can be sent; `reason` completes “not sent: ”."""

    reason: str


class Customers(Protocol):
    """Knows the customers of transactions. To be used from one thread at a time."""

    #: The transaction's columns that it needs.
    columns: Sequence[str]

    def of(self, rows: Sequence[Mapping[str, object]]) -> list[Customer | NotReachable]:
        """The customer of each transaction, in their order.

        :raises SettingsError: the directory can't be read; retrying can't help
        :raises DirectoryUnavailable: it doesn't answer; may pass
        """
