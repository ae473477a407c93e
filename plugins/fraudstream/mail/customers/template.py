"""Customers whose address is made of the transaction's columns."""

from collections.abc import Mapping, Sequence
from string import Formatter

from fraudstream.errors import SettingsError
from fraudstream.mail.customers.customer import Customer, NotReachable
from fraudstream.mail.letter.recipients import is_address, to_ascii
from fraudstream.settings import Settings

#: Columns that an address may be made of: those that both record schemas have and that read the same in both.
COLUMNS = ("idTransaction", "nameOrig", "nameDest", "type", "step", "isFraud", "isFlaggedFraud")

_SAMPLE = dict.fromkeys(COLUMNS, "1")


class TemplateCustomers:
    """Makes addresses as `mail_recipient_template` says, their domains in ASCII; knows nothing else of a customer.

    What the template makes may be no address, for a transaction with unusual columns.

    :raises SettingsError: the template is malformed, names a column that transactions don't have, or can't make
        an address
    """

    def __init__(self, settings: Settings) -> None:
        self._template = settings.mail_recipient_template
        self.columns: Sequence[str] = _columns_of(self._template)
        sample = self._address(_SAMPLE)
        if not is_address(sample):
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE is {self._template!r}, which makes {sample!r} of a transaction:"
                " that is not a mail address. Expected something like {nameOrig}@example.com"
            )

    def of(self, rows: Sequence[Mapping[str, object]]) -> list[Customer | NotReachable]:
        """The customer of each transaction."""
        return [Customer(self._address(row)) for row in rows]

    def _address(self, row: Mapping[str, object]) -> str:
        return to_ascii(self._template.format_map(row))


def _columns_of(template: str) -> list[str]:
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(template)]
    except ValueError as error:
        raise SettingsError(f"FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE is {template!r}: {error}") from None
    columns: list[str] = []
    for name, spec, conversion in fields:
        if name is None:
            continue
        if name not in COLUMNS:
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE is {template!r}: no column {name!r} to make an address of,"
                f" expected one of {', '.join(COLUMNS)}"
            )
        if spec or conversion:
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE is {template!r}: {{{name}}} must stand without"
                " a conversion (!) and without a format (:)"
            )
        if name not in columns:
            columns.append(name)
    return columns
