"""Reminders: a case's notice once more, with the same deadline, by way of topic mail_retry."""

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
    """Hands reminders to the DAG retry_mails, whose task writes and sends them.

    :raises SettingsError: `mail_sender` is not an address that mail can come from
    """

    def __init__(self, settings: Settings) -> None:
        self._domain = MailTemplates(settings).domain
        self._queue = RetryQueue(settings)

    def remind(self, due: Sequence[tuple[CaseState, float, datetime]]) -> list[str]:
        """Message-IDs of the reminders of cases after a share of the time limit, once the queue has each.

        :raises KafkaError: the brokers don't have one; calling it again sends none twice
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
