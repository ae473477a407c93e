"""The confirmation pages as bytes, and the headers that every one of them carries."""

import base64
import hashlib
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any, Literal, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from fraudstream.confirmation.links import Proposal
from fraudstream.confirmation.texts import catalogue, language_for, money_text, time_text
from fraudstream.confirmation.view import Answer
from fraudstream.settings import TEMPLATES, Settings

#: Pages that say one thing: the catalogue has `<name>_title` and `<name>_text`.
Plain = Literal[
    "received",
    "expired",
    "invalid",
    "not_ready",
    "not_recorded",
    "refused",
    "too_large",
    "too_many",
    "broken",
]
RETRY_SECONDS = {"not_ready": 30, "not_recorded": 60, "too_many": 60}


class Pages:
    """Renders each page in the language that the request prefers; every value is escaped."""

    def __init__(self, settings: Settings) -> None:
        folder = TEMPLATES / "pages"
        self._templates = Environment(
            loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        style = (folder / "style.css").read_text(encoding="utf-8")
        self._always = {
            "bank": parseaddr(settings.mail_sender)[0] or "Bank",
            "style": Markup(style),  # noqa: S704  our own file, and the policy's hash holds it to that
        }
        self.headers = _headers(style, https=settings.confirmation_url.startswith("https:"))

    def case(self, request: Request, transaction: Mapping[str, Any], proposal: Proposal, page_token: str) -> Response:
        """The payment and the two answers, the proposed one first."""
        return self._case(request, transaction, proposal, page_token, 200)

    def case_again(
        self, request: Request, transaction: Mapping[str, Any], proposal: Proposal, page_token: str
    ) -> Response:
        """The same after a button was pressed on a page that was open for too long."""
        return self._case(request, transaction, proposal, page_token, 403)

    def recorded(self, request: Request, answer: Answer) -> Response:
        """What was recorded for a case, and when."""
        text = _text(request)
        return self._render(
            request,
            "recorded.html",
            200,
            title=text[f"recorded_title_{answer.status}"],
            next=text[f"recorded_next_{answer.status}"],
            answer=text[f"recorded_answer_{answer.status}"],
            time=time_text(answer.answered_at, text),
            machine_time=answer.answered_at.isoformat(timespec="seconds"),
            payment=_payment(answer.record, text),
        )

    def plain(self, request: Request, name: Plain, status: int) -> Response:
        """A page that says one thing."""
        text = _text(request)
        page = self._render(request, "message.html", status, title=text[f"{name}_title"], message=text[f"{name}_text"])
        if name in RETRY_SECONDS:
            page.headers["Retry-After"] = str(RETRY_SECONDS[name])
        return page

    def _case(
        self, request: Request, transaction: Mapping[str, Any], proposal: Proposal, page_token: str, status: int
    ) -> Response:
        text = _text(request)
        proposed_first = sorted(get_args(Proposal), key=lambda value: value != proposal)
        return self._render(
            request,
            "case.html",
            status,
            title=text["case_title"],
            again=status != 200,
            payment=_payment(transaction, text),
            page_token=page_token,
            answers=[
                {
                    "value": value,
                    "label": text[f"button_{value.replace('-', '_')}"],
                    "hint": text[f"button_{value.replace('-', '_')}_hint"],
                }
                for value in proposed_first
            ],
        )

    def _render(self, request: Request, template: str, status: int, **values: Any) -> Response:
        language = _language(request)
        html = self._templates.get_template(template).render(
            self._always, language=language, text=catalogue()[language], **values
        )
        return Response(
            html,
            status,
            media_type="text/html",
            headers={"Content-Language": language, "Vary": "Accept-Language"},
        )


def _language(request: Request) -> str:
    return language_for(request.headers.get("accept-language", ""))


def _text(request: Request) -> dict[str, str]:
    return catalogue()[_language(request)]


def _payment(transaction: Mapping[str, Any], text: Mapping[str, str]) -> dict[str, str]:
    return {
        "amount": money_text(transaction["amount"], text),
        "to": transaction["nameDest"],
        "origin": transaction["nameOrig"],
        "type": text.get(f"type_{transaction['type']}", transaction["type"]),
        "time": time_text(transaction["timestamp"], text),
        "machine_time": transaction["timestamp"].isoformat(timespec="seconds"),
        "id": transaction["idTransaction"],
    }


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
        headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    return [(name.encode(), value.encode()) for name, value in headers.items()]
