"""The mails of an SMTP connection that ends, at any stage and for any reason."""

import asyncio

import pytest
from fraudstream.mail.smtp.conversation import Conversation, Stage

from tests.unit.mail.smtp.smtp_line import GO_ON, OK, A, B, Line, Told, Wire, in_loop


class TestLoss:
    """Only a mail whose content was sent is in doubt; mails that weren't sent go to another connection."""

    @in_loop
    def test_a_mail_whose_content_was_sent_is_in_doubt_and_the_next_one_is_not(self) -> None:
        line = Line(A, B)
        line.says(OK, OK, GO_ON)
        line.conversation.connection_lost(None)
        assert line.told == [
            ("no_reply", "a@bank.example", "the server closed the connection", False),
            ("given back", "b@bank.example", False),
            ("ended", "the server closed the connection", True),
        ]

    @pytest.mark.parametrize(
        ("pipelining", "replies", "counts"),
        [
            (True, 0, True),  # the connection has accepted no mail yet
            (True, 1, True),
            (True, 2, True),
            (False, 0, True),
            (False, 1, True),
            (False, 2, True),
        ],
    )
    @in_loop
    def test_a_new_connection_that_ends_in_an_envelope_may_end_for_its_mail(
        self, pipelining: bool, replies: int, counts: bool
    ) -> None:
        line = Line(A, pipelining=pipelining)
        for _ in range(replies):
            line.says(OK)
        line.conversation.connection_lost(OSError("reset"))
        assert line.told == [
            ("given back", "a@bank.example", counts),
            ("ended", "connection lost: reset", True),
        ]

    @pytest.mark.parametrize("pipelining", [True, False])
    @pytest.mark.parametrize(("replies", "counts"), [(0, False), (1, True), (2, True)])
    @in_loop
    def test_a_used_connection_that_ends_before_the_sender_is_answered_does_not_end_for_the_mail(
        self, pipelining: bool, replies: int, counts: bool
    ) -> None:
        line = Line(A, B, pipelining=pipelining)
        for _ in range(1 if pipelining else 3):
            line.says(*[OK, OK, GO_ON] if pipelining else [GO_ON if line.conversation.awaits is Stage.DATA else OK])
        line.says("250 queued")
        for _ in range(replies):
            line.says(OK)
        assert line.told == [("accepted", "a@bank.example", "250 queued")]
        line.conversation.connection_lost(None)
        assert line.told[0] == ("given back", "b@bank.example", counts)

    @in_loop
    def test_a_mail_that_was_refused_before_the_loss_is_refused(self) -> None:
        line = Line(A)
        line.says(OK, "550 no such user")
        line.conversation.connection_lost(None)
        assert line.told == [
            ("refused", "a@bank.example", Stage.RCPT, 550, "550 no such user"),
            ("ended", "the server closed the connection", True),
        ]

    @in_loop
    def test_421_ends_the_connection_and_its_mails_go_on_elsewhere(self) -> None:
        line = Line(A, B)
        line.says(OK, OK, GO_ON)
        line.says("250 queued", "421 closing")
        assert line.told == [
            ("accepted", "a@bank.example", "250 queued"),
            ("refused", "b@bank.example", Stage.MAIL, 421, "421 closing"),
            ("ended", "the server ends the conversation: 421 closing", True),
        ]
        assert line.wire.written == [b"QUIT\r\n"]

    @in_loop
    def test_421_to_a_content_is_a_refusal_and_other_mails_want_a_connection(self) -> None:
        line = Line(A)
        line.says(OK, OK, GO_ON)
        assert line.says("421 too many mails") == [b"QUIT\r\n"]
        assert line.told == [
            ("refused", "a@bank.example", Stage.CONTENT, 421, "421 too many mails"),
            ("ended", "the server ends the conversation: 421 too many mails", True),
        ]

    @in_loop
    def test_a_reply_that_nobody_asked_for_ends_the_connection(self) -> None:
        line = Line()
        line.says("421 idle for too long")
        assert line.told == [("ended", "the server ends the conversation: 421 idle for too long", False)]
        assert line.wire.aborted

    @pytest.mark.parametrize("reply", ["hello", "25 ok", "2x0 ok", ""])
    @in_loop
    def test_what_is_no_smtp_reply_ends_the_connection(self, reply: str) -> None:
        line = Line(A)
        line.says(reply)
        assert line.told[-1][1].startswith("the server's reply is not an SMTP reply")
        assert line.wire.aborted

    @pytest.mark.parametrize(("data", "ended"), [(b"2" * 65_536, False), (b"2" * 65_537, True)])
    @in_loop
    def test_a_line_without_end_ends_the_connection(self, data: bytes, ended: bool) -> None:
        line = Line(A)
        line.conversation.data_received(data)
        assert line.wire.aborted is ended

    @in_loop
    def test_a_reply_of_more_than_a_thousand_lines_ends_the_connection(self) -> None:
        line = Line(A)
        line.conversation.data_received(b"250-more\r\n" * 1_000)
        line.conversation.data_received(b"250-more\r\n")
        assert not line.wire.aborted
        line.conversation.data_received(b"250-more\r\n")
        assert line.wire.aborted
        assert line.told[-1] == ("ended", "the server's reply is too long", True)

    @in_loop
    def test_after_the_end_replies_say_nothing_and_nothing_is_sent(self) -> None:
        line = Line(A, B)
        line.conversation.abort("stopped")
        assert [entry[0] for entry in line.told] == ["given back", "ended"]
        line.wire.written.clear()
        line.says(OK, OK, GO_ON)
        line.conversation.wake()
        line.conversation.connection_lost(None)
        assert (line.told, line.wire.written) == ([], [])
        assert line.conversation.closed.done()

    @in_loop
    def test_a_wait_in_vain_is_told(self) -> None:
        line = Line(A)
        line.says(OK, OK, GO_ON)
        line.conversation.abort("no reply for 600 s", waited=True)
        assert line.told[0] == ("no_reply", "a@bank.example", "no reply for 600 s", True)

    @in_loop
    def test_a_connection_that_ended_during_the_login_has_ended(self) -> None:
        wire, post = Wire(), Told(A)
        wire.closing = True
        conversation = Conversation(wire, post, pipelining=True)
        conversation.wake()
        assert post.told == [("ended", "the server closed the connection", False)]
        assert wire.written == []

    @in_loop
    def test_goodbye_is_said_once_and_tells_nobody_of_an_end(self) -> None:
        line = Line()
        line.conversation.quit()
        assert line.wire.written == [b"QUIT\r\n"]
        line.conversation.quit()
        line.conversation.connection_lost(None)
        assert (line.wire.written, line.told) == ([b"QUIT\r\n"], [])


class TestSilence:
    """How long the server owes a reply: since the request, or since its last reply."""

    @in_loop
    async def test_it_is_counted_from_the_first_command_and_anew_from_each_reply(self) -> None:
        line = Line()
        await asyncio.sleep(0.02)
        assert (line.conversation.silent_for(), line.conversation.awaits) == (0, None)
        line.post.mails.append(A)
        line.conversation.wake()
        assert line.conversation.silent_for() < 0.02
        assert line.conversation.awaits is Stage.MAIL
        await asyncio.sleep(0.02)
        assert line.conversation.silent_for() >= 0.015
        line.says(OK)
        assert line.conversation.awaits is Stage.RCPT
