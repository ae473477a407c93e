"""The facts in a mail about a transaction, in the customer's language, time zone and number format."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from fraudstream.cases.answers.staff import words_of
from fraudstream.cases.links.signed import Proposal
from fraudstream.mail.customers.customer import Customer
from fraudstream.mail.letter.templates import REMINDER, Facts, Kind
from fraudstream.settings import Settings
from fraudstream.texts import known_language, money_text, texts_of, time_text


class MakesLinks(Protocol):
    """The method of :class:`fraudstream.cases.links.signed.Links` that fraud notices use."""

    def url(self, id_transaction: str, answer: Proposal, language: str = "") -> str:
        """Returns the link to a page that proposes `answer`, ``fraud`` or ``not-fraud``.

        :param language: the language of the page; empty: the browser's
        """


class FactsWriter:
    """Writes the facts of mails.

    :param links: makes the links of fraud notices; None if no fraud notices are written
    :raises SettingsError: the bank's own texts can't be used
    """

    def __init__(self, settings: Settings, links: MakesLinks | None) -> None:
        self._texts = texts_of(settings)
        self._default = next(iter(self._texts))
        self._currency = settings.bank_currency
        self._zone = settings.bank_time_zone
        self._links = links
        self._time = lru_cache(maxsize=4096)(self._time_text)

    def facts(
        self, kind: Kind, row: Mapping[str, object], until: int, customer: Customer, *, reminder: bool = False
    ) -> Facts:
        """Returns the facts of a mail.

        :param row: the columns of the transaction or answer, times in ms since 1970; the column `staff` of an answer
            says whether it is a staff decision
        :param until: until when the customer may answer, in ms since 1970
        :param reminder: whether a fraud notice is a reminder
        """
        language = known_language(customer.language, self._texts) or self._default
        zone = customer.time_zone or self._zone
        text = self._texts[language]
        id_transaction = str(row["idTransaction"])
        common = (
            id_transaction,
            money_text(_integer(row["amount"]), text, self._currency),
            text.get(f"type_{row['type']}", str(row["type"])),
            masked_account(str(row["nameOrig"])),
            masked_account(str(row["nameDest"])),
            self._time(_integer(row["timestamp"]), language, zone),
            language,
            customer.name,
        )
        if kind == "fraud_notice":
            if self._links is None:
                raise ValueError("a fraud notice has links: the writer of fraud notices is given what makes them")
            # only the customer's language takes precedence over the browser's, the default language doesn't
            of_page = known_language(customer.language, self._texts)
            return Facts(
                *common,
                fraud_url=self._links.url(id_transaction, "fraud", of_page),
                not_fraud_url=self._links.url(id_transaction, "not-fraud", of_page),
                status=REMINDER if reminder else "",
                until=self._time(until, language, zone),
            )
        if kind == "receipt":
            answered = self._time(_integer(row["answeredAt"]), language, zone)
            words = words_of(str(row["status"]), staff=bool(row["staff"]))
            return Facts(*common, status=words, answered=answered)
        return Facts(*common)

    def _time_text(self, milliseconds: int, language: str, zone: str) -> str:
        return time_text(datetime.fromtimestamp(milliseconds / 1000, UTC), self._texts[language], zone)


def masked_account(number: str) -> str:
    """Masks an account number so that its holder recognises it: ``****6815``. At least half of it is hidden."""
    return f"****{number[len(number) - min(4, len(number) // 2) :]}"


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"expected an integer column, found {value!r}")
    return value
