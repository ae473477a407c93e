"""``python -m tests.fakes.logins``: logs users in to Airflow's FAB auth manager, with a fake Google in memory.

It is a process of its own, because an auth manager configures all of Airflow. The test sets AIRFLOW_HOME, the auth
manager and its configuration file in the environment. Standard input has the claims of each login, and the users of the
setting after a restart of the API server. It prints the results.
"""

import io
import json
import os
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from airflow import settings
from airflow.api_fastapi.app import create_auth_manager
from fastapi import FastAPI
from fraudstream.settings import get_settings
from joserfc import jwk, jwt
from starlette.testclient import TestClient

KEY = jwk.RSAKey.generate_key(2048, parameters={"kid": "1"})
DISCOVERY = {
    "issuer": "https://accounts.google.com",
    "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
    "id_token_signing_alg_values_supported": ["RS256"],
}


class Google(requests.adapters.HTTPAdapter):
    """Answers requests as Google does, with a token for the next user who logs in."""

    claims: dict[str, Any]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        answers = {
            "https://accounts.google.com/.well-known/openid-configuration": DISCOVERY,
            DISCOVERY["jwks_uri"]: {"keys": [KEY.as_dict(private=False)]},
            DISCOVERY["token_endpoint"]: {"access_token": "a", "token_type": "Bearer", "id_token": self.id_token()},
        }
        response = requests.Response()
        response.status_code = 200
        response.url = str(request.url)
        response.request = request
        response.raw = io.BytesIO(json.dumps(answers[str(request.url)]).encode())
        return response

    def id_token(self) -> str:
        now = int(time.time())
        claims = {"iss": DISCOVERY["issuer"], "aud": "client", "sub": "1", "iat": now, "exp": now + 60} | self.claims
        return jwt.encode({"alg": "RS256", "kid": "1"}, claims, KEY)


def log_in(app: FastAPI, google: Google, claims: dict[str, Any]) -> dict[str, Any]:
    """Logs in with one browser: redirects to Google and returns with its response."""
    browser = TestClient(app, base_url="http://localhost:8080", follow_redirects=False)
    google.claims = {}
    sent = parse_qs(urlsplit(browser.get("/auth/login/google").headers["location"]).query)
    google.claims = {"nonce": sent["nonce"][0]} | claims
    back = browser.get("/auth/oauth-authorized/google", params={"code": "c", "state": sent["state"][0]})
    inside = back.headers["location"] == "/auth/"
    return {
        "redirect_uri": sent["redirect_uri"][0],
        "logged_in": inside and "_token" in browser.get("/auth/").cookies,
        "page": "" if inside else browser.get("/auth/login/").text,
    }


def main() -> None:
    google = Google()
    requests.Session.get_adapter = lambda self, url: google
    settings.configure_orm()
    manager = create_auth_manager()
    app = FastAPI()
    app.mount("/auth", manager.get_fastapi_app())
    asked = json.load(sys.stdin)
    logins = [log_in(app, google, claims) for claims in asked["logins"]]
    with manager.flask_app.app_context():
        security = manager.security_manager
        made = accounts(security)
        cases = {
            role.name: sorted(p.action.name for p in role.permissions if p.resource.name == "Cases")
            for role in security.get_all_roles()
        }
        os.environ["FRAUDSTREAM_LOGIN_USERS"] = json.dumps(asked["users_later"])
        get_settings.cache_clear()
        security.sync_roles()
        later = accounts(security)
    print(json.dumps({"logins": logins, "accounts": made, "cases": cases, "accounts_later": later}))


def accounts(security: Any) -> dict[str, list[str]]:
    """The roles of each active account."""
    return {user.username: [role.name for role in user.roles] for user in security.get_all_users() if user.active}


if __name__ == "__main__":
    main()
