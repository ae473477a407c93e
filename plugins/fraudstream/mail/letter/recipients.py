"""Who gets a mail: the address made of a transaction's columns, and the allow-list of safe mode."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from string import Formatter

import idna

from fraudstream.errors import SettingsError
from fraudstream.settings import Settings

#: Columns that an address may be made of: those that both record schemas have and that read the same in both.
COLUMNS = ("idTransaction", "nameOrig", "nameDest", "type", "step", "isFraud", "isFlaggedFraud")

_SAMPLE = dict.fromkeys(COLUMNS, "1")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@)(?=.{{3,254}}\Z){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def is_address(text: str) -> bool:
    """Whether `text` is one plain ASCII address (RFC 5321, no quoted local part, no address literal)."""
    return _ADDRESS.fullmatch(text) is not None


def to_ascii(address: str) -> str:
    """The address with its domain as DNS has it (IDNA, RFC 5891); as it was where no domain can be made of it."""
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{_ascii_domain(domain)}"
    except idna.IDNAError:
        return address


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str:
    return idna.encode(domain, uts46=True).decode()


def _ascii_pattern(pattern: str) -> str:
    local, at, domain = pattern.rpartition("@")
    return f"{local}{at}" + ".".join(to_ascii(f"@{label}")[1:] for label in domain.split("."))


class Recipients:
    """Makes addresses as `mail_recipient_template` says, and knows which ones safe mode lets through.

    :raises SettingsError: the template is malformed, names a column that transactions don't have, or can't make
        an address
    """

    def __init__(self, settings: Settings) -> None:
        self._template = settings.mail_recipient_template
        self.columns: Sequence[str] = _columns_of(self._template)
        sample = self.address(_SAMPLE)
        if not is_address(sample):
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE is {self._template!r}, which makes {sample!r} of a transaction:"
                " that is no mail address. Expected something like {nameOrig}@example.com"
            )
        patterns = [translate(_ascii_pattern(pattern.lower())) for pattern in settings.mail_allowed_recipients]
        self._allowed = re.compile("|".join(patterns) or r"(?!)") if settings.mail_safe_mode else None

    def address(self, row: Mapping[str, object]) -> str:
        """What the template makes of a row, its domain in ASCII; :func:`is_address` says if mail can go there."""
        return to_ascii(self._template.format_map(row))

    def allowed(self, address: str) -> bool:
        """Whether safe mode is off or one of its patterns matches; letter case doesn't count."""
        return self._allowed is None or self._allowed.match(address.lower()) is not None


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
