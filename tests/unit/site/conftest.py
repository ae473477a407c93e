import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fraudstream.cases.links.signed import Links
from fraudstream.settings import Settings
from fraudstream.site.metrics import Metrics
from fraudstream.site.site import create_app
from starlette.testclient import TestClient

from tests.fakes.cases import FakeAnswers, FakeCases, transaction

ORIGIN = "http://127.0.0.1:8085"
LONG_AGO = datetime(2023, 10, 5, 9, 30, tzinfo=UTC)


def words(html: str) -> str:
    """The text of a page, with single spaces."""
    return " ".join(BeautifulSoup(html, "html.parser").body.get_text(" ").split())  # type: ignore[union-attr]


@dataclass
class Site:
    """A site with cases and answers in memory, and a browser that visits it."""

    settings: Settings = field(default_factory=Settings)
    client_address: str = "203.0.113.7"

    def __post_init__(self) -> None:
        self.cases = FakeCases()
        self.answers = FakeAnswers()
        self.links = Links(self.settings)
        self.metrics = Metrics()
        self.case = self.cases.add(transaction())
        self.opened: list[str] = []
        app = create_app(
            self.settings, self.cases, self.answers, self.answers, self.links, self.metrics, self.opened.append
        )
        self.browser = TestClient(
            app,
            base_url=ORIGIN,
            raise_server_exceptions=False,
            follow_redirects=False,
            client=(self.client_address, 50_000),
        )

    def url(self, answer: Any = "fraud", case: str = "case-1") -> str:
        return self.links.url(case, answer)

    def form(self, url: str, answer: str = "fraud") -> dict[str, str]:
        """The fields that the page at `url` sends when the button of `answer` is pressed."""
        page = self.browser.get(url)
        token = re.search(r'name="page" value="([^"]+)"', page.text)
        assert token is not None, f"no form in page {page.status_code}"
        return {"page": token.group(1), "answer": answer}

    def press(self, answer: Any = "fraud", case: str = "case-1") -> Any:
        """Opens the link and presses its button."""
        url = self.url(answer, case)
        return self.send(url, self.form(url, answer))

    def send(self, url: str, form: dict[str, str]) -> Any:
        """The page after the browser has posted a form and followed the redirect."""
        return self.browser.post(url, data=form, follow_redirects=True)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def make_site() -> Callable[..., Site]:
    def make(client_address: str = "203.0.113.7", **changes: Any) -> Site:
        return Site(Settings(**changes), client_address)

    return make
