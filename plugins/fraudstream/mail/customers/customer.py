"""The customer of a mail, and the interface of the sources of customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Customer:
    """The recipient of a mail; unknown values are empty.

    `address` may be invalid. `language` is a tag such as ``id-ID``, `time_zone` an IANA name.
    """

    address: str
    language: str = ""
    time_zone: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class NotReachable:
    """A customer to whom no mail can be sent; `reason` is the text after “not sent: ”."""

    reason: str


class Customers(Protocol):
    """A source of the customers of transactions. To be used from one thread at a time."""

    #: The columns of the transaction that the source needs.
    columns: Sequence[str]

    def of(self, rows: Sequence[Mapping[str, object]]) -> list[Customer | NotReachable]:
        """Returns the customer of each transaction, in the order of `rows`.

        :raises SettingsError: the directory can't be read; retrying can't help
        :raises DirectoryUnavailable: the directory doesn't answer; a retry may help
        """
