"""Failures while a connection is opened: temporary ones are a MailError, wrong settings a SettingsError."""

import asyncio
import ssl
from typing import Any

import aiosmtplib
import pytest
from fraudstream.errors import MailError, SettingsError
from fraudstream.mail.smtp import server as module
from fraudstream.mail.smtp.server import Opened, SmtpServer, open_connection
from pydantic import SecretStr


class Client:
    """Stands for aiosmtplib's client; `fails` is the error that connect() raises."""

    fails: Exception | None = None
    greeted = True
    made: "Client"

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.transport = object()
        self.closed = False
        self.last_ehlo_response = "250 hello" if self.greeted else None
        self.asked: list[str] = []
        Client.made = self

    async def connect(self) -> None:
        if self.fails is not None:
            raise self.fails

    async def ehlo(self) -> None:
        self.asked.append("ehlo")

    def supports_extension(self, name: str) -> bool:
        return name == "pipelining"

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.aiosmtplib, "SMTP", Client)
    monkeypatch.setattr(Client, "fails", None)
    monkeypatch.setattr(module, "_host_name", lambda: "here.example")


def opened(**values: Any) -> Opened:
    return asyncio.run(open_connection(SmtpServer("mail.example", 2525, **values)))


def failed(monkeypatch: pytest.MonkeyPatch, error: Exception, **values: Any) -> MailError | SettingsError:
    monkeypatch.setattr(Client, "fails", error)
    with pytest.raises((MailError, SettingsError)) as raised:
        opened(**values)
    assert Client.made.closed, "nothing is left open"
    return raised.value  # type: ignore[return-value]


def certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


class TestOptions:
    @pytest.mark.parametrize(
        ("security", "tls", "starttls"), [("plain", False, False), ("starttls", False, True), ("tls", True, False)]
    )
    def test_what_encrypts_is_asked_for(self, security: str, tls: bool, starttls: bool) -> None:
        found = opened(security=security)
        assert (Client.made.options["use_tls"], Client.made.options["start_tls"]) == (tls, starttls)
        assert Client.made.options["validate_certs"] is True
        assert found == (Client.made.transport, True)
        assert not Client.made.closed

    def test_a_password_is_given_with_its_user_only(self) -> None:
        opened(username="me", password=SecretStr("s3cret"))
        assert (Client.made.options["username"], Client.made.options["password"]) == ("me", "s3cret")
        opened(password=SecretStr("s3cret"))
        assert (Client.made.options["username"], Client.made.options["password"]) == (None, None)

    def test_it_calls_itself_as_it_is_told_to_or_by_its_host(self) -> None:
        opened(ehlo_name="mailer.bank.example")
        assert Client.made.options["local_hostname"] == "mailer.bank.example"
        opened()
        assert Client.made.options["local_hostname"] == "here.example"

    def test_a_server_that_was_not_greeted_by_the_login_is_greeted_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened()
        assert Client.made.asked == []
        monkeypatch.setattr(Client, "greeted", False)
        opened()
        assert Client.made.asked == ["ehlo"]


class TestFailures:
    @pytest.mark.parametrize(("code", "kind"), [(454, MailError), (499, MailError), (500, SettingsError)])
    def test_a_refused_login(self, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]) -> None:
        error = failed(monkeypatch, aiosmtplib.SMTPAuthenticationError(code, "no"), username="me")
        assert type(error) is kind
        assert f"{code} no" in str(error)
        if kind is SettingsError:
            assert "refuses the login of user 'me'" in str(error)

    @pytest.mark.parametrize(("code", "kind"), [(421, MailError), (499, MailError), (500, SettingsError)])
    def test_a_refused_client(self, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]) -> None:
        error = failed(monkeypatch, aiosmtplib.SMTPConnectResponseError(code, "go away"))
        assert type(error) is kind
        assert f"{code} go away" in str(error)

    @pytest.mark.parametrize(
        "error",
        [
            aiosmtplib.SMTPConnectError("refused"),
            aiosmtplib.SMTPServerDisconnected("lost"),
            aiosmtplib.SMTPTimeoutError("late"),
            ConnectionResetError("reset"),
            OSError("no route"),
        ],
    )
    def test_a_server_that_is_away_may_come_back(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        found = failed(monkeypatch, error)
        assert type(found) is MailError
        assert str(error) in str(found)

    def test_an_invalid_certificate_is_told_with_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wrapped = aiosmtplib.SMTPConnectError("TLS failed")
        wrapped.__cause__ = certificate()
        for error in (certificate(), wrapped):
            found = failed(monkeypatch, error)
            assert type(found) is SettingsError
            assert "mail.example:2525 is not valid: self-signed certificate" in str(found)
            assert "ssl_context" in str(found)

    @pytest.mark.parametrize(("username", "what"), [("", "(starttls)"), ("me", "(starttls, login)")])
    def test_what_the_server_can_not_do_is_a_matter_of_the_connection(
        self, monkeypatch: pytest.MonkeyPatch, username: str, what: str
    ) -> None:
        error = aiosmtplib.SMTPNotSupported("no STARTTLS")
        found = failed(monkeypatch, error, security="starttls", username=username)
        assert type(found) is SettingsError
        assert f"can't do what the connection asks for {what}: no STARTTLS" in str(found)

    def test_whatever_else_goes_wrong_leaves_nothing_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Client, "fails", asyncio.CancelledError())
        with pytest.raises(asyncio.CancelledError):
            opened()
        assert Client.made.closed
