"""Logins per user: include/airflow/webserver_config.py in the real FAB auth manager, with a fake Google in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
USERS = {"Me@gmail.com": "Admin", "clerk@bank.example": "Clerk", "gone@bank.example": "Viewer"}
BANK = {"email_verified": True, "hd": "bank.example"}
#: Claims of Google's ID token → whether the user may log in.
LOGINS: dict[str, tuple[dict[str, Any], bool]] = {
    "listed": ({"email": "me@gmail.com", "email_verified": True}, True),
    "of a Workspace domain": ({"email": "clerk@bank.example"} | BANK, True),
    "another": ({"email": "gone@bank.example"} | BANK, True),
    "not listed": ({"email": "stranger@bank.example"} | BANK, False),
    "not verified": ({"email": "me@gmail.com", "email_verified": False}, False),
    "of a domain that Google does not vouch for": ({"email": "clerk@bank.example", "email_verified": True}, False),
    "without an address": ({}, False),
    "for another client": ({"email": "me@gmail.com", "email_verified": True, "aud": "other"}, False),
    "of another issuer": ({"email": "me@gmail.com", "email_verified": True, "iss": "https://evil.example"}, False),
    "of another login": ({"email": "me@gmail.com", "email_verified": True, "nonce": "other"}, False),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The output of tests/fakes/logins.py."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__FAB__CONFIG_FILE": str(ROOT / "include/airflow/webserver_config.py"),
        "FRAUDSTREAM_LOGIN_CLIENT_ID": "client",
        "FRAUDSTREAM_LOGIN_CLIENT_SECRET": "secret",
        "FRAUDSTREAM_LOGIN_USERS": json.dumps(USERS),
    }
    asked = {"logins": [claims for claims, _ in LOGINS.values()], "users_later": {"me@gmail.com": "Admin"}}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.logins"],
        input=json.dumps(asked),
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result | {"log": done.stdout + done.stderr}


def test_only_people_of_the_setting_whom_google_vouches_for_get_in(seen: dict[str, Any]) -> None:
    found = dict(zip(LOGINS, (login["logged_in"] for login in seen["logins"]), strict=True))
    assert found == {name: expected for name, (_, expected) in LOGINS.items()}


def test_each_gets_an_account_of_their_own_with_the_role_of_the_setting(seen: dict[str, Any]) -> None:
    assert seen["accounts"] == {
        "me@gmail.com": ["Admin"],
        "clerk@bank.example": ["Clerk"],
        "gone@bank.example": ["Viewer"],
    }


def test_who_leaves_the_setting_loses_the_account_at_the_next_start(seen: dict[str, Any]) -> None:
    assert seen["accounts_later"] == {"me@gmail.com": ["Admin"]}


def test_clerks_and_admins_have_the_permissions_of_the_page_cases(seen: dict[str, Any]) -> None:
    both = ["can_create", "can_read"]
    assert {role: actions for role, actions in seen["cases"].items() if actions} == {"Admin": both, "Clerk": both}


def test_the_page_offers_google_and_asks_for_no_password(seen: dict[str, Any]) -> None:
    pages = {login["page"] for login in seen["logins"] if login["page"]}
    assert pages
    for page in pages:
        assert "google" in page.lower()
        assert 'type="password"' not in page


def test_google_sends_people_back_to_the_end_of_the_tunnel(seen: dict[str, Any]) -> None:
    """The address that docs/deploy.md tells operators to enter at Google."""
    (address,) = {login["redirect_uri"] for login in seen["logins"]}
    assert address == "http://localhost:8080/auth/oauth-authorized/google"
    assert f"`{address}`" in (ROOT / "docs/deploy.md").read_text()


def test_the_log_says_why_somebody_was_refused(seen: dict[str, Any]) -> None:
    assert "login refused: 'stranger@bank.example' is not in FRAUDSTREAM_LOGIN_USERS" in seen["log"]
    assert "login refused: 'clerk@bank.example' is not an address that Google vouches for" in seen["log"]
