"""The confirmation pages as bytes, and the headers that every one of them carries."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from fraudstream.cases.answers.staff import is_staff_decision, words_of
from fraudstream.cases.links.signed import Proposal, language_in
from fraudstream.cases.views.case_views import Answer
from fraudstream.settings import TEMPLATES, Settings
from fraudstream.site.languages import LONGEST_HEADER, language_for
from fraudstream.site.skeleton import Skeleton, mark
from fraudstream.texts import Text, money_text, texts_of, time_text

#: Pages with only a title and a text, which the catalogue has as `<name>_title` and `<name>_text`.
Plain = Literal[
    "received",
    "expired",
    "invalid",
    "not_ready",
    "not_recorded",
    "unknown",
    "refused",
    "too_large",
    "too_many",
    "broken",
]
RETRY_SECONDS = {"not_ready": 30, "not_recorded": 60, "unknown": 60, "too_many": 60}


@dataclass(frozen=True, slots=True)
class Form:
    """The address that the form of a case's page posts to, and its page token."""

    action: str
    page_token: str


class Pages:
    """Renders each page in the language that the link names or else the browser prefers; every value is escaped.

    :raises SettingsError: the bank's own texts don't fit the pages
    """

    def __init__(self, settings: Settings) -> None:
        self._texts = texts_of(settings)
        self._languages = tuple(self._texts)
        self._currency, self._zone = settings.bank_currency, settings.bank_time_zone
        folder = TEMPLATES / "pages"
        self._templates = Environment(
            loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        style = (folder / "style.css").read_text(encoding="utf-8")
        self._always = {
            "bank": settings.bank_name,
            "style": Markup(style),  # noqa: S704  our own file, and the policy allows only a style with its hash
        }
        self.headers = _headers(style, https=settings.confirmation_url.startswith("https:"))

    def case(self, request: Request, transaction: Mapping[str, Any], proposal: Proposal | None, form: Form) -> Response:
        """Returns the page with the payment and the two answers, the proposed one first."""
        return self._case(request, transaction, proposal, form, 200)

    def case_again(
        self, request: Request, transaction: Mapping[str, Any], proposal: Proposal | None, form: Form
    ) -> Response:
        """As :meth:`case`, after a button was pressed on a page that was open for too long."""
        return self._case(request, transaction, proposal, form, 403)

    def recorded(self, request: Request, answer: Answer) -> Response:
        """Returns the page with a case's outcome and its time: the customer's answer, or the bank staff's decision."""
        language = self._language(request)
        text = self._texts[language]
        values = self._payment(answer.record, text) | {
            "answered": time_text(answer.answered_at, text, self._zone),
            "machine_answered": answer.answered_at.isoformat(timespec="seconds"),
        }
        page = self._recorded(language, answer.status, staff=is_staff_decision(answer.record))
        return _response(page.fill(values), 200, language)

    def plain(self, request: Request, name: Plain, status: int) -> Response:
        """Returns a page with only a title and a text."""
        language = self._language(request)
        page = _response(self._plain(language, name).fill({}), status, language)
        if name in RETRY_SECONDS:
            page.headers["Retry-After"] = str(RETRY_SECONDS[name])
        return page

    def _case(
        self, request: Request, transaction: Mapping[str, Any], proposal: Proposal | None, form: Form, status: int
    ) -> Response:
        language = self._language(request)
        values = self._payment(transaction, self._texts[language]) | {
            "action": form.action,
            "page_token": form.page_token,
        }
        return _response(self._cases(language, proposal, again=status != 200).fill(values), status, language)

    def _language(self, request: Request) -> str:
        named = language_in(request.url.query)
        if named in self._texts:
            return named
        return language_for(request.headers.get("accept-language", "")[:LONGEST_HEADER], self._languages)

    def _payment(self, transaction: Mapping[str, Any], text: Text) -> dict[str, str]:
        """Returns the value of each name in :data:`_MARKS`."""
        return {
            "amount": money_text(transaction["amount"], text, self._currency),
            "to": transaction["nameDest"],
            "origin": transaction["nameOrig"],
            "type": text.get(f"type_{transaction['type']}", transaction["type"]),
            "time": time_text(transaction["timestamp"], text, self._zone),
            "machine_time": transaction["timestamp"].isoformat(timespec="seconds"),
            "id": transaction["idTransaction"],
        }

    # ---- renders each page once in each language ----

    @cache  # noqa: B019  as many as there are pages and languages, for as long as the site runs
    def _cases(self, language: str, proposal: Proposal | None, *, again: bool) -> Skeleton:
        text = self._texts[language]
        proposed_first = sorted(get_args(Proposal), key=lambda value: value != proposal)
        return self._skeleton(
            "case.html",
            language,
            title=text["case_title"],
            again=again,
            payment=_MARKS,
            action=mark("action"),
            page_token=mark("page_token"),
            answers=[
                {
                    "value": value,
                    "proposed": value == proposal,
                    "label": text[f"button_{value.replace('-', '_')}"],
                    "hint": text[f"button_{value.replace('-', '_')}_hint"],
                }
                for value in proposed_first
            ],
        )

    @cache  # noqa: B019
    def _recorded(self, language: str, status: str, *, staff: bool) -> Skeleton:
        text, words = self._texts[language], words_of(status, staff=staff)
        return self._skeleton(
            "recorded.html",
            language,
            title=text[f"recorded_title_{words}"],
            next=text[f"recorded_next_{words}"],
            label=text["label_decision" if staff else "label_answer"],
            answer=text[f"recorded_answer_{words}"],
            mistake=text["staff_not_you" if staff else "recorded_first"],
            time=mark("answered"),
            machine_time=mark("machine_answered"),
            payment=_MARKS,
        )

    @cache  # noqa: B019
    def _plain(self, language: str, name: Plain) -> Skeleton:
        text = self._texts[language]
        return self._skeleton("message.html", language, title=text[f"{name}_title"], message=text[f"{name}_text"])

    def _skeleton(self, template: str, language: str, **values: Any) -> Skeleton:
        page = self._templates.get_template(template)
        return Skeleton(page.render(self._always, language=language, text=self._texts[language], **values))


def _response(page: bytes, status: int, language: str) -> Response:
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(page, status, media_type="text/html", headers=headers)


_MARKS = {name: mark(name) for name in ("amount", "to", "origin", "type", "time", "machine_time", "id")}


def _headers(style: str, *, https: bool) -> list[tuple[bytes, bytes]]:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "x-robots-tag": "noindex, nofollow",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    if https:
        headers["strict-transport-security"] = "max-age=31536000"
    return [(name.encode(), value.encode()) for name, value in headers.items()]
