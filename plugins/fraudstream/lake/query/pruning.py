"""Finds which views a statement reads and which of their rows can be skipped, in the tree of DuckDB's own parser.

A row is skipped only if it can't change the result. The conditions that are used are those in the WHERE clause of the
SELECT that names the view, joined by AND, that compare a column of the view with a constant. Such a comparison is never
true for NULL, so it is valid for a view in an outer join, too. All other conditions are left to DuckDB, which then
reads more rows than it needs, but never too few.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    LessThan,
    LessThanOrEqual,
    Or,
)

from fraudstream.lake.stream.names import FRAUD_CASES
from fraudstream.lake.table.schemas import rows_schema

#: The view with one row per case. Each other view has the name of its folder.
FRAUD_CASE_VIEW = "fraud_case"
_DAY, _TIME = "dt", "recordTimestamp"
_COMPARISONS = {
    "COMPARE_EQUAL": EqualTo,
    "COMPARE_LESSTHAN": LessThan,
    "COMPARE_LESSTHANOREQUALTO": LessThanOrEqual,
    "COMPARE_GREATERTHAN": GreaterThan,
    "COMPARE_GREATERTHANOREQUALTO": GreaterThanOrEqual,
}
_FLIPPED = {LessThan: GreaterThan, LessThanOrEqual: GreaterThanOrEqual, EqualTo: EqualTo} | {
    GreaterThan: LessThan,
    GreaterThanOrEqual: LessThanOrEqual,
}
_JOINS = {"REGULAR", "CROSS", "NATURAL"}  # the result of ASOF and POSITIONAL depends on rows that WHERE drops later
_TIME_TYPES = {"DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"}

Node = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """The rows of a folder that a statement needs: those from `first` to `last` for which the expression is true."""

    expression: BooleanExpression = field(default_factory=AlwaysTrue)
    first: date = date.min
    last: date = date.max

    def or_(self, other: "Wanted") -> "Wanted":
        """Returns the rows that are in this one or in the other."""
        return Wanted(Or(self.expression, other.expression), min(self.first, other.first), max(self.last, other.last))


def wanted(db: duckdb.DuckDBPyConnection, statement: str, folders: tuple[str, ...]) -> dict[str, Wanted]:
    """Returns the folders that a statement reads, with the rows that it needs.

    If DuckDB can't return the tree of a statement, such as EXPLAIN, these are all rows of all folders.
    """
    ((text,),) = db.execute("SELECT json_serialize_sql($1)", [statement]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        return dict.fromkeys(folders, Wanted())
    found: dict[str, Wanted] = {}
    for name, conditions in _references(tree):
        folder = FRAUD_CASES if name == FRAUD_CASE_VIEW else name
        if folder in folders:
            # A row of fraud_case depends on all rows of its case.
            one = Wanted() if name == FRAUD_CASE_VIEW else _wanted(db, folder, conditions)
            found[folder] = found[folder].or_(one) if folder in found else one
    return found


#: A comparison, the name of its column in lower case, and the constants that the column is compared with.
_Condition = tuple[type[BooleanExpression], str, list[Node]]


def _references(node: Any) -> Iterator[tuple[str, list[_Condition]]]:
    """Yields each table that is named anywhere in the tree, with the conditions of its SELECT on its columns."""
    if isinstance(node, list):
        for one in node:
            yield from _references(one)
    elif isinstance(node, dict):
        if node.get("type") == "SELECT_NODE":
            tables = list(_tables(node["from_table"]))
            conditions = list(_conditions(node["where_clause"])) if tables else []
            # Beside another table or a subquery, a column without its table's name may be a column of that one.
            alone = node["from_table"]["type"] == "BASE_TABLE"
            for table in tables:
                yield table["table_name"].lower(), list(_of_table(table, conditions, alone=alone))
            rest = [value for key, value in node.items() if key != "from_table"]
            yield from _references([*rest, *_others(node["from_table"], tables)])
        elif node.get("type") == "BASE_TABLE":
            yield node["table_name"].lower(), []
        else:
            yield from _references(list(node.values()))


def _tables(node: Node) -> Iterator[Node]:
    """Yields the tables of a FROM clause whose rows are chosen only by WHERE and by joins on conditions.

    For other tables, such as those with a sample, conditions of the WHERE clause must not be used.
    """
    if node["type"] == "BASE_TABLE" and not node["column_name_alias"] and node["sample"] is None:
        yield node
    elif node["type"] == "JOIN" and _all_plain(node):
        yield from _tables(node["left"])
        yield from _tables(node["right"])


def _all_plain(node: Node) -> bool:
    return node["type"] != "JOIN" or (
        node["ref_type"] in _JOINS and _all_plain(node["left"]) and _all_plain(node["right"])
    )


def _others(node: Any, tables: list[Node]) -> Iterator[Any]:
    """Yields the nodes below a FROM clause that aren't among these tables."""
    if isinstance(node, list):
        for one in node:
            yield from _others(one, tables)
    elif isinstance(node, dict) and not any(node is table for table in tables):
        if node.get("type") == "JOIN":
            for value in node.values():
                yield from _others(value, tables)
        else:
            yield node


def _conditions(node: Node | None) -> Iterator[tuple[type[BooleanExpression], list[str], list[Node]]]:
    """Yields the comparisons of a column with constants that must all be true for a WHERE clause to be true.

    A comparison is its pyiceberg class, the parts of the column's name, and the constants.
    """
    if node is None:
        return
    kind = node["type"]
    if kind == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _conditions(child)
    elif kind in _COMPARISONS:
        comparison = _COMPARISONS[kind]
        for column, constant, found in (
            (node["left"], node["right"], comparison),
            (node["right"], node["left"], _FLIPPED[comparison]),
        ):
            if column["class"] == "COLUMN_REF":
                yield found, column["column_names"], [constant]
    elif kind == "COMPARE_BETWEEN" and node["input"]["class"] == "COLUMN_REF":
        yield GreaterThanOrEqual, node["input"]["column_names"], [node["lower"]]
        yield LessThanOrEqual, node["input"]["column_names"], [node["upper"]]
    elif kind == "COMPARE_IN" and node["children"][0]["class"] == "COLUMN_REF":
        yield In, node["children"][0]["column_names"], node["children"][1:]


def _of_table(
    table: Node, conditions: list[tuple[type[BooleanExpression], list[str], list[Node]]], *, alone: bool
) -> Iterator[_Condition]:
    called = (table["alias"] or table["table_name"]).lower()
    for comparison, names, constants in conditions:
        *qualifier, column = (name.lower() for name in names)
        if qualifier == [called] or (alone and not qualifier):
            yield comparison, column, constants


def _wanted(db: duckdb.DuckDBPyConnection, folder: str, conditions: list[_Condition]) -> Wanted:
    types = {column.name.lower(): column for column in rows_schema(folder)}
    expressions: list[BooleanExpression] = []
    first, last = date.min, date.max
    for comparison, name, constants in conditions:
        if name == _DAY:
            days = [_value(db, constant, "DATE") for constant in constants]
            if not all(isinstance(day, date) for day in days) or not days:
                continue
            low, high = _days(comparison, days)
        elif name == _TIME.lower():
            times = [_value(db, constant, "TIMESTAMPTZ") for constant in constants]
            if not all(isinstance(time, datetime) for time in times) or not times:
                continue
            expressions.append(_expression(comparison, _TIME, [time.isoformat() for time in times]))
            low, high = _days(comparison, [time.astimezone(UTC).date() for time in times], whole=False)
        else:
            if name in types and pa.types.is_string(types[name].type):
                texts = [constant.get("literal", {}) for constant in constants]
                if texts and all(text.get("kind") == "STRING" for text in texts):
                    expressions.append(_expression(comparison, types[name].name, [text["text"] for text in texts]))
            continue
        first, last = max(first, low), min(last, high)
    if first > date.min:
        expressions.append(GreaterThanOrEqual(_TIME, _midnight(first)))
    if last < date.max:
        expressions.append(LessThan(_TIME, _midnight(last + timedelta(days=1))))
    return Wanted(reduce(And, expressions, AlwaysTrue()), first, last)


def _expression(comparison: type[BooleanExpression], name: str, values: list[str]) -> BooleanExpression:
    made: Any = comparison
    return In(name, set(values)) if comparison is In else made(name, values[0])


def _days(comparison: type[BooleanExpression], days: list[date], *, whole: bool = True) -> tuple[date, date]:
    """Returns the first and last day for which a comparison may be true.

    :param days: the constants, or their days
    :param whole: the constants are days, not times of days
    """
    one = timedelta(days=1 if whole else 0)
    if comparison is GreaterThan:
        return days[0] + one, date.max
    if comparison is GreaterThanOrEqual:
        return days[0], date.max
    if comparison is LessThan:
        return date.min, days[0] - one
    if comparison is LessThanOrEqual:
        return date.min, days[0]
    return min(days), max(days)


def _value(db: duckdb.DuckDBPyConnection, node: Node, kind: str) -> Any:
    """Returns a constant as the value that DuckDB compares with a column of type `kind`; None if that isn't certain."""
    casts = []
    while node["type"] == "OPERATOR_CAST":
        name = str(node["type_expr"].get("type_name", "")).upper()
        if name not in _TIME_TYPES or (kind == "DATE" and name != "DATE"):
            return None
        casts.append(name)
        node = node["child"]
    literal = node.get("literal", {})
    if node["type"] != "VALUE_CONSTANT" or literal.get("kind") != "STRING":
        return None
    text = "$1"
    for name in [*reversed(casts), kind]:
        text = f"CAST({text} AS {name})"
    try:
        ((value,),) = db.execute(f"SELECT {text}", [literal["text"]]).fetchall()
    except duckdb.Error:
        return None  # DuckDB reports the error when it runs the statement
    return value


def _midnight(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()
