"""Access tokens for XOAUTH2, from an Airflow connection's extra as the SMTP provider's hook reads it.

``access_token`` is used as it is. Else ``client_id`` and ``client_secret``, with ``tenant_id`` (common) and ``scope``
(Outlook's), get one from Microsoft's login; MSAL keeps it, and gets another one before it ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, cast

from msal import ConfidentialClientApplication  # type: ignore[import-untyped]

from fraudstream.errors import MailError, SettingsError

#: Returns the token to log in with now.
TokenSource = Callable[[], Awaitable[str]]

_AUTHORITY = "https://login.microsoftonline.com/{}"
_SCOPE = "https://outlook.office.com/.default"


class _Application(Protocol):
    def acquire_token_for_client(self, scopes: list[str]) -> dict[str, Any]: ...


def token_source(
    host: str,
    extra: Mapping[str, Any],
    user: str | None,
    application: Callable[..., Any] = ConfidentialClientApplication,
) -> TokenSource:
    """Where the tokens for a connection come from; nothing is asked yet.

    :param application: MSAL's, which finds out about the tenant when it is made
    :raises SettingsError: the extra has no token and no client, or no user to log in as
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
            raise SettingsError(
                f"no access token for the SMTP connection to {host}: {found.get('error_description')}. Check client_id,"
                " client_secret, tenant_id and scope in its extra"
            )
        return cast(str, found["access_token"])

    async def current() -> str:
        if token:
            return str(token)
        try:
            return await asyncio.to_thread(ask)
        except (OSError, ValueError) as error:
            raise MailError(f"no access token for the SMTP connection to {host}: {error}") from error

    return current
