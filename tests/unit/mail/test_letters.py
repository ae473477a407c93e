"""Which mail a record causes: a staff decision has its own receipt, the same at each try."""

from fraudstream.kafka.records import FRAUD_CONFIRMATION, Partition
from fraudstream.mail.letter.letters import LetterWriter
from fraudstream.settings import Settings

from tests.unit.lake.rows import answer, batch

ANSWERS = Partition(FRAUD_CONFIRMATION, 0)
STAFF = {"channel": "STAFF", "decidedBy": "ana", "reason": "the customer called"}


def receipts(*rows: dict[str, object]) -> list[str]:
    written = LetterWriter(Settings(), None).letters(batch(range(len(rows)), rows=rows, partition=ANSWERS))
    return [letter.message_id for letter in written]


def test_each_staff_decision_has_a_receipt_of_its_own_that_is_the_same_at_each_try() -> None:
    first, old = receipts(answer(1, "REPORTED_NOT_FRAUD", channel="LINK"), answer(1, "NO_RESPONSE"))
    assert first == old, "an answer from before the channel was recorded has the Message-ID that it had"
    decided = [{**answer(1, "REPORTED_FRAUD", **STAFF), "answeredAt": 1_700_000_000_000 + n} for n in (0, 60_000)]
    identities = receipts(*decided)
    assert len({first, *identities}) == 3
    assert receipts(*decided) == identities


def test_a_decision_that_there_was_no_response_has_the_words_of_no_response() -> None:
    (written,) = LetterWriter(Settings(mail_safe_mode=False), None).letters(
        batch([0], rows=[answer(1, "NO_RESPONSE", **STAFF)], partition=ANSWERS)
    )
    assert b"got no answer in time" in written.mail.content
