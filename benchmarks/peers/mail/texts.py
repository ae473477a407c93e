"""The texts of the pipeline's notice, for peers that build their messages with the email package."""

from dataclasses import asdict

from fraudstream.mail.letter.templates import Facts, MailTemplates
from fraudstream.settings import Settings

_AMOUNT = "12345.67"


class Notices:
    """Subject, plain text and HTML of notices. The template is rendered once; only the amount differs."""

    def __init__(self) -> None:
        facts = Facts(
            "738e366774-000000000", _AMOUNT, "Payment", "****6815", "****7155", "1 October 2023, 01:00 UTC", "en"
        )
        self._texts = MailTemplates(Settings()).texts("notice", asdict(facts))

    def __call__(self, number: int) -> tuple[str, str, str]:
        """The texts of one notice."""
        subject, text, html = (part.replace(_AMOUNT, f"{number}.25") for part in self._texts)
        return subject, text, html
