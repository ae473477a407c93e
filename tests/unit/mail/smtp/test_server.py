"""An Airflow smtp connection is interpreted as Airflow's own hook does."""

import asyncio
from typing import Any

import aiosmtplib
import pytest
from fraudstream.errors import MailError, SettingsError
from fraudstream.mail.smtp.oauth import token_source
from fraudstream.mail.smtp.server import SmtpServer, open_connection, server_from_connection


def server(host: str | None = "mail.example.com", port: int | None = None, **extra: Any) -> SmtpServer:
    return server_from_connection(host, port, "user", "secret", extra)


@pytest.mark.parametrize(
    ("extra", "security", "port"),
    [
        ({}, "tls", 465),
        ({"disable_tls": True}, "tls", 465),
        ({"disable_ssl": False}, "tls", 465),
        ({"disable_ssl": True}, "starttls", 587),
        ({"disable_ssl": True, "disable_tls": False}, "starttls", 587),
        ({"disable_ssl": True, "disable_tls": True}, "plain", 25),
    ],
)
def test_encryption_is_on_until_both_switches_turn_it_off(extra: dict[str, Any], security: str, port: int) -> None:
    made = server(**extra)
    assert (made.security, made.port) == (security, port)


def test_host_port_login_and_timeout_are_taken_over() -> None:
    made = server(port=2525, timeout="12")
    assert (str(made), made.username, made.timeout, made.verify) == ("mail.example.com:2525", "user", 12.0, True)
    assert made.password is not None
    assert made.password.get_secret_value() == "secret"


def test_no_representation_shows_the_password() -> None:
    assert "secret" not in repr(server())


def test_a_connection_without_login_has_none() -> None:
    made = server_from_connection("mail.example.com", 25, None, None, {})
    assert (made.username, made.password, made.timeout, made.content_timeout) == ("", None, 30.0, 600.0)


def test_ssl_context_none_accepts_any_certificate() -> None:
    assert not server(ssl_context="none").verify
    assert server(ssl_context="default").verify
    assert server(ssl_context=None).verify


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"ssl_context": "weak"}, "ssl_context 'weak'"),
        ({"timeout": "soon"}, "timeout 'soon'"),
        ({"timeout": 0}, "timeout 0"),
        ({"content_timeout": 0}, "content_timeout 0"),
        ({"timeout": None}, "timeout None"),
        ({"timeout": "nan"}, "timeout 'nan'"),
        ({"auth_type": "kerberos"}, "auth_type 'kerberos'"),
        ({"auth_type": "oauth2"}, "access_token"),
        ({"auth_type": "oauth2", "client_id": "x"}, "client_secret"),
    ],
)
def test_an_unusable_extra_is_named(extra: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=f"mail.example.com.*{named}"):
        server(**extra)


@pytest.mark.parametrize("host", [None, ""])
def test_a_connection_without_host_is_refused(host: str | None) -> None:
    with pytest.raises(SettingsError, match="no host"):
        server(host)


@pytest.mark.parametrize(
    "changed",
    [
        {"host": f"{'a' * 64}.example.com"},
        {"host": "mail..example.com"},
        {"host": "mail.example.com\xa0"},
        {"ehlo_name": "bänk.example"},
    ],
)
def test_a_name_that_dns_cannot_have_is_refused_by_name(
    changed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop and the client encode the names in the same way."""

    async def connect(client: aiosmtplib.SMTP) -> None:
        (client.hostname or "").encode("idna").decode("ascii").encode()
        (client.hostname or "").encode("ascii")
        (client.local_hostname or "").encode("ascii")
        raise OSError("no server in unit tests")

    monkeypatch.setattr(aiosmtplib.SMTP, "connect", connect)
    made = SmtpServer(**{"host": "mail.example.com", "port": 25, "ehlo_name": "bank.example", **changed})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_MAIL_EHLO_NAME.*must be names that DNS can have"):
        asyncio.run(open_connection(made))


class TestOauth:
    def test_a_token_of_the_extra_is_used_as_it_is(self) -> None:
        made = server(auth_type="oauth2", access_token="a-token")
        assert (made.username, made.password) == ("user", None)
        assert made.token is not None
        assert asyncio.run(made.token()) == "a-token"

    def test_whoever_sends_logs_in_where_no_login_is_named(self) -> None:
        extra = {"auth_type": "oauth2", "access_token": "a-token", "from_email": "bank@example.com"}
        assert server_from_connection("mail.example.com", 25, None, None, extra).username == "bank@example.com"
        assert server_from_connection("mail.example.com", 25, "me", None, extra).username == "me"
        assert (
            server_from_connection("mail.example.com", 25, None, None, {"from_email": "x@example.com"}).username == ""
        )

    def test_a_client_gets_its_token_where_the_providers_hook_gets_it(self) -> None:
        asked: list[Any] = []

        class Application:
            def __init__(self, **values: Any) -> None:
                asked.append(values)

            def acquire_token_for_client(self, scopes: list[str]) -> dict[str, str]:
                asked.append(scopes)
                return {"access_token": f"token-{len(asked)}"}

        extra = {"client_id": "me", "client_secret": "s3", "tenant_id": "bank"}
        token = token_source("mail.example.com", extra, "user", Application)
        assert [asyncio.run(token()), asyncio.run(token())] == ["token-2", "token-3"]
        authority = "https://login.microsoftonline.com/bank"
        assert asked[0] == {"client_id": "me", "client_credential": "s3", "authority": authority}
        assert asked[1:] == [["https://outlook.office.com/.default"]] * 2

    def test_a_client_that_is_refused_is_an_error_that_says_why(self) -> None:
        class Application:
            def __init__(self, **values: Any) -> None: ...

            def acquire_token_for_client(self, scopes: list[str]) -> dict[str, str]:
                return {"error": "invalid_client", "error_description": "AADSTS7000215"}

        token = token_source("mail.example.com", {"client_id": "me", "client_secret": "s3"}, "user", Application)
        with pytest.raises(SettingsError, match=r"AADSTS7000215.*client_secret"):
            asyncio.run(token())

    def test_a_login_that_is_throttled_may_pass(self) -> None:
        class Application:
            def __init__(self, **values: Any) -> None: ...

            def acquire_token_for_client(self, scopes: list[str]) -> dict[str, str]:
                return {"error": "temporarily_unavailable", "error_description": "AADSTS90033"}

        token = token_source("mail.example.com", {"client_id": "me", "client_secret": "s3"}, "user", Application)
        with pytest.raises(MailError, match="AADSTS90033"):
            asyncio.run(token())

    def test_nobody_to_log_in_as_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="from_email"):
            server_from_connection("mail.example.com", 25, None, None, {"auth_type": "oauth2", "access_token": "x"})
