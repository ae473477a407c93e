"""The page Cases with topics and a lake in memory, and with test users instead of Airflow's login."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI
from fraudstream.desk.actions import Desk
from fraudstream.lake.table.lake import Lake
from fraudstream.orchestration.pages import desk, desk_access
from fraudstream.orchestration.pages.app import app
from fraudstream.settings import Settings
from itsdangerous import URLSafeTimedSerializer

from tests.fakes.desk import EventsOf, FakeDeskViews


class Users:
    """The logged-in user, and the methods that the auth manager allows for the custom view Cases."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.allowed = {"GET", "POST"}

    def is_authorized_custom_view(self, *, method: str, resource_name: str, user: object) -> bool:
        return method in self.allowed and resource_name == "Cases"


@contextmanager
def desk_pages(views: FakeDeskViews, lake: Lake, settings: Settings, users: Users) -> Iterator[FastAPI]:
    """The app of the pages."""
    signer = URLSafeTimedSerializer("a-key-of-these-tests")
    replaced: list[tuple[object, str, object]] = [
        (desk_access, "get_auth_manager", lambda: users),
        (desk_access, "get_settings", lambda: settings),
        (desk_access, "_signer", lambda: signer),
        (desk, "shared_views", lambda _: views),
        (desk, "_desk", lambda: Desk(settings, views, views, EventsOf(views))),
        (desk, "lake_with_tables", lambda _: lake),
        (desk, "_topics", lambda: SimpleNamespace(partitions=lambda topic: [0, 1, 2])),
    ]
    with ExitStack() as stack:
        for module, name, value in replaced:
            stack.enter_context(patch.object(module, name, value))
        app.dependency_overrides[_get_session] = lambda: SimpleNamespace(scalar=lambda _: None)
        app.dependency_overrides[get_user] = lambda: SimpleNamespace(get_name=lambda: users.name)
        stack.callback(app.dependency_overrides.clear)
        yield app
