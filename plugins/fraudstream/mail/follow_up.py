"""What belongs to mails after they are in the log: retries of deferred ones, events of fraud notices."""

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
    """Connects to Kafka when there is something to write for the first time: most runs have nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._retries: RetryQueue | None = None
        self._events: CaseEvents | None = None

    def done(self, letters: Sequence[Letter]) -> None:
        """Returns once everything about the letters is durable; doing it again changes nothing.

        :raises KafkaError: the brokers don't take it; the letters' offsets must not be reported
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
                # An alert looks for these words: docs/mail.md.
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
    """Masked; None: no address is known."""
    return masked(mail.recipient) if mail.recipient else None


def _described(letter: Letter) -> str:
    mail = letter.mail
    return f"{letter.id_transaction}, {letter.kind} to {_recipient(mail) or 'nobody'}: {mail.status}, {mail.reply}"
