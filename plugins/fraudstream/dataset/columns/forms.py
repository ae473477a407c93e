"""The header forms of PaySim files: how their columns map to those of the schema."""

import csv
import re
from dataclasses import dataclass

from fraudstream.errors import UnknownHeader

#: The names of the columns in include/schemas/transaction.avsc, in its order.
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

#: The forms: each name in the header → the name in the schema; None: the column is ignored.
PAYSIM = {name: name for name in TRANSACTION_COLUMNS if name not in {"idTransaction", "timestamp"}}
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
RAW_LOG = {
    "step": "step",
    "action": "type",
    "amount": "amount",
    "nameOrig": "nameOrig",
    "oldBalanceOrig": "oldbalanceOrg",
    "newBalanceOrig": "newbalanceOrig",
    "nameDest": "nameDest",
    "oldBalanceDest": "oldbalanceDest",
    "newBalanceDest": "newbalanceDest",
    "isFraud": "isFraud",
    "isFlaggedFraud": "isFlaggedFraud",
    "isUnauthorizedOverdraft": None,
}
FORMS: dict[str, dict[str, str | None]] = {
    "PaySim": dict(PAYSIM),
    "re-stamped": dict(RESTAMPED),
    "simulator's log": dict(RAW_LOG),
}
#: Columns that a file may lack.
_OPTIONAL = {"isflaggedfraud", "isunauthorizedoverdraft"}
#: Names that tools give to an index column, and the empty name. Such a column is ignored.
_INDEX = re.compile(r"|index|level_0|row_nr|rownames|x|_c[0-9]+|\.\.\.[0-9]+|unnamed: ?[0-9._]+")
_SHOWN = 200


@dataclass(frozen=True)
class Form:
    """The columns of one file in its own order.

    `header` has the file's names, `columns` those of the schema. In `columns`, an ignored column is None.
    """

    name: str
    header: tuple[str, ...]
    columns: tuple[str | None, ...]

    @property
    def restamped(self) -> bool:
        """Whether rows have their own id and time, and no step."""
        return "idTransaction" in self.columns

    def name_of(self, column: str) -> str:
        """Returns the file's name for a column of the schema."""
        return self.header[self.columns.index(column)]


def detect_form(header: str, uri: str) -> Form:
    """Returns the form of a header line. The case and the order of the names don't matter.

    :param header: the line without line break and byte order mark
    :raises UnknownHeader: the names match no form, or a name occurs twice; the message names missing and unexpected
        columns
    """
    try:
        found = tuple(name.strip() for name in next(csv.reader([header], strict=True, skipinitialspace=True), []))
    except csv.Error:
        found = (header.strip(),)
    names = [_plain(name) for name in found if not _is_index(name)]
    wanted = {form: {_plain(name): column for name, column in FORMS[form].items()} for form in FORMS}
    for form, columns in wanted.items():
        if len(set(names)) == len(names) and set(names) <= set(columns) <= set(names) | _OPTIONAL:
            return Form(form, found, tuple(None if _is_index(name) else columns[_plain(name)] for name in found))
    nearest = min(FORMS, key=lambda form: len(set(wanted[form]) ^ set(names)))
    raise UnknownHeader(f"{uri}: {_difference(found, nearest)}; nothing was read")


def _is_index(name: str) -> bool:
    return _INDEX.fullmatch(name.lower()) is not None


def _difference(found: tuple[str, ...], nearest: str) -> str:
    """Describes the differences between a header and the nearest form, for a message."""
    names = [_plain(name) for name in found if not _is_index(name)]
    known = {_plain(name) for name in FORMS[nearest]}
    missing = [name for name in FORMS[nearest] if _plain(name) not in {*names, *_OPTIONAL}]
    if not known & set(names):
        expected = " or ".join(repr(",".join(columns)) for columns in FORMS.values())
        shown = _cut(",".join(found)) or "a blank line"
        return f"the first line is not a known header: found {shown}, expected {expected}, in any order"
    twice = sorted({name for name in found if names.count(_plain(name)) > 1})
    unexpected = [name for name in found if not _is_index(name) and _plain(name) not in known]
    parts = (("missing", missing), ("unexpected", unexpected), ("twice", twice))
    said = "; ".join(f"{what}: {_cut(', '.join(columns))}" for what, columns in parts if columns)
    return f"unknown header, nearest to the form {nearest}: {said}. Expected {','.join(FORMS[nearest])}, in any order"


def _plain(name: str) -> str:
    """Returns a column's name in the form for comparisons. PaySim misspells oldbalanceOrig; many files correct it."""
    return name.lower().replace("oldbalanceorg", "oldbalanceorig")


def _cut(text: str) -> str:
    """Returns the beginning of a text from a file, escaped for a message."""
    return text.encode("unicode_escape").decode()[: _SHOWN // 2]
