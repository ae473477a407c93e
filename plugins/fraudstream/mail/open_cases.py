"""No fraud notice goes out for a case that is over: neither late, nor again, nor as a reminder.

So no receipt comes before its notice either: a case with a receipt has an outcome, and gets no notice any more.
"""

import logging
import time
from collections.abc import Callable

from fraudstream.cases.answers.first_answer_sink import KnowsFirstPlaces
from fraudstream.kafka.records import Batch
from fraudstream.mail.letter.letters import Letter, WritesLetters

logger = logging.getLogger(__name__)

#: A notice whose record is younger than this is sent without a check: there cannot be an answer yet. One of the future
#: isn't: a broker's clock was ahead.
_FRESH_SECONDS = 30.0


class OpenCasesOnly:
    """A writer whose fraud notices of cases with an outcome are settled as ``over``.

    The answers are read once the first notice comes that isn't fresh. An answer that arrives between the look and the
    delivery, some seconds later at most, doesn't stop its mail.

    :param answers: makes what knows the answers
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
        """The inner writer's.

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
        """Ends reading the answers."""
        self._writer.close()
        if self._answers is not None:
            self._answers.close()
