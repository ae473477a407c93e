"""Reads a PaySim file row by row, as a script does: csv.DictReader and a dict for each row."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

_MONEY = ("amount", "oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest")
_START = datetime(2023, 10, 1, tzinfo=UTC)


def rows(path: str, limit: int) -> Iterator[dict[str, Any]]:
    """Yields the first `limit` rows as records of the schema Transaction."""
    with Path(path).open(newline="") as file:
        for number, row in enumerate(islice(csv.DictReader(file), limit)):
            record: dict[str, Any] = dict(row)
            for name in _MONEY:
                record[name] = round(float(row[name]) * 100)
            record["step"] = int(row["step"])
            record["isFraud"] = int(row["isFraud"])
            record["isFlaggedFraud"] = int(row["isFlaggedFraud"])
            record["idTransaction"] = f"peer-{number:09d}"
            record["timestamp"] = _START + timedelta(hours=record["step"])
            yield record


def topic_of(record: dict[str, Any]) -> str:
    """The topic of a record."""
    return "fraud_transaction" if record["isFraud"] else "non_fraud_transaction"
