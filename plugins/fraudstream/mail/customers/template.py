"""Customers whose address is made from the transaction's columns."""

from collections.abc import Mapping, Sequence
from string import Formatter

from fraudstream.errors import SettingsError
from fraudstream.mail.customers.customer import Customer, NotReachable
from fraudstream.mail.letter.recipients import is_address, to_ascii
from fraudstream.settings import Settings

#: Columns that a template may use: those that both record schemas have, with the same text in both.
COLUMNS = ("idTransaction", "nameOrig", "nameDest", "type", "step", "isFraud", "isFlaggedFraud")

_SAMPLE = dict.fromkeys(COLUMNS, "1")


class TemplateCustomers:
    """Makes addresses from `mail_recipient_template`, with domains in ASCII. Language, time zone and name are empty.

    The address may be invalid if the transaction's columns have unusual values.

    :raises SettingsError: the template is malformed, uses another column, or makes no valid address
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
        """Returns the customer of each transaction."""
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
