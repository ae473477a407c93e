"""Prevents fraud notices for cases that have an outcome: late notices, notices that are sent again, and reminders.

So a customer doesn't get a notice after the receipt: a case with a receipt has an outcome.
"""

import logging
import time
from collections.abc import Callable

from fraudstream.cases.answers.first_answer_sink import KnowsFirstPlaces
from fraudstream.kafka.records import Batch
from fraudstream.mail.letter.letters import Letter, WritesLetters

logger = logging.getLogger(__name__)

#: Notices of younger records are sent without a check, since there can't be an answer yet. A record from the future is
#: checked: its age is not known, because a broker's clock was ahead.
_FRESH_SECONDS = 30.0


class OpenCasesOnly:
    """A writer of letters that settles the fraud notices of cases with an outcome as ``over``.

    The answers are first read for the first notice whose record is older than 30 s. An answer that arrives between the
    check and the delivery, a few seconds later, doesn't prevent the mail.

    :param answers: makes the reader of the answers
    """

    def __init__(
        self,
        writer: WritesLetters,
        answers: Callable[[], KnowsFirstPlaces],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._make_answers = answers
        self._answers: KnowsFirstPlaces | None = None
        self._clock = clock

    def letters(self, batch: Batch) -> list[Letter]:
        """Returns the letters of the inner writer, with the notices of cases that are over settled.

        :raises KafkaUnavailable: the answers can't be read
        """
        letters = self._writer.letters(batch)
        now = self._clock() * 1000
        asked = [
            letter
            for letter in letters
            if letter.kind == "fraud_notice"
            and letter.unsettled
            and abs(now - letter.record_timestamp) > _FRESH_SECONDS * 1000
        ]
        if asked:
            self._answers = self._answers or self._make_answers()
            self._answers.catch_up()
            for letter in asked:
                if self._answers.first_place(letter.id_transaction) is not None:
                    mail = letter.mail
                    mail.status, mail.reply = "over", "not sent: the case has an outcome"
                    mail.finished_at = self._clock()
                    logger.info("case %s is over, its notice isn't sent", letter.id_transaction)
        return letters

    def close(self) -> None:
        """Closes the inner writer and the reader of the answers."""
        self._writer.close()
        if self._answers is not None:
            self._answers.close()
