"""Personal logins for Airflow's pages: Google identifies a person, and the setting ``login_users`` gives their role.

Airflow's FAB auth manager calls this security manager at each login, see include/airflow/webserver_config.py. The
accounts in Airflow's database follow the setting: a person gets an account at the first login, and the role of the
setting at each login. When the API server starts, it deactivates accounts that the setting no longer names.
"""

from typing import Any

from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride

from fraudstream.errors import LoginRefused
from fraudstream.orchestration.pages.desk_access import VIEW
from fraudstream.settings import Settings, get_settings


class Logins(FabAirflowSecurityManagerOverride):
    """A security manager with Airflow's roles and the role Clerk. Only the people in ``login_users`` get accounts."""

    ROLE_CONFIGS = [  # noqa: RUF012 - as the base class has it
        *FabAirflowSecurityManagerOverride.ROLE_CONFIGS,
        {
            "role": "Clerk",
            # The auth manager's names for GET and POST on the page Cases.
            "perms": [
                *FabAirflowSecurityManagerOverride.VIEWER_PERMISSIONS,
                ("can_read", VIEW),
                ("can_create", VIEW),
            ],
        },
    ]

    def get_oauth_user_info(self, provider: str, resp: dict[str, Any]) -> dict[str, Any]:
        """The user who logs in, from the claims of the ID token, which was verified with Google's keys.

        :raises LoginRefused: the account may not log in
        """
        claims = resp["userinfo"]
        email = str(claims.get("email", "")).lower()
        # Google vouches for its own addresses and those of Workspace domains (claim hd). Other addresses may have a new
        # owner since they were verified.
        vouched = claims.get("email_verified") is True and (email.endswith("@gmail.com") or claims.get("hd"))
        role = _users().get(email)
        if role is None or not vouched:
            reason = (
                "is not in FRAUDSTREAM_LOGIN_USERS" if role is None else "is not an address that Google vouches for"
            )
            raise LoginRefused(f"login refused: {email!r} {reason}")
        return {
            "username": email,
            "email": email,
            "first_name": claims.get("given_name", ""),
            "last_name": claims.get("family_name", ""),
            "role": role,
        }

    def sync_roles(self) -> None:
        """Creates roles and permissions when the API server starts, then activates and deactivates accounts."""
        super().sync_roles()
        users = _users()
        for user in self.get_all_users():
            user.active = user.username in users
        self.session.commit()


def google(settings: Settings) -> dict[str, Any]:
    """The entry of FAB's OAUTH_PROVIDERS: OpenID Connect, configured by Google's discovery document."""
    return {
        "name": "google",
        "icon": "fa-google",
        "token_key": "access_token",
        "remote_app": {
            "client_id": settings.login_client_id,
            "client_secret": settings.login_client_secret.get_secret_value(),
            "server_metadata_url": "https://accounts.google.com/.well-known/openid-configuration",
            "client_kwargs": {"scope": "openid email profile"},
        },
    }


def _users() -> dict[str, str]:
    return {email.lower(): role for email, role in get_settings().login_users.items()}
