"""A whole delivery over fake connections: when it ends, and what is left."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fraudstream.errors import MailError, SettingsError
from fraudstream.mail.smtp import delivery
from fraudstream.mail.smtp.connections import Pauses
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.mail.smtp.delivery import Delivery
from fraudstream.mail.smtp.server import SmtpServer

SERVER = SmtpServer("mail.example", 25)


class Played:
    """Stands for the connections; `serve` runs each time that they are woken."""

    pausing = False
    is_open = True

    def __init__(self, server: SmtpServer, limit: int, post: Delivery, on_error: Any, pauses: Pauses) -> None:
        self.post, self.on_error = post, on_error
        self.filled: list[int] = []
        self.ended: list[str] = []

    def __bool__(self) -> bool:
        return self.is_open

    def fill(self, waiting: int) -> None:
        self.filled.append(waiting)

    def wake(self) -> None:
        self.serve()

    def serve(self) -> None:
        """Accepts a mail."""
        takes_one(self)

    def reset_failures(self) -> None:
        """Called when a mail was accepted."""

    async def cancel(self) -> None:
        self.ended.append("cancel")

    def abort(self, reason: str) -> None:
        self.ended.append("abort")

    async def quit(self) -> None:
        self.ended.append("quit")


def takes_one(connections: Played) -> None:
    mail = connections.post.take()
    if mail is not None:
        connections.post.accepted(mail, "250 ok")


def takes_nothing(connections: Played) -> None:
    """Never replies."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Delivery]]:
    monkeypatch.setattr(delivery, "Connections", Played)
    monkeypatch.setattr(delivery, "_TICK", 0.001)
    open_ones: list[Delivery] = []

    def make(stop: Callable[[], bool] = lambda: False) -> Delivery:
        pauses = Pauses(0.001, 0.001)
        open_ones.append(Delivery(SERVER, connections=2, attempts=5, stop=stop, pauses=pauses))
        return open_ones[-1]

    yield make
    for one in open_ones:
        one.close()
        assert played(one).ended[-1] == "quit"


def played(one: Delivery) -> Played:
    assert isinstance(one._connections, Played)
    return one._connections


def mails(number: int) -> list[Mail]:
    return [Mail(f"c{n}@bank.example", b"") for n in range(number)]


def test_it_ends_once_each_mail_is_settled_and_keeps_the_connections(made: Callable[..., Delivery]) -> None:
    delivering, batch = made(), mails(3)
    delivering.deliver(batch)
    assert [(mail.status, mail.reply, mail.attempts) for mail in batch] == [("sent", "250 ok", 1)] * 3
    assert all(0 < mail.first_tried_at <= mail.finished_at for mail in batch)
    assert played(delivering).ended == ["cancel"]
    more = mails(2)
    delivering.deliver(more)
    assert {mail.status for mail in more} == {"sent"}


def test_no_more_connections_are_wanted_than_mails_wait(made: Callable[..., Delivery]) -> None:
    delivering = made()
    delivering.deliver(mails(4))
    wanted = played(delivering).filled
    assert wanted == sorted(wanted, reverse=True)
    assert max(wanted) <= 4


def test_nothing_to_deliver_needs_nobody(made: Callable[..., Delivery]) -> None:
    delivering = made()
    delivering.deliver([])
    assert played(delivering).filled == []


def test_a_mail_that_is_in_doubt_is_sent_again_after_its_pause(
    made: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses_the_first(connections: Played) -> None:
        mail = connections.post.take()
        if mail is not None and not mail.unanswered:
            connections.post.no_reply(mail, "the connection was lost")
        elif mail is not None:
            connections.post.accepted(mail, "250 ok")

    monkeypatch.setattr(Played, "serve", loses_the_first)
    delivering, batch = made(), mails(2)
    delivering.deliver(batch)
    assert [(mail.status, mail.attempts, mail.unanswered) for mail in batch] == [("sent", 2, 1)] * 2


def test_an_error_that_no_retry_helps_against_ends_it_at_once(
    made: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(connections: Played) -> None:
        connections.on_error(SettingsError("no such user"))
        connections.on_error(SettingsError("a later one"))

    monkeypatch.setattr(Played, "serve", refuses)
    delivering, batch = made(), mails(2)
    with pytest.raises(SettingsError, match="no such user"):
        delivering.deliver(batch)
    assert {mail.status for mail in batch} == {""}
    assert played(delivering).ended == ["cancel", "abort"]
    monkeypatch.setattr(Played, "serve", takes_one)
    again = mails(1)
    delivering.deliver(again)
    assert [mail.status for mail in again] == ["sent"]
    assert {mail.status for mail in batch} == {""}, "what was given up is not sent by the next delivery"


def test_the_pause_of_a_mail_in_doubt_is_kept(made: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: clock.now, time=lambda: 1.0))
    monkeypatch.setattr(Pauses, "after", lambda self, failures: 10.0)
    tries: list[float] = []

    def loses_the_first(connections: Played) -> None:
        clock.now += 1
        mail = connections.post.take()
        if mail is not None:
            tries.append(clock.now)
            if len(tries) == 1:
                connections.post.no_reply(mail, "the connection was lost")
            else:
                connections.post.accepted(mail, "250 ok")

    monkeypatch.setattr(Played, "serve", loses_the_first)
    made().deliver(mails(1))
    first, second = tries
    assert 10 <= second - first <= 12


class TestStop:
    """After a stop request the delivery continues while the server accepts mails, for two seconds at most."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        made = SimpleNamespace(now=100.0)
        monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: made.now, time=lambda: 1.0))
        return made

    def test_what_is_on_its_way_is_finished(self, made: Callable[..., Delivery], clock: SimpleNamespace) -> None:
        batch = mails(3)
        made(stop=lambda: True).deliver(batch)
        assert {mail.status for mail in batch} == {"sent"}

    def test_a_server_that_is_silent_is_left_after_the_grace(
        self, made: Callable[..., Delivery], clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[float] = []

        def silent(connections: Played) -> None:
            seen.append(clock.now)
            clock.now += 0.3

        monkeypatch.setattr(Played, "serve", silent)
        with pytest.raises(MailError, match=r"mail.example:25 took all mails: 2 of 2 have no answer yet"):
            made(stop=lambda: True).deliver(mails(2))
        assert 2.0 <= seen[-1] - seen[0] < 2.6

    def test_the_grace_is_one_for_all_deliveries(
        self, made: Callable[..., Delivery], clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        delivering = made(stop=lambda: True)
        delivering.deliver(mails(3))
        clock.now += 2.0
        with pytest.raises(MailError, match="2 of 3 have no answer"):
            delivering.deliver(mails(3))

    @pytest.mark.parametrize(("name", "value"), [("pausing", True), ("is_open", False)])
    def test_a_server_that_takes_nothing_now_is_left_at_once(
        self,
        made: Callable[..., Delivery],
        clock: SimpleNamespace,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        value: bool,
    ) -> None:
        monkeypatch.setattr(Played, name, value)
        monkeypatch.setattr(Played, "serve", takes_nothing)
        with pytest.raises(MailError, match="stopped"):
            made(stop=lambda: True).deliver(mails(1))
        assert clock.now == 100.0

    def test_it_is_not_left_before_it_is_asked_to(
        self, made: Callable[..., Delivery], clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = iter(range(10**9))

        def late(connections: Played) -> None:
            clock.now += 10
            if next(looks) > 5:
                takes_one(connections)

        monkeypatch.setattr(Played, "serve", late)
        batch = mails(1)
        made().deliver(batch)
        assert batch[0].status == "sent"
