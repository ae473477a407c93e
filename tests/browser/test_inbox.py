"""The local inbox with as many mails as a demo sends, in a real browser. It needs no stack."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from fraudstream.settings import ROOT
from playwright.sync_api import Browser, expect

from local.inbox.mailbox import Mailbox
from tests.unit.local.demo.test_inbox import mail

pytestmark = pytest.mark.browser
MAILS = 25_000


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an inbox with 25,000 mails. One in 500 is a fraud notice, half of which have a receipt."""
    database = tmp_path_factory.mktemp("inbox") / "inbox.sqlite"
    with closing(Mailbox(database)) as mailbox:
        notice = mail("A payment of NUMBER.00", kind="notice", html="<p>Hello</p>")
        fraud_notice = mail("Was this yours? NUMBER", kind="fraud_notice", case="a-NUMBER", html="<p>?</p>")
        receipt = mail("You reported this payment", kind="receipt", case="a-NUMBER")
        for number in range(MAILS):
            content, case = notice, number
            if number % 500 == 0:
                content = fraud_notice
            if number % 1000 == 1:
                content, case = receipt, number - 1
            content = content.replace(b"NUMBER", str(case).encode())
            mailbox.add("bank@example.com", [f"c{number}@example.com"], content)
    smtp, http = _free_port(), _free_port()
    command = [sys.executable, "-m", "local.inbox", "--smtp-port", str(smtp), "--http-port", str(http)]
    with subprocess.Popen([*command, "--db", str(database)], cwd=ROOT, env=os.environ) as server:
        try:
            _wait_for(f"http://127.0.0.1:{http}/")
            yield f"http://127.0.0.1:{http}"
        finally:
            server.terminate()


def test_it_opens_and_finds_the_fraud_notices_within_two_seconds(browser: Browser, inbox: str) -> None:
    """Checks the best of three tries: during one of them another program of this machine may use the CPU."""
    assert min(_seconds_to_find(browser, inbox) for _ in range(3)) < 2


def _seconds_to_find(browser: Browser, inbox: str) -> float:
    page = browser.new_page()
    started = time.monotonic()
    page.goto(inbox)
    expect(page.locator("tbody tr")).to_have_count(50)
    expect(page.locator("tbody tr").first).to_contain_text(f"{MAILS - 1}.00")
    page.get_by_role("searchbox").fill("Was this yours")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("50 mails with “Was this yours”").wait_for()
    seconds = time.monotonic() - started
    expect(page.locator("tbody tr").first).to_contain_text("Was this yours? 24500")
    page.close()
    return seconds


def test_the_mails_that_wait_for_an_answer_are_one_click_away(browser: Browser, inbox: str) -> None:
    page = browser.new_page()
    page.goto(inbox)
    page.get_by_role("link", name="Waiting for an answer (25)").click()
    page.get_by_text("25 mails, newest first").wait_for()
    page.get_by_role("link", name="Was this yours? 24500").click()
    expect(page.frame_locator("iframe").get_by_text("?")).to_be_visible()  # the frame loads after the page
    page.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while not _answers(url):
        assert time.monotonic() < deadline, f"{url} doesn't answer"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
