"""The result of each mail by the server's replies, without a connection and with a clock of the test."""

import random
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from fraudstream.errors import SettingsError
from fraudstream.mail.smtp import connections, delivery
from fraudstream.mail.smtp.connections import Connections, Pauses
from fraudstream.mail.smtp.conversation import Conversation, Mail, Stage
from fraudstream.mail.smtp.delivery import Delivery
from fraudstream.mail.smtp.server import SmtpServer

SERVER = SmtpServer("127.0.0.1", 25)
TRIES = 7


class NoConnections:
    """Stands for the connections; the test replies instead of the server."""

    pausing = False

    def __init__(self, *_: object) -> None:
        self.useful_calls = 0
        self.pauses: list[str] = []

    def reset_failures(self) -> None:
        self.useful_calls += 1

    def pause(self, reason: str, waiting: int) -> None:
        self.pauses.append(reason)

    async def quit(self) -> None:
        pass


class Desk:
    """A delivery with some mails."""

    def __init__(self, *, patient: bool = True, mails: int = 1) -> None:
        self.delivery = Delivery(SERVER, connections=1, attempts=TRIES, stop=lambda: False, patient=patient)
        self.mails = [Mail(f"c{number}@bank.example", b"") for number in range(mails)]
        self.delivery._unsettled = mails
        self.delivery._ready.extend(self.mails)

    def take(self) -> Mail:
        mail = self.delivery.take()
        assert mail is not None
        return mail

    def again(self) -> Mail:
        """The mail that waits for its pause, after the pause."""
        self.delivery._ready.append(self.delivery._later.pop()[2])
        return self.take()

    def refuse(self, mail: Mail, stage: Stage, code: int, text: str = "no", *, accepted: int = 1) -> bool:
        conversation = SimpleNamespace(accepted=accepted)
        return self.delivery.refused(conversation, mail, stage, code, f"{code} {text}")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "Connections", NoConnections)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.delivery.close()


def test_no_mail_is_handed_out_during_a_pause_or_after_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(NoConnections, "pausing", True)
        assert desk.delivery.take() is None
    desk.delivery._fail(SettingsError("no such user"))
    assert desk.delivery.take() is None
    desk.delivery._error = None
    assert desk.delivery.take() is desk.mails[0]
    assert desk.delivery.take() is None
    assert desk.mails[0].attempts == 1


def test_a_mail_without_an_answer_is_sent_as_often_as_the_setting_says_and_then_failed(desk: Desk) -> None:
    mail, statuses = desk.take(), []
    for _ in range(TRIES):
        desk.delivery.no_reply(mail, "the connection was lost")
        statuses.append(mail.status)
        if mail.status == "deferred":  # its reader brings it back later
            mail.status = ""
            desk.delivery._ready.append(mail)
            desk.take()
        elif not mail.status:
            desk.again()
    assert statuses == ["", "", "deferred", "", "", "deferred", "failed"]
    assert mail.attempts == TRIES
    assert mail.reply == "no reply after the mail was sent: the connection was lost"


def test_a_mail_whose_reply_was_waited_for_in_vain_is_deferred_at_once(desk: Desk) -> None:
    mail = desk.take()
    desk.delivery.no_reply(mail, "no reply for 600 s", waited=True)
    assert (mail.status, mail.unanswered) == ("deferred", 1)


def test_each_try_counts_and_one_that_the_session_took_away_does_not(desk: Desk) -> None:
    mail = desk.take()
    assert mail.attempts == 1
    assert not desk.refuse(mail, Stage.MAIL, 451)
    assert mail.attempts == 0
    assert desk.take() is mail
    assert (mail.attempts, mail.status) == (1, "")


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.CONTENT])
@pytest.mark.parametrize("code", [500, 550])
@pytest.mark.parametrize("text", ["5.1.1 unknown mailbox", "5.7.1 spam"])
def test_a_mail_that_is_refused_for_good_among_others_is_failed_at_its_first_try(
    stage: Stage, code: int, text: str
) -> None:
    desk = Desk(mails=3)
    taken, refused, last = desk.take(), desk.take(), desk.take()
    desk.delivery.accepted(taken, "250 ok")
    desk.refuse(refused, stage, code, text)
    desk.delivery.accepted(last, "250 ok")
    assert (refused.status, refused.reply, refused.attempts) == ("failed", f"{code} {text}", 1)
    assert not desk.delivery._ready
    assert not desk.delivery._later


def test_a_mail_that_is_refused_for_now_among_others_is_deferred() -> None:
    desk = Desk(mails=3)
    taken, refused, last = desk.take(), desk.take(), desk.take()
    desk.delivery.accepted(taken, "250 ok")
    desk.refuse(refused, Stage.RCPT, 450, "mailbox busy")
    desk.delivery.accepted(last, "250 ok")
    assert (refused.status, refused.reply) == ("deferred", "450 mailbox busy")


def test_a_greylisted_mail_is_deferred_at_once(desk: Desk) -> None:
    mail = desk.take()
    desk.refuse(mail, Stage.RCPT, 451, "greylisted, try later")
    assert mail.status == "deferred"


@pytest.mark.parametrize("code", [530, 535])
def test_a_login_that_is_refused_ends_the_delivery(desk: Desk, code: int) -> None:
    mail = desk.take()
    assert not desk.refuse(mail, Stage.MAIL, code)
    assert isinstance(desk.delivery._error, SettingsError)
    assert mail.status == ""


def test_a_sender_that_is_refused_for_good_is_a_matter_of_the_account_on_a_new_connection_only(desk: Desk) -> None:
    mail = desk.take()
    assert not desk.refuse(mail, Stage.MAIL, 550, accepted=7)  # the session may have reached its limit of mails
    assert desk.delivery._error is None
    assert desk.take() is mail
    assert not desk.refuse(mail, Stage.MAIL, 550, accepted=0)
    assert isinstance(desk.delivery._error, SettingsError)


def test_a_server_that_refuses_everyone_alike_refuses_the_account_and_fails_nobody() -> None:
    desk = Desk(mails=3)
    for mail in [desk.take() for _ in range(3)]:
        desk.refuse(mail, Stage.RCPT, 554, "relay access denied")
    assert isinstance(desk.delivery._error, SettingsError)
    assert [mail.status for mail in desk.mails] == [""] * 3


RELAY, ALL_ALIKE = "554 Relay access denied", "550 not accepted"


@pytest.mark.parametrize(
    "refusals",
    [
        [RELAY] * 19 + ["450 Domain not found"],
        [RELAY] * 5 + ["450 Domain not found"] * 15,
        [RELAY] * 19 + ["550 no such mailbox"],
        [RELAY] * 10 + ["550 relaying denied"] * 10,
        [ALL_ALIKE] * 19 + ["450 Domain not found"],
        [ALL_ALIKE] * 19 + ["552 mailbox full"],
    ],
)
def test_a_few_mails_that_are_refused_otherwise_do_not_fail_those_that_the_account_is_refused_for(
    refusals: list[str],
) -> None:
    desk = Desk(mails=20)
    for reply, mail in zip(refusals, [desk.take() for _ in desk.mails], strict=True):
        desk.refuse(mail, Stage.RCPT, int(reply[:3]), reply[4:])
    assert isinstance(desk.delivery._error, SettingsError)
    assert {mail.status for mail in desk.mails} == {""}


def test_many_mails_that_are_refused_otherwise_say_that_each_reply_is_about_its_mailbox() -> None:
    desk = Desk(mails=20)
    for number, mail in enumerate([desk.take() for _ in desk.mails]):
        desk.refuse(mail, Stage.RCPT, 550 if number % 4 else 552)
    assert desk.delivery._error is None
    assert {mail.status for mail in desk.mails} == {"failed"}


def test_a_server_that_refuses_everyone_for_now_is_waited_for_and_no_try_counts() -> None:
    desk = Desk(mails=12)
    for mail in [desk.take() for _ in desk.mails]:
        desk.refuse(mail, Stage.RCPT, 452, "too busy")
    assert [(mail.status, mail.attempts) for mail in desk.mails] == [("", 0)] * 12
    assert len(desk.delivery._ready) == 12
    (reason,) = desk.delivery._connections.pauses  # type: ignore[attr-defined]
    assert "452 too busy" in reason


def test_a_server_that_refuses_everyone_for_now_is_not_waited_for_by_who_has_no_patience() -> None:
    desk = Desk(patient=False, mails=12)
    for mail in [desk.take() for _ in desk.mails]:
        desk.refuse(mail, Stage.RCPT, 452, "too busy")
    assert {mail.status for mail in desk.mails} == {"deferred"}


def test_a_mail_that_always_ends_the_connection_is_deferred_once_the_server_took_others() -> None:
    desk = Desk(mails=2)
    desk.delivery.accepted(desk.take(), "250 ok")
    mail = desk.take()
    for _ in range(9):
        desk.delivery.not_sent(mail, counts=True)
        assert desk.take() is mail
        assert mail.status == ""
    desk.delivery.not_sent(mail, counts=True)
    assert (mail.status, mail.attempts) == ("deferred", 1)


def test_a_mail_that_always_ends_the_connection_makes_way_for_others_before_the_server_took_any() -> None:
    desk = Desk(mails=2)
    first, second = desk.mails
    for _ in range(delivery._LOST_HERE):
        assert desk.take() is first
        desk.delivery.not_sent(first, counts=True)
    assert desk.take() is second
    desk.delivery.accepted(second, "250 ok")
    assert desk.take() is first
    desk.delivery.not_sent(first, counts=True)
    assert (first.status, second.status) == ("deferred", "sent")


def test_a_mail_that_the_server_took_ends_the_row_of_failures(desk: Desk) -> None:
    desk.delivery.accepted(desk.take(), "250 ok")
    assert desk.delivery._connections.useful_calls == 1  # type: ignore[attr-defined]


class TestPauses:
    """Pauses between connections grow with each consecutive failure, and are reset when a mail is accepted."""

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        clock = SimpleNamespace(seconds=0.0)
        monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
        monkeypatch.setattr(random, "uniform", lambda least, most: most)
        return clock

    def lengths(self, open_ones: Connections, now: SimpleNamespace, failures: int) -> list[float]:
        found = []
        for _ in range(failures):
            open_ones.pause("refused", 1)
            found.append(open_ones._resume_at - now.seconds)
            now.seconds = open_ones._resume_at
            assert not open_ones.pausing
        return found

    def test_they_double_up_to_the_longest_and_a_mail_that_is_taken_resets_them(self, now: SimpleNamespace) -> None:
        open_ones = Connections(SERVER, 1, SimpleNamespace(), lambda error: None, Pauses(1.0, 10.0))  # type: ignore[arg-type]
        assert self.lengths(open_ones, now, 6) == [1, 2, 4, 8, 10, 10]
        open_ones.reset_failures()
        assert self.lengths(open_ones, now, 2) == [1, 2]

    def test_what_ends_several_connections_at_once_is_one_failure(self, now: SimpleNamespace) -> None:
        open_ones = Connections(SERVER, 1, SimpleNamespace(), lambda error: None, Pauses(1.0, 10.0))  # type: ignore[arg-type]
        ended = Conversation.__new__(Conversation)
        ended.accepted = 0
        for _ in range(3):
            open_ones.ended(ended, "the server went away", waiting=5)
        assert open_ones._resume_at == 1.0

    def test_they_are_random_between_nothing_and_their_length(self) -> None:
        drawn = [Pauses(1.0, 60.0).after(3) for _ in range(500)]
        assert 0 <= min(drawn) < 1
        assert 3 < max(drawn) <= 4
