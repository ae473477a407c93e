"""The inbox's web pages and JSON API."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import BaseModel

from local.inbox.mailbox import Mailbox, text_of
from local.inbox.returns import Returns

PAGE_MAILS = 50
#: A mail's own HTML runs no script and loads nothing; links open in a tab of their own.
_MAIL_POLICY = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'"
_PAGE_POLICY = "default-src 'none'; style-src 'self' 'unsafe-inline'; frame-src 'self'; form-action 'self'"
_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape())


class NoMailbox(BaseModel):
    """Recipients whose mails are returned, and the port on this machine of the mail server that gets the notices."""

    recipients: list[str]
    port: int = 0


def app_for(mailbox: Mailbox, returns: Returns) -> FastAPI:
    """The pages and the API of one mailbox."""
    app = FastAPI(title="Inbox of the local stack", docs_url=None, redoc_url=None, openapi_url=None)

    def page(template: str, **values: Any) -> HTMLResponse:
        content = _TEMPLATES.get_template(template).render(**values)
        return HTMLResponse(content, headers={"Content-Security-Policy": _PAGE_POLICY})

    def source(number: int) -> bytes:
        content = mailbox.source(number)
        if content is None:
            raise HTTPException(404, f"no mail has the number {number}")
        return content

    @app.get("/")
    async def mails(
        search: str = "", waiting: bool = False, number: Annotated[int, Query(alias="page", ge=1)] = 1
    ) -> HTMLResponse:
        total, listed = mailbox.find(search, waiting=waiting, limit=PAGE_MAILS, skip=PAGE_MAILS * (number - 1))
        unanswered, _ = mailbox.find(waiting=True, limit=0)
        pages = max(1, -(-total // PAGE_MAILS))
        return page(
            "mails.html",
            mails=listed,
            total=total,
            search=search,
            waiting=waiting,
            page=number,
            pages=pages,
            unanswered=unanswered,
        )

    @app.get("/mails/{number}")
    async def mail(number: int) -> HTMLResponse:
        content = source(number)
        listed = mailbox.listed(number)
        return page("mail.html", mail=listed, text=text_of(content), html=bool(text_of(content, "html")))

    @app.get("/mails/{number}/html")
    async def html(number: int) -> HTMLResponse:
        body = f'<base target="_blank">{text_of(source(number), "html")}'
        return HTMLResponse(body, headers={"Content-Security-Policy": _MAIL_POLICY})

    @app.get("/mails/{number}/text")
    async def text(number: int) -> PlainTextResponse:
        return PlainTextResponse(text_of(source(number)))

    @app.get("/mails/{number}/source")
    async def whole(number: int) -> Response:
        return Response(source(number), media_type="text/plain; charset=utf-8")

    @app.get("/api/mails")
    async def api_mails(
        search: str = "",
        waiting: bool = False,
        kind: str = "",
        returned: bool | None = None,
        after: int = 0,
        limit: Annotated[int, Query(ge=0, le=100_000)] = 100,
    ) -> dict[str, Any]:
        total, listed = mailbox.find(search, waiting=waiting, kind=kind, returned=returned, after=after, limit=limit)
        return {"total": total, "mails": [asdict(mail) for mail in listed]}

    @app.put("/api/returns", status_code=204)
    async def api_returns(who: NoMailbox) -> None:
        returns.set(who.recipients, who.port)

    @app.delete("/api/mails", status_code=204)
    async def api_empty() -> None:
        mailbox.empty()

    return app
