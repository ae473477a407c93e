"""Mails over real sockets: to a misbehaving server, and to the stack's inbox."""

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string
from email.policy import default
from uuid import uuid4

import httpx
import pytest
from bs4 import BeautifulSoup
from fraudstream.errors import MailError
from fraudstream.mail.letter.templates import MailTemplates, message_id
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.mail.smtp.delivery import Delivery
from fraudstream.mail.smtp.server import SmtpServer, server_from_connection
from fraudstream.settings import Settings

from local.stack.ports import Ports
from tests.components.mail_deliveries import QUICK, a_mail, accepted, deliver, mails, once_each, times
from tests.fakes.mail import sample_facts
from tests.fakes.smtp import FakeSmtpServer, Fault, Stage

pytestmark = pytest.mark.integration


class TestDelivery:
    @pytest.fixture(params=[True, False], ids=["pipelining", "lockstep"])
    def pipelining(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param)

    def test_every_mail_arrives_once_and_byte_for_byte(self, pipelining: bool) -> None:
        letters = mails(200)
        with FakeSmtpServer(pipelining=pipelining) as server:
            deliver(server, letters)
            arrived = {mail.recipient: mail.content for mail in server.accepted}
            assert server.connections == 4
        assert arrived == {mail.recipient: mail.content for mail in letters}
        assert accepted(server) == once_each(letters)
        for mail in letters:
            assert (mail.status, mail.reply, mail.attempts) == ("sent", "250 queued", 1)
            assert 0 < mail.first_tried_at <= mail.finished_at

    @pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "content"])
    @pytest.mark.parametrize("reply", ["421 closing", "450 busy", "451 try later", "452 full"])
    def test_a_server_that_answers_4xx_to_everyone_is_waited_for_and_costs_no_try(
        self, pipelining: bool, stage: Stage, reply: str
    ) -> None:
        letters = mails(10)
        with FakeSmtpServer(times(2, stage, reply), pipelining=pipelining) as server:
            deliver(server, letters, connections=2)
        assert accepted(server) == once_each(letters)
        assert {(mail.status, mail.attempts) for mail in letters} == {("sent", 1)}

    @pytest.mark.parametrize("stage", ["RCPT", "DATA", "content"])
    @pytest.mark.parametrize("reply", ["421 closing", "452 full"])
    def test_a_mail_always_answered_4xx_is_deferred_with_the_reply_and_holds_up_no_other(
        self, pipelining: bool, stage: Stage, reply: str
    ) -> None:
        letters = mails(20)

        def script(at: Stage, recipient: str) -> str | None:
            return reply if at == stage and recipient == "c3@example.com" else None

        with FakeSmtpServer(script, pipelining=pipelining) as server:
            deliver(server, letters)
        assert (letters[3].status, letters[3].reply, letters[3].attempts) == ("deferred", reply, 1)
        others = letters[:3] + letters[4:]
        assert accepted(server) == once_each(others)
        assert {(mail.status, mail.attempts) for mail in others} == {("sent", 1)}

    @pytest.mark.parametrize("stage", ["RCPT", "DATA", "content"])
    def test_a_mail_answered_5xx_fails_at_once_with_the_reply(self, pipelining: bool, stage: Stage) -> None:
        letters = mails(20)
        refused = {"c3@example.com", "c4@example.com", "c17@example.com"}

        def script(at: Stage, recipient: str) -> str | None:
            return "550 no such user" if at == stage and recipient in refused else None

        with FakeSmtpServer(script, pipelining=pipelining) as server:
            deliver(server, letters)
        failed = [mail for mail in letters if mail.status == "failed"]
        assert {mail.recipient for mail in failed} == refused
        assert {(mail.reply, mail.attempts) for mail in failed} == {("550 no such user", 1)}
        assert accepted(server) == once_each([mail for mail in letters if mail.status == "sent"])
        assert len(server.accepted) == 17

    def test_a_server_that_wants_the_content_of_a_refused_mail_gets_none(self) -> None:
        letters = mails(10)
        with FakeSmtpServer(times(1, "RCPT", "550 5.1.1 no such user"), lenient=True) as server:
            deliver(server, letters, connections=1)
        assert {(mail.status, mail.reply) for mail in letters} == {("failed", "550 5.1.1 no such user")}
        assert server.accepted == []
        # The last mail is settled before the server has read its end.
        assert server.for_nobody[:9] == [b".\r\n"] * 9

    def test_a_reply_of_several_lines_is_kept_up_to_500_characters(self) -> None:
        letter = a_mail(1)
        with FakeSmtpServer(times(1, "RCPT", "550-no\r\n550-such\r\n550 " + "user" * 200)) as server:
            deliver(server, [letter])
        assert letter.reply.startswith("550 no such useruser")
        assert len(letter.reply) == 500

    @pytest.mark.parametrize("fault", [Fault.DROP, Fault.KEEP_AND_DROP])
    def test_a_connection_lost_after_data_sends_the_same_mail_again(self, pipelining: bool, fault: Fault) -> None:
        letters = mails(10)
        with FakeSmtpServer(times(1, "content", fault), pipelining=pipelining) as server:
            deliver(server, letters)
        assert {(mail.status, mail.attempts) for mail in letters} == {("sent", 2)}
        assert set(accepted(server).values()) == {2 if fault is Fault.KEEP_AND_DROP else 1}
        by_recipient: dict[str, set[bytes]] = {}
        for mail in server.accepted:
            by_recipient.setdefault(mail.recipient, set()).add(mail.content)
        assert {len(contents) for contents in by_recipient.values()} == {1}

    def test_a_connection_always_lost_after_data_fails_the_mail_instead_of_sending_it_for_ever(self) -> None:
        letter = a_mail(1)
        with FakeSmtpServer(times(99, "content", Fault.KEEP_AND_DROP)) as server:
            deliver(server, [letter], attempts=3)
        assert (letter.status, letter.attempts, len(server.accepted)) == ("failed", 3, 3)
        assert letter.reply.startswith("no reply after the mail was sent")

    @pytest.mark.parametrize("stage", ["connect", "MAIL", "RCPT", "DATA"])
    def test_connections_lost_before_the_content_cost_no_try(self, pipelining: bool, stage: Stage) -> None:
        letters = mails(10)
        chance = random.Random(5)  # noqa: S311  no secret

        def script(at: Stage, recipient: str) -> Fault | None:
            return Fault.DROP if at == stage and chance.random() < 0.6 else None

        with FakeSmtpServer(script, pipelining=pipelining) as server:
            deliver(server, letters, attempts=1)
        assert accepted(server) == once_each(letters)
        assert {(mail.status, mail.attempts) for mail in letters} == {("sent", 1)}

    @pytest.mark.parametrize("stage", ["connect", "MAIL", "RCPT", "DATA", "content"])
    def test_a_stalled_connection_is_given_up_after_the_timeout(self, pipelining: bool, stage: Stage) -> None:
        letters = mails(20)
        stalls = iter([Fault.STALL])

        def script(at: Stage, recipient: str) -> Fault | None:
            return next(stalls, None) if at == stage else None

        with FakeSmtpServer(script, pipelining=pipelining) as server:
            deliver(server, letters, timeout=0.5)
        sent = [mail for mail in letters if mail.status == "sent"]
        assert accepted(server) == once_each(sent)
        # After the content nobody knows whether the server has the mail: it is deferred and doesn't delay others.
        assert [mail.status for mail in letters if mail not in sent] == ["deferred"] * (stage == "content")
        assert sum(mail.attempts for mail in letters) == 20

    def test_a_server_that_is_down_is_waited_for_and_named_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        letters = mails(50)
        with FakeSmtpServer() as server:
            server.down()
            back = threading.Timer(2.0, server.up)
            back.start()
            deliver(server, letters, attempts=1)
            back.join()
        assert accepted(server) == once_each(letters)
        assert {(mail.status, mail.attempts) for mail in letters} == {("sent", 1)}
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert all(f"127.0.0.1:{server.port}" in line and "50 mails wait" in line for line in warnings)
        # One warning for each pause, and the pauses grow: there isn't a line for each refused connection.
        assert 3 < len(warnings) < 100

    def test_a_server_that_restarts_during_the_delivery_loses_nothing(self) -> None:
        letters = mails(2000)
        with FakeSmtpServer() as server:

            def restart() -> None:
                while len(server.accepted) < 300:
                    time.sleep(0.005)
                server.down()
                time.sleep(0.3)
                server.up()

            restarting = threading.Thread(target=restart)
            restarting.start()
            deliver(server, letters, connections=8)
            restarting.join()
        arrived = accepted(server)
        assert set(arrived) == set(once_each(letters))
        assert {mail.status for mail in letters} == {"sent"}
        # Only mails that were in flight at the restart, one for each connection, may arrive twice.
        assert sum(arrived.values()) - len(letters) <= 8

    def test_idle_connections_that_the_server_closed_are_replaced_without_a_try(self) -> None:
        with FakeSmtpServer() as server:
            delivery = Delivery(
                SmtpServer("127.0.0.1", server.port, security="plain"),
                connections=2,
                attempts=1,
                stop=lambda: False,
                pauses=QUICK,
            )
            first, second = mails(5), mails(5)
            delivery.deliver(first)
            server.down()
            server.up()
            delivery.deliver(second)
            delivery.close()
        assert {(mail.status, mail.attempts) for mail in first + second} == {("sent", 1)}
        assert set(accepted(server).values()) == {2}

    def test_a_random_mix_of_every_fault_leaves_every_mail_settled_and_the_log_true(self, pipelining: bool) -> None:
        chance = random.Random(11)  # noqa: S311  no secret
        faults: list[Fault | str] = [*Fault, "421 closing", "451 later", "452 full", "550 never"]

        def script(at: Stage, recipient: str) -> Fault | str | None:
            fault = chance.choice(faults) if chance.random() < 0.02 else None
            # A server that refuses the sender permanently refuses the account.
            return None if fault == "550 never" and at in ("connect", "EHLO", "MAIL") else fault

        letters = mails(500)
        with FakeSmtpServer(script, pipelining=pipelining) as server:
            deliver(server, letters, timeout=0.3)
            arrived = accepted(server)
        for mail in letters:
            assert mail.status in ("sent", "failed", "deferred")
            assert arrived[mail.recipient] <= mail.attempts
            assert mail.status != "sent" or arrived[mail.recipient] >= 1
            assert mail.status != "failed" or mail.reply == "550 never"
            assert mail.status != "deferred" or mail.reply.startswith(("421", "451", "452", "no reply after"))
        assert Counter(mail.status for mail in letters)["sent"] > 450

    def test_waiting_for_a_server_ends_when_told_to_stop(self) -> None:
        letters = mails(3)
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with FakeSmtpServer() as server:
            server.down()
            with pytest.raises(MailError, match=rf"127\.0\.0\.1:{server.port}.*3 of 3"):
                deliver(server, letters, stop=stop.is_set)
        assert {mail.status for mail in letters} == {""}

    def test_a_delivery_that_flows_is_finished_when_told_to_stop(self) -> None:
        letters = mails(300)
        with FakeSmtpServer() as server:
            deliver(server, letters, stop=lambda: len(server.accepted) > 10)
        assert accepted(server) == once_each(letters)

    def test_a_backlog_that_flows_ends_in_time_when_told_to_stop(self) -> None:
        """Airflow waits for 5 s in all, whatever the number of pieces in which a backlog is delivered."""
        stop = threading.Event()
        with FakeSmtpServer() as server:
            address = SmtpServer("127.0.0.1", server.port, security="plain")
            delivery = Delivery(address, connections=1, attempts=4, stop=stop.is_set, per_second=20, pauses=QUICK)
            delivery.deliver(mails(1))
            stop.set()
            started = time.monotonic()
            with pytest.raises(MailError, match="stopped before"):
                for _ in range(40):
                    delivery.deliver(mails(5))
            delivery.close()
        assert time.monotonic() - started < 3


def test_the_inbox_of_the_stack_shows_what_was_sent(stack: Mapping[str, str]) -> None:
    connection = json.loads(stack["AIRFLOW_CONN_SMTP_DEFAULT"])
    server = server_from_connection(connection["host"], connection["port"], None, None, connection["extra"])
    templates = MailTemplates(Settings())
    run = uuid4().hex
    link = f"http://127.0.0.1:8085/confirm/{'token-' * 20}{run}"
    letters = []
    for number in range(20):
        facts = sample_facts(f"{run}-{number}", link)
        content = templates.render(
            "fraud_notice",
            facts,
            recipient="c1@example.com",
            identity=message_id("fraud_transaction", "fraud_notice", facts.id, templates.domain),
            sent_at=datetime.now(UTC),
        )
        letters.append(Mail("c1@example.com", content))
    deliver(server, letters)
    assert {(mail.status, mail.attempts) for mail in letters} == {("sent", 1)}

    sent = Counter(str(message_from_bytes(mail.content, policy=default)["Message-ID"]) for mail in letters)
    with httpx.Client(base_url=Ports.from_environment().url("inbox")) as inbox:
        # Other mails may arrive meanwhile.
        ids = sorted(int(message["id"]) for message in inbox.get("/api/mails", params={"limit": 200}).json()["mails"])
        sources = {number: inbox.get(f"/mails/{number}/source").text for number in ids}
        found = {
            number: str(message["Message-ID"])
            for number, source in sources.items()
            if (message := message_from_string(source, policy=default))["Message-ID"] in sent
        }
        page = BeautifulSoup(inbox.get(f"/mails/{min(found)}/html").text, "html.parser")
    assert Counter(found.values()) == sent
    assert [str(a["href"]) for a in page.find_all("a")] == [f"{link}/fraud", f"{link}/not-fraud"]
