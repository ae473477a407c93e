"""The local inbox: what it stores, finds and shows."""

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from fraudstream.mail.bounces.reports import Outcome, read_report

from local.inbox.mailbox import Mailbox
from local.inbox.returns import Returns, notice
from local.inbox.web import PAGE_MAILS, app_for


def mail(
    subject: str,
    *,
    kind: str = "",
    case: str = "",
    to: str = "c1@example.com",
    html: str = "",
    reference: str = "Reference",
) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "bank@example.com", to, subject
    message["Message-ID"] = f"<{kind + '.' if kind else ''}0123@bank.example>"
    message.set_content(f"Hello\n\n{reference}:   {case}\n")
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    mailbox = Mailbox(tmp_path / "inbox.sqlite")
    yield mailbox
    mailbox.close()


@pytest.fixture
def client(mailbox: Mailbox) -> Iterator[TestClient]:
    with TestClient(app_for(mailbox, Returns())) as client:
        yield client


def keep(mailbox: Mailbox, *mails: bytes) -> list[int]:
    return [mailbox.add("bank@example.com", ["c1@example.com"], content) for content in mails]


def test_a_mail_comes_back_as_it_came_also_after_a_restart(tmp_path: Path) -> None:
    content = mail("Grüße", html="<p>Hello</p>")
    first = Mailbox(tmp_path / "inbox.sqlite")
    (number,) = keep(first, content)
    first.close()
    again = Mailbox(tmp_path / "inbox.sqlite")
    assert again.source(number) == content
    assert [found.subject for found in again.find()[1]] == ["Grüße"]
    again.close()


def test_the_newest_come_first_and_only_those_after_a_number(mailbox: Mailbox) -> None:
    numbers = keep(mailbox, *(mail(f"mail {n}") for n in range(5)))
    assert [found.subject for found in mailbox.find(limit=2)[1]] == ["mail 4", "mail 3"]
    total, found = mailbox.find(after=numbers[2])
    assert (total, [mail.id for mail in found]) == (2, numbers[:2:-1])


@pytest.mark.parametrize(("search", "found"), [("yours", 1), ("100%", 1), ("_", 0), ("!", 0), ("C1@", 2)])
def test_a_search_takes_every_character_as_itself(mailbox: Mailbox, search: str, found: int) -> None:
    keep(mailbox, mail("Was this yours? TRANSFER"), mail("100% sure"))
    assert mailbox.find(search)[0] == found


def test_notices_without_a_receipt_wait_for_an_answer(mailbox: Mailbox) -> None:
    keep(
        mailbox,
        mail("Was this yours? 1", kind="fraud_notice", case="a-1"),
        mail("Was this yours? 2", kind="fraud_notice", case="a-2"),
        mail("A payment", kind="notice", case="a-3"),
        mail("Anda melaporkan", kind="receipt", case="a-1", reference="Referensi"),
    )
    assert [found.subject for found in mailbox.find(waiting=True)[1]] == ["Was this yours? 2"]


def test_removed_mails_leave_their_numbers_unused(mailbox: Mailbox) -> None:
    (before,) = keep(mailbox, mail("old"))
    mailbox.empty()
    (number,) = keep(mailbox, mail("new"))
    assert number > before
    assert mailbox.source(before) is None


def test_the_page_shows_mails_page_by_page_with_the_search_kept(client: TestClient, mailbox: Mailbox) -> None:
    keep(mailbox, *(mail(f"payment {n}") for n in range(PAGE_MAILS + 1)))
    first = client.get("/", params={"search": "payment"}).text
    assert f"payment {PAGE_MAILS}" in first
    assert "payment 0<" not in first
    assert 'href="/?search=payment&amp;page=2"' in first
    assert "payment 0<" in client.get("/?search=payment&page=2").text


def test_what_a_mail_says_is_shown_and_never_run(client: TestClient, mailbox: Mailbox) -> None:
    (number,) = keep(
        mailbox, mail("<script>alert(1)</script>", html="<script>alert(2)</script><a href='http://x'>x</a>")
    )
    assert "<script>" not in client.get("/").text
    page = client.get(f"/mails/{number}")
    assert "<script>" not in page.text
    assert 'sandbox="allow-popups' in page.text
    body = client.get(f"/mails/{number}/html")
    assert "script-src" not in body.headers["content-security-policy"]
    assert body.headers["content-security-policy"].startswith("sandbox allow-popups")
    assert "default-src 'none'" in body.headers["content-security-policy"]


def test_a_number_without_a_mail_is_told(client: TestClient) -> None:
    for path in ("/mails/7", "/mails/7/html", "/mails/7/text", "/mails/7/source"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["detail"]) == (404, "no mail has the number 7")


def test_the_api_counts_lists_and_removes(client: TestClient, mailbox: Mailbox) -> None:
    keep(mailbox, mail("one", kind="notice"), mail("two", kind="fraud_notice", case="a-1"))
    found = client.get("/api/mails", params={"kind": "fraud_notice"}).json()
    assert (found["total"], [mail["subject"] for mail in found["mails"]]) == (1, ["two"])
    assert client.get("/api/mails", params={"limit": 0}).json() == {"total": 2, "mails": []}
    assert client.delete("/api/mails").status_code == 204
    assert client.get("/api/mails").json() == {"total": 0, "mails": []}


def test_a_returned_mail_is_kept_with_a_mark_and_left_out_where_it_is_asked_for(
    mailbox: Mailbox, client: TestClient
) -> None:
    kept = mailbox.add("bank@example.com", ["c1@example.com"], mail("one", kind="fraud_notice"))
    back = mailbox.add("bank@example.com", ["c2@example.com"], mail("two", kind="fraud_notice"), returned=True)

    def ids(**query: str) -> list[int]:
        return [found["id"] for found in client.get("/api/mails", params=query).json()["mails"]]

    assert (ids(), ids(returned="true"), ids(returned="false")) == ([back, kept], [back], [kept])
    assert client.get("/").text.count("returned: no such mailbox") == 1
    assert "there is no such mailbox" in client.get(f"/mails/{back}").text


def test_mails_to_recipients_without_a_mailbox_are_returned_and_notices_about_them_are_not(client: TestClient) -> None:
    returns = Returns()
    assert not returns.concern("bank@example.com", ["c1@example.com"])
    returns.set(["c1@example.com"], 25)
    assert returns.concern("bank@example.com", ["c2@example.com", "c1@example.com"])
    assert not returns.concern("bank@example.com", ["c2@example.com"])
    assert not returns.concern("", ["c1@example.com"]), "a notice is never returned: that would go on for ever"
    assert client.put("/api/returns", json={"recipients": ["c1@example.com"], "port": 25}).status_code == 204


def test_the_notice_is_a_delivery_status_notification_about_its_recipient() -> None:
    found = read_report(notice("bounces+x@bank.example", "c1@example.com", mail("Did you make this payment?")))
    assert (found.outcome, found.status, found.recipient) == (Outcome.BOUNCED, "5.1.1", "c1@example.com")
    assert "no such mailbox" in found.reason
