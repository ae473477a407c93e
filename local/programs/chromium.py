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
    """There is no Chromium, and none could be installed; the message has the command that installs it."""


def find_chromium(*, install: bool = False) -> str:
    """Path of a Chromium or Chrome on this machine; the environment variable CHROMIUM takes precedence.

    :param install: if there is none and this process runs as root, installs Debian's package
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
    """Starts a headless Chromium. Playwright runs an event loop in this thread until the context is left."""
    # Chromium's sandbox refuses to run as root. It isn't needed here: only the project's own pages are opened.
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
