"""The follow-up of mails that are in the log: retries of deferred mails, and events of fraud notices."""

import logging
from collections.abc import Sequence

from fraudstream.cases.events import MAIL_FAILED, MAIL_SUPPRESSED, NOTICE_ACCEPTED, CaseEvent, CaseEvents, masked
from fraudstream.mail.letter.letters import Letter, is_reminder
from fraudstream.mail.retries import RetryQueue
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.settings import Settings

logger = logging.getLogger(__name__)

_EVENT_OF = {"failed": MAIL_FAILED, "suppressed": MAIL_SUPPRESSED}


class FollowUp:
    """Writes retries and events to Kafka. Connects only before its first record, because most runs have none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._retries: RetryQueue | None = None
        self._events: CaseEvents | None = None

    def done(self, letters: Sequence[Letter]) -> None:
        """Queues the retries of deferred letters and writes the events of fraud notices. Returns once they are durable.

        The call can be repeated: duplicate retries and events have no effect.

        :raises KafkaError: the brokers didn't confirm a record; the letters' offsets must not be reported as done
        """
        deferred = [letter for letter in letters if letter.mail.status == "deferred"]
        if deferred:
            self._retries = self._retries or RetryQueue(self._settings)
            self._retries.put(deferred)
            logger.info("%d mails are deferred, such as %s", len(deferred), _described(deferred[0]))
        notices = [letter for letter in letters if letter.kind == "fraud_notice"]
        undelivered = [letter for letter in notices if letter.mail.status in _EVENT_OF]
        accepted = [letter for letter in notices if letter.mail.status == "sent" and not is_reminder(letter.resend)]
        if undelivered or accepted:
            self._events = self._events or CaseEvents(self._settings)
            self._events.publish(map(_event, [*undelivered, *accepted]))
            for letter in undelivered:
                # An alert matches these words: docs/mail.md.
                logger.error("fraud notice not delivered: case %s", _described(letter))


def _event(letter: Letter) -> CaseEvent:
    mail = letter.mail
    return CaseEvent(
        letter.id_transaction,
        _EVENT_OF.get(mail.status, NOTICE_ACCEPTED),
        "send_mail",
        mail.reply,
        _recipient(mail),
        {"messageId": letter.message_id, "kind": letter.kind, "attempts": mail.attempts},
    )


def _recipient(mail: Mail) -> str | None:
    """Returns the masked recipient; None: no address is known."""
    return masked(mail.recipient) if mail.recipient else None


def _described(letter: Letter) -> str:
    mail = letter.mail
    return f"{letter.id_transaction}, {letter.kind} to {_recipient(mail) or 'nobody'}: {mail.status}, {mail.reply}"
