"""Which answers of a case count: the one rule of views, consumers and audit.

In log order, the first answer of a case counts: it resolves the case's sensor, whose XCom it stays. A staff decision
counts whenever it comes, and supersedes what counted before: it has an outcome row, a receipt and an audited record of
its own. Any other answer that isn't the first counts for nobody.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Channel = Literal["LINK", "TIMEOUT", "STAFF"]
#: The customer's link; no answer in time; a person of the bank.
LINK: Channel = "LINK"
TIMEOUT: Channel = "TIMEOUT"
STAFF: Channel = "STAFF"


def staff_decisions(rows: pa.RecordBatch) -> np.ndarray:
    """Which rows of fraud_confirmation are staff decisions."""
    found = pc.fill_null(pc.equal(rows["channel"], STAFF), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def is_staff_decision(answer: Mapping[str, Any]) -> bool:
    """Whether a record of fraud_confirmation is a staff decision."""
    return bool(answer["channel"] == STAFF)


def words_of(status: str, *, staff: bool) -> str:
    """The part of a text's name that says who gave an answer: pages and mails have other words for a decision.

    Nobody decides that there was no response; a record may say so all the same.
    """
    return f"{STAFF}_{status}" if staff and status != "NO_RESPONSE" else status


def counting(channels: Iterable[str | None]) -> int | None:
    """The place of the answer that counts among those of one case in log order; None: there is none.

    :param channels: of each answer; None where the record is from before the field was there
    """
    counts = None
    for place, channel in enumerate(channels):
        if counts is None or channel == STAFF:
            counts = place
    return counts
