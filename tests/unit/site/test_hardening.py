"""What a page or a request can't do: markup, headers, sizes and slow requests."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from bs4 import BeautifulSoup
from fraudstream.site import site as site_module

from tests.fakes.cases import transaction
from tests.unit.site.conftest import Site

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
SECURITY_HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-robots-tag": "noindex, nofollow",
}


def post(site: Site, body: AsyncIterator[bytes]) -> httpx.Response:
    """Sends a body piece by piece, as long as the site reads it."""

    async def send() -> httpx.Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        transport = httpx.ASGITransport(site.browser.app)
        async with httpx.AsyncClient(transport=transport) as browser, asyncio.timeout(5):
            return await browser.post(site.url(), content=body, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("field", ["idTransaction", "nameDest", "nameOrig", "type"])
def test_markup_in_a_displayed_field_is_shown_as_text(site: Site, field: str) -> None:
    record = site.cases.add(transaction("case-x") | {field: MARKUP})
    case = record["idTransaction"]
    url = site.url(case=case)
    for page in (site.browser.get(url), site.press(case=case), site.browser.get(url)):
        assert page.status_code == 200
        html = BeautifulSoup(page.text, "html.parser")
        assert html.find_all(["script", "img"]) == []
        assert MARKUP in html.get_text()
    assert len(site.answers.log) == 1


def test_ten_megabytes_are_refused_before_they_are_read(site: Site) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1
            yield b"a" * 1_000

    assert post(site, body()).status_code == 413
    assert sent < 10
    assert site.answers.log == []


def test_a_body_that_trickles_in_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "BODY_SECONDS", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"a"
            await asyncio.sleep(0.02)

    assert post(site, trickle()).status_code == 408
    assert site.answers.log == []


def test_every_answer_carries_the_security_headers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    answers = {
        200: site.browser.get(site.url()),
        404: site.browser.get("/nowhere"),
        405: site.browser.put(site.url()),
        415: site.browser.post(site.url(), content=b"x"),
    }
    monkeypatch.setattr(site.cases, "get", defect)
    answers[500] = site.browser.get(site.url())
    for status, page in answers.items():
        assert page.status_code == status
        for name, value in SECURITY_HEADERS.items():
            assert page.headers[name] == value, f"{name} of {status}"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert "strict-transport-security" not in page.headers
        assert "defect" not in page.text
    assert answers[500].text.count("Something went wrong on our side") == 2


def test_the_style_is_the_one_that_the_policy_allows(site: Site) -> None:
    page = site.browser.get(site.url())
    style = page.text.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]


def test_strict_transport_security_is_on_behind_tls(make_site: Callable[..., Site]) -> None:
    site = make_site(confirmation_url="https://bank.example", confirmation_keys=[secrets.token_urlsafe(32)])
    # the policy must not include the bank's other host names
    assert site.browser.get("/").headers["strict-transport-security"] == "max-age=31536000"
