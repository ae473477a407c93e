"""The behaviour of mail servers as a table: every mail is sent or visibly not sent, and others aren't slowed down."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from fraudstream.errors import MailError, SettingsError
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.mail.smtp.server import SmtpServer
from pydantic import SecretStr

from tests.components.mail_deliveries import a_mail, accepted, deliver, mails, once_each, times
from tests.fakes.smtp import FakeSmtpServer, Fault, Script, Stage

pytestmark = pytest.mark.integration

#: In these tests 0.8 seconds stand for ten minutes.
_TEN_MINUTES = 0.8


def everyone(stage: Stage, reply: Fault | str, *, until: float = float("inf")) -> Script:
    """Each mail gets this reply at a stage, until this many seconds after the first one."""
    began: list[float] = []

    def script(at: Stage, recipient: str) -> Fault | str | None:
        if at != stage:
            return None
        began.append(time.monotonic())
        return reply if time.monotonic() - began[0] < until else None

    return script


def greylisting(reply: str, recipients: Callable[[str], bool] = lambda recipient: True) -> Script:
    """Each recipient is refused until ten minutes after its first try."""
    first: dict[str, float] = {}

    def script(at: Stage, recipient: str) -> str | None:
        if at != "RCPT" or not recipients(recipient):
            return None
        now = time.monotonic()
        return reply if now - first.setdefault(recipient, now) < _TEN_MINUTES else None

    return script


def throttle(per_second: float, reply: str) -> Script:
    """A token bucket of this many mails per second; above it mails get `reply`."""
    tokens, at = [per_second], [time.monotonic()]

    def script(stage: Stage, recipient: str) -> str | None:
        if stage != "RCPT":
            return None
        now = time.monotonic()
        tokens[0] = min(per_second, tokens[0] + (now - at[0]) * per_second)
        at[0] = now
        if tokens[0] < 1:
            return reply
        tokens[0] -= 1
        return None

    return script


def quota(count: int, reply: str, *, seconds: float) -> Script:
    """After this many mails all mails are refused for some seconds, then none."""
    taken, since = [0], [0.0]

    def script(stage: Stage, recipient: str) -> str | None:
        if stage != "RCPT":
            return None
        taken[0] += 1
        if taken[0] <= count:
            return None
        since[0] = since[0] or time.monotonic()
        return reply if time.monotonic() - since[0] < seconds else None

    return script


@dataclass(frozen=True)
class Behaviour:
    """A server's behaviour and the expected result: at least this share of the mails is sent, the rest is deferred."""

    script: Callable[[], Script] = lambda: everyone("MAIL", "", until=0)
    session_limit: tuple[int, Fault | str] | None = None
    sent: float = 1.0


PASSING = {
    "limit of mails a session, 421": Behaviour(session_limit=(10, "421 4.7.0 too many messages in this connection")),
    "limit of mails a session, 451 at MAIL": Behaviour(session_limit=(10, "451 4.7.1 session limit")),
    "limit of mails a session, 452 at MAIL": Behaviour(session_limit=(1, "452 4.5.3 too many messages")),
    "limit of mails a session, connection closed": Behaviour(session_limit=(10, Fault.DROP)),
    "4xx at connect": Behaviour(lambda: everyone("connect", "421 4.3.2 busy", until=0.4)),
    "450 at connect": Behaviour(lambda: everyone("connect", "450 busy", until=0.4)),
    "4xx at EHLO": Behaviour(lambda: everyone("EHLO", "451 4.3.0 busy", until=0.4)),
    "4xx at AUTH": Behaviour(lambda: everyone("AUTH", "454 4.7.0 temporary authentication failure", until=0.4)),
    "4xx at MAIL": Behaviour(lambda: everyone("MAIL", "451 4.3.0 busy", until=0.4)),
    "queue full": Behaviour(lambda: everyone("RCPT", "452 4.3.1 insufficient system storage", until=0.4), sent=0.9),
    "quota exceeded after 100 mails": Behaviour(lambda: quota(100, "452 4.5.3 quota exceeded", seconds=0.4), sent=0.95),
    "421 to each mail": Behaviour(lambda: everyone("RCPT", "421 4.7.0 try again later", until=0.4)),
    "450 to each mail after its content": Behaviour(
        lambda: everyone("content", "450 4.3.0 try again later", until=0.4), sent=0.9
    ),
    "no answer": Behaviour(lambda: times(1, "connect", Fault.STALL)),
    "greylisting, and no word of it": Behaviour(lambda: greylisting("451 4.7.1 Try again later"), sent=0.0),
    "throttling, 450 4.2.1": Behaviour(lambda: throttle(200, "450 4.2.1 receiving mail too quickly"), sent=0.8),
    "throttling, 421 4.7.0": Behaviour(lambda: throttle(200, "421 4.7.0 rate limit exceeded")),
    "throttling, 451 4.7.0": Behaviour(lambda: throttle(200, "451 4.7.0 rate limit exceeded"), sent=0.8),
    "connection closed in DATA": Behaviour(lambda: everyone("content", Fault.DROP, until=0.2)),
}


@pytest.mark.parametrize("behaviour", PASSING.values(), ids=PASSING.keys())
def test_what_passes_loses_no_mail_and_fails_none(behaviour: Behaviour) -> None:
    letters = mails(500)
    login = ("user", "secret")
    with FakeSmtpServer(behaviour.script(), session_limit=behaviour.session_limit, login=login) as server:
        deliver(server_of(server), letters, connections=8, attempts=8)
    sent = [mail for mail in letters if mail.status == "sent"]
    assert {mail.status for mail in letters} <= {"sent", "deferred"}
    assert accepted(server) == once_each(sent)
    assert len(sent) >= behaviour.sent * 500
    # Only a mail whose connection is lost after its content uses up a try.
    assert {mail.attempts - mail.unanswered for mail in letters} == {1}


def server_of(server: FakeSmtpServer) -> SmtpServer:
    return SmtpServer(
        "127.0.0.1", server.port, username="user", password=SecretStr("secret"), security="plain", timeout=0.5
    )


@pytest.mark.parametrize(
    "reply", ["450 4.2.0 Greylisted, see http://postgrey.example", "451 4.7.1 Greylisting in action, come back in 5:00"]
)
def test_greylisting_defers_everyone_at_once_and_the_next_try_is_taken(reply: str) -> None:
    letters = mails(500)
    with FakeSmtpServer(greylisting(reply)) as server:
        began = time.monotonic()
        deliver(server, letters, connections=8)
        assert time.monotonic() - began < _TEN_MINUTES
        assert {(mail.status, mail.attempts, mail.reply) for mail in letters} == {("deferred", 1, reply)}
        time.sleep(_TEN_MINUTES)
        again = mails(500)
        deliver(server, again, connections=8)
    assert {mail.status for mail in again} == {"sent"}
    assert accepted(server) == once_each(again)


ACCOUNT: dict[str, tuple[Stage, str]] = {
    "relay refused": ("RCPT", "554 5.7.1 Relay access denied"),
    "relay refused, other words": ("RCPT", "550 5.7.1 Client does not have permissions to send as this sender"),
    "login needed": ("MAIL", "530 5.7.0 Authentication required"),
    "login needed, at RCPT": ("RCPT", "530 5.7.1 Authentication required"),
    "wrong password": ("AUTH", "535 5.7.8 Username and Password not accepted"),
    "login wants encryption": ("AUTH", "538 5.7.11 Encryption required"),
    "sender refused": ("MAIL", "550 5.7.1 Sender not allowed"),
    "client refused": ("connect", "554 5.7.1 no service for your address"),
    "client refused at EHLO": ("EHLO", "550 5.7.1 no such name"),
}


@pytest.mark.parametrize(("stage", "reply"), ACCOUNT.values(), ids=ACCOUNT.keys())
def test_what_is_wrong_with_the_account_stops_and_says_so_and_fails_no_mail(stage: Stage, reply: str) -> None:
    letters = mails(100)
    with (
        FakeSmtpServer(everyone(stage, reply), login=("user", "secret")) as server,
        pytest.raises(SettingsError, match=rf"127.0.0.1:{server.port}.*{reply[:3]}.*(FRAUDSTREAM_|connection)"),
    ):
        deliver(server_of(server), letters)
    assert {mail.status for mail in letters} == {""}
    assert server.accepted == []


def test_users_that_are_unknown_are_failed_one_by_one_however_many_they_are() -> None:
    letters = mails(100)
    with FakeSmtpServer(everyone("RCPT", "550 5.1.1 User unknown in relay recipient table")) as server:
        deliver(server, letters)
    assert {mail.status for mail in letters} == {"failed"}


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        ("connect", Fault.STALL),
        ("MAIL", "421 4.7.0 try again later"),
        ("MAIL", Fault.DROP),
        ("RCPT", Fault.STALL),
        ("RCPT", "451 4.3.0 busy"),
    ],
)
def test_a_server_that_takes_nothing_is_given_up_when_told_to_stop_and_no_mail_is_settled(
    stage: Stage, fault: Fault | str
) -> None:
    letters = mails(100)
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    began = time.monotonic()
    with FakeSmtpServer(everyone(stage, fault)) as server, pytest.raises(MailError, match="100 of 100"):
        deliver(server, letters, timeout=0.3, stop=stop.is_set)
    timer.join()
    assert {mail.status for mail in letters} == {""}
    assert time.monotonic() - began < 4.0


def rate(script: Script | None, letters: Sequence[Mail], **options: object) -> float:
    """Mails per second with a server that needs ten milliseconds for each mail, as fast servers over a network do."""
    script = script or (lambda stage, recipient: None)
    with FakeSmtpServer(script, seconds_per_mail=0.01, **options) as server:  # type: ignore[arg-type]
        began = time.perf_counter()
        deliver(server, list(letters), connections=8)
        seconds = time.perf_counter() - began
        return len(server.accepted) / seconds


@pytest.fixture(scope="module")
def undisturbed() -> float:
    return rate(None, mails(500))


class TestOthersGoOnAsFast:
    """The rate is at least half of that with a server that accepts all mails."""

    @pytest.mark.parametrize("reply", ["450 4.2.0 greylisted", "452 4.2.2 mailbox full", "550 5.1.1 unknown"])
    def test_one_mailbox_among_500_is_deferred_or_failed_alone(self, undisturbed: float, reply: str) -> None:
        letters = mails(500)
        marked = {"c3@example.com"}

        def script(at: Stage, recipient: str) -> str | None:
            return reply if at == "RCPT" and recipient in marked else None

        assert rate(script, letters) >= 0.5 * undisturbed
        assert Counter(mail.status for mail in letters)["sent"] == 499
        assert {mail.recipient for mail in letters if mail.status != "sent"} == marked

    @pytest.mark.parametrize("limit", [(10, "421 4.7.0 too many"), (10, "451 too many"), (10, Fault.DROP)])
    def test_a_limit_of_mails_a_session(self, undisturbed: float, limit: tuple[int, Fault | str]) -> None:
        assert rate(None, mails(500), session_limit=limit) >= 0.5 * undisturbed

    @pytest.mark.parametrize("reply", ["450 4.2.1 too quickly", "451 4.7.0 slow down", "421 4.7.0 slow down"])
    def test_a_throttle_is_used_by_half_at_least(self, reply: str) -> None:
        letters = mails(500)
        assert rate(throttle(200, reply), letters) >= 0.5 * 200
        assert Counter(mail.status for mail in letters)["sent"] >= 400


def test_no_more_mails_a_second_than_the_setting_says() -> None:
    began = time.monotonic()
    with FakeSmtpServer() as server:
        deliver(server, mails(100), per_second=50)
    assert 1.5 < time.monotonic() - began < 4.0
    assert len(server.accepted) == 100


def test_a_mail_is_the_same_in_each_try() -> None:
    letter = a_mail(1)
    with FakeSmtpServer(times(1, "content", Fault.KEEP_AND_DROP)) as server:
        deliver(server, [letter])
    assert [mail.content for mail in server.accepted] == [letter.content] * 2


@pytest.mark.parametrize("reply", ["452 4.2.2 mailbox full", "550 5.2.1 mailbox disabled", "554 5.7.1 relay denied"])
def test_mails_that_were_deferred_before_are_deferred_again_even_if_all_of_them_are_refused(reply: str) -> None:
    """Mails to full mailboxes may come together: the others must neither wait for them nor be stopped for ever."""
    letters = mails(60)
    began = time.monotonic()
    with FakeSmtpServer(everyone("RCPT", reply)) as server:
        deliver(server, letters, patient=False)
    assert {(mail.status, mail.reply) for mail in letters} == {("deferred", reply)}
    assert time.monotonic() - began < 4.0


@pytest.mark.parametrize("fault", [Fault.DROP, "421 closing"])
def test_a_mail_that_ends_connections_does_not_hold_up_the_verdict_about_another(fault: Fault | str) -> None:
    letters = mails(3)

    def script(at: Stage, recipient: str) -> Fault | str | None:
        if at == "content" and recipient == "c1@example.com":
            return fault
        return "450 full" if at == "RCPT" and recipient == "c2@example.com" else None

    with FakeSmtpServer(script) as server:
        deliver(server, letters, connections=3, attempts=2)
    assert [mail.status for mail in letters][::2] == ["sent", "deferred"]
    assert letters[1].status in ("failed", "deferred")
