"""A real Chromium, for the browser tests and for a customer of the demo."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from fraudstream.errors import FraudstreamError
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BY_HAND = "sudo apt-get install chromium    # or set CHROMIUM to the path of a Chromium or Chrome"
_PACKAGES = ("chromium", "fonts-dejavu-core")


class NoChromium(FraudstreamError):
    """No Chromium is here, and none can be installed; the message has the line to type."""


def find_chromium(*, install: bool = False) -> str:
    """Path of a Chromium on this machine.

    :param install: as root install Debian's package where there is none; the tests do, whoever looks at a demo is told
    :raises NoChromium: there is none
    """
    found = os.environ.get("CHROMIUM") or _on_path()
    if found is None and install and os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            _apt("update")
            _apt("install", "--yes", "--no-install-recommends", *_PACKAGES)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise NoChromium(f"installing Debian's package failed: {error}; type: {BY_HAND}") from error
        found = _on_path()
    if found is None:
        raise NoChromium(f"found no {', no '.join(NAMES)}; type: {BY_HAND}")
    return found


@contextmanager
def running(chromium: str) -> Iterator[Browser]:
    """Headless Chromium. Playwright runs an event loop in this thread until it is closed."""
    # Its sandbox refuses to run as root, and what it opens here are pages of our own only.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


def _on_path() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _apt(*command: str) -> None:
    subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *command],
        check=True,
        capture_output=True,
        timeout=600,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
