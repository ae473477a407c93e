"""The page Cases in a real Chromium, with topics and a lake in memory: forms, untrusted texts, hostile sites."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fraudstream.cases.events import ASSIGNED, ESCALATED, NOTE
from fraudstream.settings import Settings
from fraudstream.site.serving import server
from playwright.sync_api import Page, expect

from tests.fakes.desk import FakeDeskViews
from tests.fakes.desk_pages import Users, desk_pages
from tests.fakes.lakes import new_lake

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]
ATTACK = "\"'><img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serves an app on a loopback port; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = server(app)
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        while not serving.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            serving.should_exit = True
            thread.join(10)


@pytest.fixture
def views() -> FakeDeskViews:
    return FakeDeskViews()


@pytest.fixture
def address(views: FakeDeskViews) -> Iterator[str]:
    with (
        desk_pages(views, new_lake(), Settings(desk_users=["ana"]), Users("ana")) as app,
        served(app) as url,
    ):
        yield url


def test_a_person_filters_the_queue_assigns_two_cases_and_decides_one(
    views: FakeDeskViews, address: str, visit: Visit
) -> None:
    for number in range(4):
        views.add(f"case-{number}", amount=100_00 * (number + 1), nameOrig=f"C{number % 2}")
    page = visit(f"{address}/desk", 1000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    page.get_by_label("Amount from").fill("200")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("3 cases, 900.00 at stake, page 1 of 1")).to_be_visible()
    for case in ("case-1", "case-3"):
        page.get_by_label(f"choose {case}").check()
    page.get_by_label("Reason").fill("same branch")
    page.get_by_label("User").fill("ben")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_role("heading", name="2 done, 0 refused")).to_be_visible()
    assert [(event.id_transaction, event.event_type, event.by) for event in views.events] == [
        ("case-1", ASSIGNED, "ana"),
        ("case-3", ASSIGNED, "ana"),
    ]
    page.get_by_role("link", name="All cases").click()
    page.get_by_role("link", name="case-3", exact=True).click()
    page.get_by_label("Outcome").select_option("not fraud")
    page.get_by_label("Reason", exact=True).fill("The customer called.")
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_text("decided by ana: The customer called.").first).to_be_visible()
    (answer,) = views.answers
    assert (answer["idTransaction"], answer["status"]) == ("case-3", "REPORTED_NOT_FRAUD")


def test_the_queue_fits_beside_airflows_navigation_in_a_window_of_1000_pixels(
    views: FakeDeskViews, address: str, visit: Visit
) -> None:
    views.add("e8242706ca-000001403", amount=3_003_372_74, nameOrig="C1231006815")
    views.answer("e8242706ca-000001403", "NO_RESPONSE")
    page = visit(f"{address}/desk?state=answered", 936)
    expect(page.get_by_text("answered: no response, the time was up")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 936


def test_text_of_others_never_runs(views: FakeDeskViews, address: str, visit: Visit) -> None:
    case = "case-1" + ATTACK
    views.add(case, nameOrig=ATTACK, nameDest=ATTACK)
    views.event(case, NOTE, ATTACK, ATTACK)
    views.event(case, ESCALATED, ATTACK, ATTACK)
    views.event(case, ASSIGNED, ATTACK, ATTACK, assignee=ATTACK)
    views.event(case, "DECISION_REQUESTED", ATTACK, ATTACK, request=ATTACK, outcome="REPORTED_FRAUD")
    page = visit(f"{address}/desk")
    page.get_by_role("link", name=case, exact=True).click()
    expect(page.get_by_text(f"NOTE by {ATTACK}: {ATTACK}")).to_be_visible()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Transfer of 181,983.43")).to_be_visible()
    assert "taken" not in page.title()
    assert page.locator("img, script[src]").count() == 0


def test_a_form_on_another_site_changes_nothing_even_with_a_stolen_token(
    views: FakeDeskViews, address: str, visit: Visit
) -> None:
    views.add("case-1")
    token = visit(f"{address}/desk-case?id=case-1").locator("input[name=token]").first.input_value()
    other = FastAPI()
    fields = {"token": token, "case": "case-1", "action": "note", "reason": "forged"}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())

    @other.get("/")
    def trap() -> HTMLResponse:
        form = f'<form action="{address}/desk-act" method="post">{inputs}<button>Win</button></form>'
        return HTMLResponse(f'<!doctype html><html lang="en"><title>Trap</title>{form}</html>')

    with served(other) as trap_address:
        page = visit(trap_address.replace("127.0.0.1", "localhost"))
        page.get_by_role("button", name="Win").click()
        expect(page.get_by_text("the request comes from another site")).to_be_visible()
    assert views.events == []
