"""An Airflow smtp connection is read as Airflow's own hook reads it."""

from typing import Any

import pytest
from fraudstream.errors import SettingsError
from fraudstream.mail.server import SmtpServer, server_from_connection


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
    assert (made.username, made.password, made.timeout) == ("", None, 30.0)


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
        ({"timeout": None}, "timeout None"),
        ({"timeout": "nan"}, "timeout 'nan'"),
        ({"auth_type": "oauth2"}, "auth_type 'oauth2'"),
    ],
)
def test_an_unusable_extra_is_named(extra: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=f"mail.example.com.*{named}"):
        server(**extra)


@pytest.mark.parametrize("host", [None, ""])
def test_a_connection_without_host_is_refused(host: str | None) -> None:
    with pytest.raises(SettingsError, match="no host"):
        server(host)
