"""Decides which answers of a case count: views, consumers and audit use the same rule.

The first answer of a case in log order counts: it ends the case's sensor and remains its XCom. A staff decision counts
whenever it comes, and supersedes the answer that counted before. It has its own outcome row and receipt, which the
audit expects. All other answers are ignored.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Channel = Literal["LINK", "TIMEOUT", "STAFF"]
#: LINK: the customer's link. TIMEOUT: no answer within the time limit. STAFF: a person of the bank.
LINK: Channel = "LINK"
TIMEOUT: Channel = "TIMEOUT"
STAFF: Channel = "STAFF"


def staff_decisions(rows: pa.RecordBatch) -> np.ndarray:
    """Returns the mask of the rows of fraud_confirmation that are staff decisions."""
    found = pc.fill_null(pc.equal(rows["channel"], STAFF), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def is_staff_decision(answer: Mapping[str, Any]) -> bool:
    """Whether a record of fraud_confirmation is a staff decision."""
    return bool(answer["channel"] == STAFF)


def words_of(status: str, *, staff: bool) -> str:
    """The part of a text's name that stands for an answer: pages and mails have separate texts for staff decisions.

    A person can't decide NO_RESPONSE. If a record has it nevertheless, it gets the text of an answer.
    """
    return f"{STAFF}_{status}" if staff and status != "NO_RESPONSE" else status


def counting(channels: Iterable[str | None]) -> int | None:
    """Returns the index of the answer that counts among the answers to one case; None: there are no answers.

    :param channels: the channel of each answer, in log order; None: the record is older than the field
    """
    counts = None
    for place, channel in enumerate(channels):
        if counts is None or channel == STAFF:
            counts = place
    return counts
