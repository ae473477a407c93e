"""An SMTP server: its address and login from an Airflow connection, and how to open an SMTP connection to it.

aiosmtplib connects, sends EHLO, encrypts and logs in. `conversation.py` takes over the open connection.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, cast

import aiosmtplib
from pydantic import SecretStr

from fraudstream.errors import MailError, SettingsError
from fraudstream.mail.smtp.oauth import TokenSource, token_source

_PORTS = {"plain": 25, "starttls": 587, "tls": 465}
#: Reply codes from this one on are permanent: a retry can't help.
_FOR_GOOD = 500


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """An SMTP server, its login and the options of connections to it.

    `timeout` (seconds) limits connecting and the wait for each reply, except the reply to a mail's content. That one
    has `content_timeout`: ten minutes (RFC 5321, 4.5.3.2.6). After a shorter wait, the server may already have accepted
    a mail that is sent again and arrives twice. `verify` says whether the server's certificate must be valid. `token`
    returns the access token for XOAUTH2, which replaces a password. `ehlo_name` is the client's name in EHLO; empty:
    the fully qualified name of its host.
    """

    host: str
    port: int
    username: str = ""
    password: SecretStr | None = None
    security: Literal["plain", "starttls", "tls"] = "tls"
    timeout: float = 30.0
    content_timeout: float = 600.0
    verify: bool = True
    ehlo_name: str = ""
    token: TokenSource | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Opened(NamedTuple):
    """An open connection after EHLO and login. The caller sets the protocol of its transport."""

    transport: asyncio.Transport
    pipelining: bool


def server_from_connection(
    host: str | None,
    port: int | None,
    login: str | None,
    password: str | None,
    extra: Mapping[str, Any],
    *,
    ehlo_name: str = "",
) -> SmtpServer:
    """Returns the server of an Airflow connection of type smtp, whose fields have the same meaning as in SmtpHook.

    The default is TLS from the first byte. ``disable_ssl`` in the extra selects STARTTLS; with ``disable_tls`` too,
    nothing is encrypted. ``timeout`` is in seconds (default: 30). ``content_timeout`` (seconds, default: 600) is for
    the reply to a mail's content; SmtpHook doesn't have it. ``ssl_context`` ``none`` accepts any certificate. With
    ``auth_type`` ``oauth2`` the login is XOAUTH2: see :mod:`fraudstream.mail.smtp.oauth`.

    :raises SettingsError: the connection has no host, or its extra can't be used
    """
    if not host:
        raise SettingsError("the SMTP connection has no host: set the server's name or address in it")
    auth_type = extra.get("auth_type") or "basic"
    if auth_type not in ("basic", "oauth2"):
        raise SettingsError(
            f"the SMTP connection to {host} has auth_type {auth_type!r} in its extra: expected basic or oauth2"
        )
    context = extra.get("ssl_context") or "default"
    if context not in ("default", "none"):
        raise SettingsError(
            f"the SMTP connection to {host} has ssl_context {context!r} in its extra: expected default or none"
        )
    security: Literal["plain", "starttls", "tls"] = "tls"
    if extra.get("disable_ssl", False):
        security = "plain" if extra.get("disable_tls", False) else "starttls"
    return SmtpServer(
        host=host,
        port=port or _PORTS[security],
        username=(login or extra.get("from_email") or "") if auth_type == "oauth2" else login or "",
        password=SecretStr(password) if password and auth_type == "basic" else None,
        security=security,
        timeout=_seconds(host, extra, "timeout", 30),
        content_timeout=_seconds(host, extra, "content_timeout", 600),
        verify=context == "default",
        ehlo_name=ehlo_name,
        token=token_source(host, extra, login or extra.get("from_email")) if auth_type == "oauth2" else None,
    )


def _seconds(host: str, extra: Mapping[str, Any], name: str, default: float) -> float:
    found = extra.get(name, default)
    try:
        seconds = float(found)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise SettingsError(
            f"the SMTP connection to {host} has {name} {found!r} in its extra: expected seconds, more than 0"
        )
    return seconds


@cache
def _host_name() -> str:
    return socket.getfqdn()


async def open_connection(server: SmtpServer) -> Opened:
    """Connects, encrypts and logs in.

    :raises SettingsError: the server refuses the client or its login permanently, offers no STARTTLS or AUTH, or has
        an invalid certificate: the Airflow connection must be changed
    :raises MailError: any other error; it may be temporary
    """
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username or None,
        password=server.password.get_secret_value() if server.password and server.username else None,
        timeout=server.timeout,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        validate_certs=server.verify,
        oauth_token_generator=server.token,
        local_hostname=server.ehlo_name or _host_name(),
    )
    opened = False
    try:
        await _greet(client, server)
        opened = True
    finally:
        # aiosmtplib closes the connection only if connect() fails.
        if not opened:
            client.close()
    return Opened(cast(asyncio.Transport, client.transport), client.supports_extension("pipelining"))


async def _greet(client: aiosmtplib.SMTP, server: SmtpServer) -> None:
    try:
        await client.connect()
        if not client.last_ehlo_response:
            await client.ehlo()
    except aiosmtplib.SMTPAuthenticationError as error:
        if error.code >= _FOR_GOOD:
            raise SettingsError(
                f"SMTP server {server} refuses the login of user {server.username!r}: {error.code} {error.message}."
                " Check login and password of the connection"
            ) from error
        raise MailError(f"login: {error.code} {error.message}") from error
    except ssl.SSLCertVerificationError as error:
        raise SettingsError(_certificate(server, error)) from error
    except aiosmtplib.SMTPResponseException as error:
        if error.code >= _FOR_GOOD:
            raise SettingsError(
                f"SMTP server {server} doesn't serve this client: {error.code} {error.message}. Check host and port of"
                " the connection, FRAUDSTREAM_MAIL_EHLO_NAME, and that the server accepts mail from this address"
            ) from error
        raise MailError(f"{error.code} {error.message}") from error
    except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError) as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise SettingsError(_certificate(server, error.__cause__)) from error
        raise MailError(str(error)) from error
    except aiosmtplib.SMTPException as error:
        raise SettingsError(
            f"SMTP server {server} can't do what the connection asks for ({server.security}"
            f"{', login' if server.username else ''}): {error}. Check disable_ssl, disable_tls and login"
        ) from error
    except OSError as error:
        raise MailError(str(error)) from error
    except UnicodeError as error:
        raise SettingsError(
            f"SMTP server {server} can't be asked for: {error}. Host of the connection and FRAUDSTREAM_MAIL_EHLO_NAME"
            f" ({server.ehlo_name!r}) must be names that DNS can have: ASCII, labels of at most 63 characters"
        ) from error


def _certificate(server: SmtpServer, error: ssl.SSLCertVerificationError) -> str:
    return (
        f"the certificate of SMTP server {server} is not valid: {error.verify_message}. Use the name it was issued for,"
        ' or set ssl_context to "none" in the connection\'s extra to accept any'
    )
