"""Access tokens for XOAUTH2. The extra of the Airflow connection is read as Airflow's SMTP provider reads it.

An ``access_token`` is used as it is. Otherwise Microsoft's login issues a token for ``client_id``, ``client_secret``,
``tenant_id`` (default: common) and ``scope`` (default: Outlook's). MSAL caches the token, and gets another one before
it expires.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, cast

from msal import ConfidentialClientApplication  # type: ignore[import-untyped]

from fraudstream.errors import MailError, SettingsError

#: Returns a valid token for a login.
TokenSource = Callable[[], Awaitable[str]]

_AUTHORITY = "https://login.microsoftonline.com/{}"
_SCOPE = "https://outlook.office.com/.default"
#: Errors of OAuth that don't pass by themselves (RFC 6749, 5.2).
_REFUSED = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


class _Application(Protocol):
    def acquire_token_for_client(self, scopes: list[str]) -> dict[str, Any]: ...


def token_source(
    host: str,
    extra: Mapping[str, Any],
    user: str | None,
    application: Callable[..., Any] = ConfidentialClientApplication,
) -> TokenSource:
    """Returns the source of the tokens for a connection. Sends no request yet.

    The source raises a SettingsError if Microsoft's login refuses the client, and a MailError if the login doesn't
    answer or is throttled.

    :param application: MSAL's class, whose constructor requests the tenant's configuration
    :raises SettingsError: the extra has no token and no client, or there is no user
    """
    if not user:
        raise SettingsError(
            f"the SMTP connection to {host} has auth_type oauth2, but neither a login nor from_email in its extra: set"
            " the mailbox to log in as"
        )
    token, client, secret = extra.get("access_token"), extra.get("client_id"), extra.get("client_secret")
    if not token and not (client and secret):
        raise SettingsError(
            f"the SMTP connection to {host} has auth_type oauth2: its extra needs access_token, or client_id and"
            " client_secret"
        )
    made: list[_Application] = []

    def ask() -> str:
        if not made:
            authority = _AUTHORITY.format(extra.get("tenant_id") or "common")
            made.append(application(client_id=client, client_credential=secret, authority=authority))
        found = made[0].acquire_token_for_client(scopes=[extra.get("scope") or _SCOPE])
        if "access_token" not in found:
            reason = f"no access token for the SMTP connection to {host}: {found.get('error_description')}"
            if found.get("error") not in _REFUSED:  # as if the login is throttled
                raise MailError(reason)
            raise SettingsError(f"{reason}. Check client_id, client_secret, tenant_id and scope in its extra")
        return cast(str, found["access_token"])

    async def current() -> str:
        if token:
            return str(token)
        try:
            return await asyncio.to_thread(ask)
        except (OSError, ValueError) as error:
            raise MailError(f"no access token for the SMTP connection to {host}: {error}") from error

    return current
