"""The header forms of a PaySim file: which of its columns is which of the schema's."""

import csv
import re
from dataclasses import dataclass

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

#: Each form: the names in its header → the schema's names; None: a column that is read past.
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
#: Columns that a file may do without.
_OPTIONAL = {"isflaggedfraud", "isunauthorizedoverdraft"}
#: What tools call an index, and a column without a name: no form has such a column.
_INDEX = re.compile(r"|index|level_0|row_nr|rownames|x|_c[0-9]+|\.\.\.[0-9]+|unnamed: ?[0-9._]+")
_SHOWN = 200


@dataclass(frozen=True)
class Form:
    """The columns of one file in its own order: `header` as the file names them, `columns` as the schema does.

    A column that is read past is None in `columns`.
    """

    name: str
    header: tuple[str, ...]
    columns: tuple[str | None, ...]

    @property
    def restamped(self) -> bool:
        """Whether rows bring their id and time along, and have no step."""
        return "idTransaction" in self.columns

    def name_of(self, column: str) -> str:
        """What the file calls a column of the schema."""
        return self.header[self.columns.index(column)]


def detect_form(header: str, uri: str) -> Form:
    """The form that a header line (without line break and byte order mark) is of; case and order don't matter.

    :raises UnknownHeader: the names are of no form, or one is there twice; says which are missing or unexpected
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
    """What keeps a header from being of the form that it is nearest to."""
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
    """A column's name as names are compared; the one that PaySim misspells is often put right."""
    return name.lower().replace("oldbalanceorg", "oldbalanceorig")


def _cut(text: str) -> str:
    """The beginning of a file's text, as messages may show it."""
    return text.encode("unicode_escape").decode()[: _SHOWN // 2]
