"""Configuration of Airflow's FAB auth manager: people log in with their Google accounts, and nobody else does.

Airflow reads this file where [fab] config_file names it (docker/compose.yaml). Without it FAB would show a form for
names and passwords.
"""

from flask_appbuilder.const import AUTH_OAUTH
from fraudstream.orchestration.logins import Logins, google
from fraudstream.settings import get_settings

AUTH_TYPE = AUTH_OAUTH
OAUTH_PROVIDERS = [google(get_settings())]
SECURITY_MANAGER_CLASS = Logins
# A first login makes the account; each login gives it the role that Logins says.
AUTH_USER_REGISTRATION = True
AUTH_USER_REGISTRATION_ROLE_JMESPATH = "role"
AUTH_ROLES_SYNC_AT_LOGIN = True
