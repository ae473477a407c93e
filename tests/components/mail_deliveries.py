"""Mails, deliveries and their results, for tests with a real SMTP server."""

from collections import Counter
from collections.abc import Callable

from fraudstream.mail.smtp.connections import Pauses
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.mail.smtp.delivery import Delivery
from fraudstream.mail.smtp.server import SmtpServer

from tests.fakes.smtp import FakeSmtpServer, Fault, Script, Stage

SENDER = "no-reply@bank.example"
QUICK = Pauses(first=0.02, longest=0.1)


def a_mail(number: int) -> Mail:
    content = (
        f"From: {SENDER}\r\nTo: c{number}@example.com\r\nMessage-ID: <{number}@bank.example>\r\n\r\n"
        f".starts with a dot\r\n..two\r\nmail {number}\r\n"
    )
    return Mail(f"c{number}@example.com", content.encode(), SENDER)


def mails(count: int) -> list[Mail]:
    return [a_mail(number) for number in range(count)]


def deliver(
    server: FakeSmtpServer | SmtpServer,
    letters: list[Mail],
    *,
    connections: int = 4,
    attempts: int = 4,
    timeout: float = 10.0,
    stop: Callable[[], bool] = lambda: False,
    per_second: float = float("inf"),
    patient: bool = True,
) -> None:
    """Delivers mails with short pauses, and closes the connections."""
    if isinstance(server, FakeSmtpServer):
        server = SmtpServer("127.0.0.1", server.port, security="plain", timeout=timeout, content_timeout=timeout)
    delivery = Delivery(
        server,
        connections=connections,
        attempts=attempts,
        stop=stop,
        per_second=per_second,
        patient=patient,
        pauses=QUICK,
    )
    try:
        delivery.deliver(letters)
    finally:
        delivery.close()


def times(number: int, stage: Stage, outcome: Fault | str) -> Script:
    """A script: `outcome` replaces success the first `number` times that a recipient's mail reaches the stage."""
    seen: Counter[str] = Counter()

    def script(at: Stage, recipient: str) -> Fault | str | None:
        if at != stage:
            return None
        seen[recipient] += 1
        return outcome if seen[recipient] <= number else None

    return script


def accepted(server: FakeSmtpServer) -> Counter[str]:
    return Counter(mail.recipient for mail in server.accepted)


def once_each(letters: list[Mail]) -> Counter[str]:
    return Counter(mail.recipient for mail in letters)
