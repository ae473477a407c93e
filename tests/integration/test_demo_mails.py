"""The demo reads the same from the stack's inbox and from the file that smtp-sink writes."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from fraudstream.mail.letter.templates import Kind, MailTemplates
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.mail.smtp.server import SmtpServer
from fraudstream.settings import Settings

from local.demo.mails import Inbox, MailFile, Mails
from local.programs.postfix import smtp_sink
from local.stack.ports import Ports
from tests.components.mail_deliveries import deliver
from tests.fakes.mail import sample_facts

pytestmark = pytest.mark.integration

Delivered = Callable[[Kind], str]


@pytest.fixture(params=["inbox", "file"])
def box(request: pytest.FixtureRequest, settings: Settings) -> Iterator[tuple[Mails, Delivered]]:
    """An empty mail store and a function that sends a mail of a kind to it and returns the transaction's id."""
    with ExitStack() as opened:
        if request.param == "inbox":
            ports = Ports.from_environment()
            port = ports["smtp"]
            mails: Mails = opened.enter_context(Inbox(ports.url("inbox")))
        else:
            file = Path(opened.enter_context(TemporaryDirectory())) / "mails"
            port = opened.enter_context(smtp_sink(into=file))
            mails = MailFile(file)
        server = SmtpServer("127.0.0.1", port, security="plain")

        def delivered(kind: Kind) -> str:
            mail, case = _mail(settings, kind)
            deliver(server, [mail])
            return case

        yield mails, delivered


def test_each_mail_is_counted_and_each_fraud_notice_gives_its_two_links_once(box: tuple[Mails, Delivered]) -> None:
    mails, delivered = box
    first = delivered("fraud_notice")
    assert _links(mails, [first]) == [first]
    delivered("notice")
    later = [delivered("fraud_notice"), delivered("fraud_notice")]
    assert _links(mails, later) == later
    delivered("receipt")
    assert not set(_cases(mails)) & {first, *later}
    # The stack's inbox may receive other mails meanwhile.
    assert mails.count() == 5 if isinstance(mails, MailFile) else mails.count() >= 5


def _links(mails: Mails, wanted: list[str]) -> list[str]:
    """The cases among `wanted` that have notices, in the order of arrival."""
    found: list[str] = []
    until = time.monotonic() + 10
    while len(found) < len(wanted) and time.monotonic() < until:
        found += [case for case in _cases(mails) if case in wanted]
    return found


def _cases(mails: Mails) -> Iterator[str]:
    for links in mails.fraud_links():
        assert set(links) == {"fraud", "not-fraud"}
        case = links["fraud"].split("/")[-2]
        assert links["not-fraud"].split("/")[-2] == case
        yield case


def _mail(settings: Settings, kind: Kind) -> tuple[Mail, str]:
    case = uuid4().hex
    facts = sample_facts(case, f"{settings.confirmation_url}/confirm/{case}", "REPORTED_FRAUD")
    content = MailTemplates(settings).render(
        kind, facts, recipient="c1@example.com", identity=f"<{kind}.{case}@bank.example>", sent_at=datetime.now(UTC)
    )
    return Mail("c1@example.com", content), case
