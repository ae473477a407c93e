"""The two header forms of a PaySim file, and what each column may hold.

What is valid is said once, as regular expressions: a line is a row if and only if it matches `Form.line`, which is
made of the columns' own patterns. So one pass of a compiled automaton checks a whole chunk, and only lines that fail
it are looked at column by column, to say why.
"""

import csv
import re
from dataclasses import dataclass
from typing import NamedTuple

from fraudstream.errors import UnknownHeader

#: What the columns are called in include/schemas/transaction.avsc, in its order.
TRANSACTION_COLUMNS = (
    "idTransaction",
    "timestamp",
    "step",
    "type",
    "amount",
    "nameOrig",
    "oldbalanceOrg",
    "newbalanceOrig",
    "nameDest",
    "oldbalanceDest",
    "newbalanceDest",
    "isFraud",
    "isFlaggedFraud",
)
MONEY = frozenset({"amount", "oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest"})
FLAGS = frozenset({"isFraud", "isFlaggedFraud"})
TYPES = ("CASH_IN", "CASH_OUT", "DEBIT", "PAYMENT", "TRANSFER")

PAYSIM = {name: name for name in TRANSACTION_COLUMNS if name not in {"idTransaction", "timestamp"}}
#: The header of the re-stamped file → the schema's names.
RESTAMPED = {
    "idTransaction": "idTransaction",
    "timestamp": "timestamp",
    "type": "type",
    "amount": "amount",
    "nameOrigin": "nameOrig",
    "oldBalanceOrigin": "oldbalanceOrg",
    "newBalanceOrigin": "newbalanceOrig",
    "nameDest": "nameDest",
    "oldBalanceDest": "oldbalanceDest",
    "newBalanceDest": "newbalanceDest",
    "isFraud": "isFraud",
    "isFlaggedFraud": "isFlaggedFraud",
}


class Check(NamedTuple):
    """What a column's text must match, and the same in words."""

    pattern: str
    expected: str


# Only syntax that re and Rust's regex read alike; [0-9], because \d takes other scripts' digits too.
_LEAP_YEAR = "(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)"
_DATE = (
    "(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_HOUR_MINUTE = "(?:[01][0-9]|2[0-3]){colon}[0-5][0-9]"
_TIMESTAMP = (
    f"{_DATE}[T ]{_HOUR_MINUTE.format(colon=':')}:[0-5][0-9](?:[.][0-9]{{1,9}})?"
    f"(?:Z|[+-]{_HOUR_MINUTE.format(colon=':?')})?"
)
_NAME = Check("[A-Za-z0-9_-]{1,64}", "1 to 64 of A-Z a-z 0-9 _ -")
_MONEY = Check(
    "[0-9]{1,15}(?:[.][0-9]{1,2})?", "a decimal, not negative, at most 15 digits before the point and 2 after it"
)
_FLAG = Check("[01](?:[.]0)?", "0 or 1")
CHECKS = {
    "idTransaction": _NAME,
    "timestamp": Check(_TIMESTAMP, "a date and time like 2023-10-01 13:00:00 or 2023-10-01T13:00:00.000Z"),
    "step": Check("[0-9]{1,6}", "a whole number from 0 to 999999"),
    "type": Check(f"(?:{'|'.join(TYPES)})", f"one of {', '.join(TYPES)}"),
    "nameOrig": _NAME,
    "nameDest": _NAME,
    **dict.fromkeys(sorted(MONEY), _MONEY),
    **dict.fromkeys(sorted(FLAGS), _FLAG),
}


@dataclass(frozen=True)
class Form:
    """The columns of one file in its own order: `header` as the file names them, `columns` as the schema does."""

    header: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def restamped(self) -> bool:
        """Whether rows bring their id and time along, and have no step."""
        return "idTransaction" in self.columns

    @property
    def line(self) -> str:
        """Pattern of a valid line with its line break; a field may be quoted."""
        fields = (f'(?:{CHECKS[column].pattern}|"{CHECKS[column].pattern}")' for column in self.columns)
        return f"^{','.join(fields)}\r?\n?$"

    def reason(self, line: str) -> str:
        """Why `line`, which doesn't match the pattern, is no row: the first thing wrong, found and expected."""
        text = line.removesuffix("\n").removesuffix("\r")
        if not text:
            return f"empty line, expected {len(self.header)} columns"
        try:
            fields = next(csv.reader([text], strict=True))
        except csv.Error as error:
            return f"no CSV row ({error}); a quoted field may not hold a line break"
        if len(fields) != len(self.header):
            return f"found {len(fields)} columns, expected {len(self.header)}: {','.join(self.header)}"
        for name, column, found in zip(self.header, self.columns, fields, strict=True):
            if not re.fullmatch(CHECKS[column].pattern, found):
                return f"column {name}: found {found[:100]!r}, expected {CHECKS[column].expected}"
        return "quotes or line breaks at an unexpected place"


def detect_form(header: str, uri: str) -> Form:
    """The form that a header line (without line break and byte order mark) is of, in any column order.

    :raises UnknownHeader: the names are of neither form, or one is there twice
    """
    try:
        found = tuple(next(csv.reader([header], strict=True), []))
    except csv.Error:
        found = (header,)
    for names in (PAYSIM, RESTAMPED):
        if sorted(found) == sorted(names):
            return Form(found, tuple(names[name] for name in found))
    raise UnknownHeader(
        f"{uri}: unknown header: found {','.join(found)[:1000]!r}, expected {','.join(PAYSIM)!r} "
        f"or {','.join(RESTAMPED)!r}, in any order; nothing was read"
    )
