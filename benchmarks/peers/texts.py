"""The notice's own words for the peers, which build their messages with the email package."""

from fraudstream.mail.letter.templates import MailTemplates
from fraudstream.settings import Settings

_AMOUNT = "12345.67"


class Notices:
    """Subject, plain text and HTML of notices that differ in their amount; rendered once."""

    def __init__(self) -> None:
        facts = {
            "id": "738e366774-000000000",
            "amount": _AMOUNT,
            "type": "Payment",
            "account": "****6815",
            "counterparty": "****7155",
            "time": "1 October 2023, 01:00 UTC",
            "language": "en",
            "name": "",
        }
        self._texts = MailTemplates(Settings()).texts("notice", facts)

    def __call__(self, number: int) -> tuple[str, str, str]:
        """The texts of one notice."""
        subject, text, html = (part.replace(_AMOUNT, f"{number}.25") for part in self._texts)
        return subject, text, html
