"""A real Chromium, headless: one on this machine, else Debian's package where we may install it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BY_HAND = "sudo apt-get install chromium    # or set CHROMIUM to the path of a Chromium or Chrome"


def chromium() -> str:
    """Path of a Chromium; stops the tests with the line to type where there is none and none can be installed."""
    chosen = os.environ.get("CHROMIUM")
    found = chosen or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"]):
            subprocess.run(
                ["apt-get", "-o", "DPkg::Lock::Timeout=300", *command],
                check=True,
                timeout=600,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        found = shutil.which("chromium")
    if found is None:
        pytest.exit(f"the browser tests need Chromium and found none of {', '.join(NAMES)}; type: {BY_HAND}", 1)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module: Playwright runs an event loop in this thread, which other tests need free."""
    # Chromium's sandbox refuses to run as root, and what it opens here are pages of our own only.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address as a new visitor; what the browser complains about, but an error's status, fails the test."""
    complaints: list[str] = []

    def complain(text: str) -> None:
        if not text.startswith("Failed to load resource: the server responded with a status of"):
            complaints.append(text)

    contexts = []

    def open_page(url: str, width: int = 1280, height: int = 800, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
