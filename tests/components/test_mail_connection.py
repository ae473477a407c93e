"""Encryption and login of SMTP connections, over real sockets."""

import ssl

import pytest
from fraudstream.errors import SettingsError
from fraudstream.mail.smtp.server import SmtpServer
from pydantic import SecretStr

from tests.components.mail_deliveries import accepted, deliver, mails, once_each
from tests.fakes import certificates
from tests.fakes.smtp import FakeSmtpServer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return certificates.untrusted(tmp_path_factory.mktemp("certificate"))


class TestConnection:
    @pytest.mark.parametrize("security", ["tls", "starttls"])
    def test_mails_go_over_tls_after_a_login(self, certificate: ssl.SSLContext, security: str) -> None:
        letters = mails(50)
        with FakeSmtpServer(
            login=("user", "secret"), certificate=certificate, starttls=security == "starttls"
        ) as server:
            deliver(
                SmtpServer(
                    "127.0.0.1",
                    server.port,
                    username="user",
                    password=SecretStr("secret"),
                    security=security,  # type: ignore[arg-type]
                    verify=False,
                ),
                letters,
            )
        assert accepted(server) == once_each(letters)

    def test_a_wrong_login_is_an_error_that_names_the_user_and_not_the_password(self) -> None:
        with FakeSmtpServer(login=("user", "secret")) as server:
            wrong = SmtpServer(
                "127.0.0.1", server.port, username="user", password=SecretStr("hunter2"), security="plain"
            )
            with pytest.raises(SettingsError, match=r"login of user 'user': 535") as caught:
                deliver(wrong, mails(1))
        assert "hunter2" not in str(caught.value)
        assert server.accepted == []

    @pytest.mark.parametrize("security", ["tls", "starttls"])
    def test_an_unknown_certificate_is_refused_before_any_login(
        self, certificate: ssl.SSLContext, security: str
    ) -> None:
        with FakeSmtpServer(
            login=("user", "secret"), certificate=certificate, starttls=security == "starttls"
        ) as server:
            strict = SmtpServer(
                "127.0.0.1",
                server.port,
                username="user",
                password=SecretStr("secret"),
                security=security,  # type: ignore[arg-type]
            )
            with pytest.raises(SettingsError, match="certificate"):
                deliver(strict, mails(1))
        assert not [command for command in server.commands if command.startswith("AUTH")]

    def test_a_server_without_starttls_gets_neither_login_nor_mail(self) -> None:
        with FakeSmtpServer(login=("user", "secret")) as server:
            strict = SmtpServer(
                "127.0.0.1", server.port, username="user", password=SecretStr("secret"), security="starttls"
            )
            with pytest.raises(SettingsError, match="starttls"):
                deliver(strict, mails(1))
        assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]
