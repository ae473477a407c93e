"""Reminders: the notice of a case is sent again with the same deadline, through topic mail_retry."""

from collections.abc import Sequence
from datetime import datetime

from fraudstream.cases.watch.state import CaseState
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.mail.letter.letters import Letter, reminder_id
from fraudstream.mail.letter.templates import MailTemplates, message_id
from fraudstream.mail.retries import RetryQueue
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.settings import Settings


class Reminders:
    """Queues reminders for the DAG retry_mails, whose task writes and sends them.

    :raises SettingsError: the sender or the texts of mails can't be used
    """

    def __init__(self, settings: Settings) -> None:
        self._domain = MailTemplates(settings).domain
        self._queue = RetryQueue(settings)

    def remind(self, due: Sequence[tuple[CaseState, float, datetime]]) -> list[str]:
        """Queues reminders and returns their Message-IDs once the brokers have confirmed all of them.

        :param due: for each reminder the case, the share of the time limit that has passed, and the deadline
        :raises KafkaError: a reminder wasn't confirmed. The call can be repeated: no reminder is sent twice
        """
        letters = [self._letter(*one) for one in due]
        self._queue.send_again(*letters)
        return [letter.message_id for letter in letters]

    def _letter(self, case: CaseState, share: float, until: datetime) -> Letter:
        resend = reminder_id(share)
        identity = message_id(FRAUD_TRANSACTION, "fraud_notice", case.id + resend, self._domain)
        offset, timestamp = int(case.record.offsets[0]), int(case.record.timestamps[0])
        ends = int(until.timestamp() * 1000)
        return Letter(
            Mail("", b""),
            case.id,
            "fraud_notice",
            identity,
            offset,
            timestamp,
            case.record,
            0,
            resend=resend,
            until=ends,
        )
