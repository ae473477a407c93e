"""Checks who may use the page Cases, and that an action comes from a form of this page.

Two checks must succeed. The auth manager must allow the custom view ``Cases``, GET to see it and POST to act, so that
a separate role can have these permissions in FAB or Keycloak. And the setting ``desk_users`` must name the user,
because Airflow's simple auth manager has no permissions for views and allows them to everybody who may log in.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request
from itsdangerous import BadData, URLSafeTimedSerializer

from fraudstream.settings import get_settings

#: Name of the custom view in the auth manager.
VIEW = "Cases"
#: Seconds for which the forms of an open page are valid.
FORM_SECONDS = 8 * 3600
#: Entry of `desk_users` for everybody whom the auth manager allows.
_EVERYBODY = "*"


def viewer(user: GetUserDep) -> str:
    """The name of the user who sees the page.

    :raises HTTPException: 403, the user may not see it
    """
    return _allowed("GET", user)


def actor(request: Request, user: GetUserDep) -> str:
    """The name of the user who acts, with a request from this server's own page.

    :raises HTTPException: 403, the user may not act, or the request comes from another site
    """
    name = _allowed("POST", user)
    # Browsers send Origin with each POST, and Sec-Fetch-Site on https and on localhost. A client that sends neither is
    # no browser whose session can be misused. Sec-Fetch-Site decides if it is there: a proxy may have replaced Host.
    site, origin, host = (request.headers.get(header) for header in ("sec-fetch-site", "origin", "host"))
    own_page = site == "same-origin" if site is not None else origin is None or urlsplit(origin).netloc == host
    if not own_page:
        raise HTTPException(
            403, f"the request comes from another site: Sec-Fetch-Site is {site}, Origin {origin}, Host {host}"
        )
    return name


Viewer = Annotated[str, Depends(viewer)]
Actor = Annotated[str, Depends(actor)]


def may_act(user: GetUserDep) -> bool:
    """Whether the user may act, so that the page shows forms."""
    try:
        _allowed("POST", user)
    except HTTPException:
        return False
    return True


MayAct = Annotated[bool, Depends(may_act)]


def form_token(name: str) -> str:
    """The token of a form: the user's name, signed by this server."""
    return str(_signer().dumps(name))


def check_form_token(token: str, name: str) -> None:
    """Checks that the token comes from a form for this user that is still valid.

    :raises HTTPException: 403, it doesn't
    """
    try:
        signed_for = _signer().loads(token, max_age=FORM_SECONDS)
    except BadData:
        signed_for = None
    if signed_for != name:
        raise HTTPException(403, "the form is too old, or isn't of this page: go back, reload the page and try again")


def _allowed(method: Literal["GET", "POST"], user: Any) -> str:
    name = str(user.get_name())
    listed = get_settings().desk_users
    authorized = get_auth_manager().is_authorized_custom_view(method=method, resource_name=VIEW, user=user)
    if not authorized or not ({name, _EVERYBODY} & set(listed)):
        raise HTTPException(
            403,
            f"user {name} may not use the page Cases: an administrator adds the name to the setting"
            f" FRAUDSTREAM_DESK_USERS, and {method} on the custom view {VIEW} to a role of the user",
        )
    return name


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get("api", "secret_key"), salt="fraudstream.desk")
