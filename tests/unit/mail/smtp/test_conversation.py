"""What one SMTP connection sends, in which order, and how it handles each reply."""

import pytest
from fraudstream.mail.smtp.conversation import Mail, Stage

from tests.unit.mail.smtp.smtp_line import ENVELOPE_A, ENVELOPE_B, GO_ON, OK, A, B, Line, in_loop


class TestOrder:
    @in_loop
    def test_with_pipelining_the_next_envelope_goes_with_the_content(self) -> None:
        line = Line(A, B)
        assert line.wire.written == [b"".join(ENVELOPE_A)]
        assert line.says(OK, OK, GO_ON) == [A.content + b".\r\n" + b"".join(ENVELOPE_B)]
        assert line.told == []
        assert line.says("250 queued as 1", OK, OK, GO_ON) == [B.content + b".\r\n"]
        assert line.told == [("accepted", "a@bank.example", "250 queued as 1")]
        assert line.says("250 queued as 2") == []
        assert line.told == [("accepted", "b@bank.example", "250 queued as 2")]
        assert line.conversation.accepted == 2

    @in_loop
    def test_without_pipelining_each_command_waits_for_the_reply_to_the_one_before(self) -> None:
        line = Line(A, B, pipelining=False)
        assert line.wire.written == ENVELOPE_A[:1]
        assert line.says(OK) == ENVELOPE_A[1:2]
        assert line.says(OK) == ENVELOPE_A[2:]
        assert line.says(GO_ON) == [A.content + b".\r\n"]
        assert line.says("250 queued") == ENVELOPE_B[:1]
        assert line.told == [("accepted", "a@bank.example", "250 queued")]

    @in_loop
    def test_an_idle_conversation_asks_for_a_mail_when_it_is_woken_and_a_busy_one_does_not(self) -> None:
        line = Line()
        assert line.wire.written == []
        line.post.mails.extend([A, B])
        line.conversation.wake()
        line.conversation.wake()
        assert line.wire.written == [b"".join(ENVELOPE_A)]
        assert line.post.waiting == 1

    @in_loop
    def test_replies_may_come_in_pieces_and_have_several_lines(self) -> None:
        line = Line(A)
        line.says(OK, OK, GO_ON)
        for piece in (b"250-first ", b"part\r\n250", b" second part\r", b"\n"):
            line.conversation.data_received(piece)
        assert line.told == [("accepted", "a@bank.example", "250 first part second part")]

    @in_loop
    def test_dots_at_the_beginning_of_a_line_are_doubled(self) -> None:
        line = Line(Mail("a@bank.example", b".one\r\n..two\r\nthree.\r\n"))
        assert line.says(OK, OK, GO_ON) == [b"..one\r\n...two\r\nthree.\r\n.\r\n"]


class TestRefusals:
    @pytest.mark.parametrize("code", [450, 550])
    @pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
    @in_loop
    def test_with_pipelining_the_first_refusal_counts_and_the_transaction_is_left(
        self, stage: Stage, code: int
    ) -> None:
        line = Line(A, B)
        replies = [OK, OK, GO_ON]
        at = [Stage.MAIL, Stage.RCPT, Stage.DATA].index(stage)
        replies[at:] = [f"{code} no", *["503 bad sequence"] * (2 - at)]
        assert line.says(*replies) == [b"RSET\r\n"]
        assert line.told == [("refused", "a@bank.example", stage, code, f"{code} no")]
        assert line.says(OK) == [b"".join(ENVELOPE_B)]
        assert line.says(OK, OK, GO_ON) == [B.content + b".\r\n"]

    @in_loop
    def test_a_server_that_waits_for_the_content_of_a_refused_mail_gets_an_empty_one(self) -> None:
        line = Line(A, B)
        assert line.says(OK, "550 no such user", GO_ON) == [b".\r\nRSET\r\n"]
        assert line.told == [("refused", "a@bank.example", Stage.RCPT, 550, "550 no such user")]
        assert line.says("554 no valid recipients", OK) == [b"".join(ENVELOPE_B)]
        assert line.told == [], "the reply to the empty content is nobody's"

    @pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
    @in_loop
    def test_without_pipelining_nothing_is_sent_of_the_mail_after_its_refusal(self, stage: Stage) -> None:
        line = Line(A, B, pipelining=False)
        for _ in range([Stage.MAIL, Stage.RCPT, Stage.DATA].index(stage)):
            line.says(OK)
        assert line.says("450 later") == [b"RSET\r\n"]
        assert line.told == [("refused", "a@bank.example", stage, 450, "450 later")]
        assert line.says(OK) == ENVELOPE_B[:1]

    @in_loop
    def test_a_refused_content_needs_no_reset(self) -> None:
        line = Line(A, B)
        line.says(OK, OK, GO_ON)
        assert line.says("550 spam") == []
        assert line.told == [("refused", "a@bank.example", Stage.CONTENT, 550, "550 spam")]
        assert line.says(OK, OK, GO_ON) == [B.content + b".\r\n"]

    @in_loop
    def test_a_refusal_after_which_the_connection_is_not_to_be_used_says_goodbye(self) -> None:
        line = Line(A, B, use_on=False)
        line.says("450 too many mails", "503 bad", "503 bad")
        assert line.wire.written == [b"QUIT\r\n"]
        assert line.wire.closing
        assert line.told == [
            ("refused", "a@bank.example", Stage.MAIL, 450, "450 too many mails"),
            ("ended", "the server takes no more mails here: 450 too many mails", True),
        ]
        assert line.post.waiting == 1

    @pytest.mark.parametrize("reply", ["199 wait", "300 more", "354 go on", "399 odd", "600 what"])
    @in_loop
    def test_a_content_that_is_answered_out_of_turn_is_in_doubt_and_ends_the_connection(self, reply: str) -> None:
        line = Line(A)
        line.says(OK, OK, GO_ON)
        line.says(reply)
        no_reply, ended = line.told
        assert no_reply == ("no_reply", "a@bank.example", f"reply out of turn: {reply}", False)
        assert ended[0] == "ended"
        assert line.wire.aborted

    @pytest.mark.parametrize(("reply", "status"), [("200 ok", "accepted"), ("299 ok", "accepted")])
    @in_loop
    def test_every_2xx_accepts_the_content(self, reply: str, status: str) -> None:
        line = Line(A)
        line.says(OK, OK, GO_ON)
        line.says(reply)
        assert line.told == [(status, "a@bank.example", reply)]

    @pytest.mark.parametrize("code", [400, 599])
    @in_loop
    def test_every_4xx_and_5xx_refuses_the_content(self, code: int) -> None:
        line = Line(A)
        line.says(OK, OK, GO_ON)
        line.says(f"{code} no")
        assert line.told == [("refused", "a@bank.example", Stage.CONTENT, code, f"{code} no")]
