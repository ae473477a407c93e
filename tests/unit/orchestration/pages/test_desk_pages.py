"""The page Cases: who may use it, what it shows, what its forms do, and what it refuses."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import AirflowNotFoundException
from fastapi.testclient import TestClient
from fraudstream.cases.events import ASSIGNED, ESCALATED, NOTE
from fraudstream.errors import KafkaUnavailable, LakeUnavailable
from fraudstream.orchestration.pages import desk, desk_access, sensor_state
from fraudstream.settings import Settings

from tests.fakes.desk import FakeDeskViews
from tests.fakes.desk_pages import Users, desk_pages
from tests.fakes.lakes import new_lake

ATTACK = "\"'><script>alert(1)</script>"
ID = {"id": "case-1"}


class Site:
    """The pages with topics and a lake in memory."""

    def __init__(self, views: FakeDeskViews, client: TestClient, users: Users) -> None:
        self.views = views
        self.client = client
        self.users = users

    def token(self, path: str = "/desk-case?id=case-1") -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.client.get(path).text)
        return found[1] if found else ""

    def act(self, **fields: Any) -> Any:
        sent = {"sec-fetch-site": "same-origin", "origin": "http://testserver"} | fields.pop("headers", {})
        headers = {name: value for name, value in sent.items() if value}
        data = {"token": self.token(), "case": "case-1", "reason": "She called."} | fields
        return self.client.post("/desk-act", data=data, headers=headers, follow_redirects=False)


@pytest.fixture
def site() -> Iterator[Site]:
    views, users = FakeDeskViews(), Users("ana")
    views.add("case-1", amount=123_45)
    with desk_pages(views, new_lake(), Settings(desk_users=["ana", "ben"]), users) as app:
        yield Site(views, TestClient(app), users)


def test_the_queue_lists_open_cases_and_a_case_has_its_time_line(site: Site) -> None:
    site.views.add("case-2", nameOrig="C7")
    site.views.event("case-2", ESCALATED, "audit", "nobody answered")
    site.views.add("case-3")
    site.views.answer("case-3", "REPORTED_FRAUD")
    text = site.client.get("/desk").text
    assert "2 cases, 182,106.88 at stake, page 1 of 1" in text
    assert re.findall(r'href="desk-case\?id=([^"]+)"', text) == ["case-1", "case-2"]
    counted = re.search(r'escalated: <a href="([^"]+)">1</a>', text)
    assert counted is not None
    of_state = site.client.get("/" + counted[1].replace("&amp;", "&")).text
    assert re.findall(r'href="desk-case\?id=([^"]+)"', of_state) == ["case-2"]
    assert re.findall(r'href="desk-case\?id=([^"]+)"', site.client.get("/desk?customer=C7").text) == ["case-2"]
    page = site.client.get("/desk-case", params={"id": "case-2"}).text
    assert "ESCALATED by audit: nobody answered" in page
    assert "the customer has not answered" in page


def test_pages_of_the_queue_keep_the_filter(site: Site) -> None:
    for number in range(60):
        site.views.add(f"more-{number:02}", amount=number, nameOrig="C7")
    text = site.client.get("/desk?customer=C7&sort=amount&state=waiting").text
    assert "60 cases, 17.70 at stake, page 1 of 2" in text
    after = re.search(r'<a href="([^"]+)" rel="next"', text)
    assert after is not None
    text = site.client.get("/" + after[1].replace("&amp;", "&")).text
    assert re.findall(r'href="desk-case\?id=([^"]+)"', text) == [f"more-{number}" for number in range(50, 60)]


@pytest.mark.parametrize("path", ["/desk", "/desk-case?id=case-1"])
def test_who_is_not_named_or_not_authorized_sees_nothing(site: Site, path: str) -> None:
    site.users.name = "eve"
    answer = site.client.get(path)
    assert answer.status_code == 403
    assert "FRAUDSTREAM_DESK_USERS" in answer.text
    assert "case-1" not in answer.text
    site.users.name = "ana"
    site.users.allowed = set()
    assert site.client.get(path).status_code == 403


def test_who_may_see_but_not_act_has_no_forms_and_is_refused(site: Site) -> None:
    token = site.token()
    site.users.allowed = {"GET"}
    for path in ("/desk", "/desk-case?id=case-1"):
        text = site.client.get(path).text
        assert "case-1" in text
        assert "desk-act" not in text.replace('<form action="desk-act" method="post">\n<table>', "")
        assert 'name="token"' not in text
    assert site.act(action="note", token=token).status_code == 403
    site.users.allowed = {"GET", "POST"}
    site.users.name = "eve"
    assert site.act(action="note", token=token).status_code == 403
    assert site.views.events == []


def test_by_default_nobody_may_use_the_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_access, "get_settings", Settings)
    assert site.client.get("/desk").status_code == 403


def test_a_decision_leads_back_to_the_case_which_shows_it(site: Site) -> None:
    answer = site.act(action="decide", outcome="REPORTED_FRAUD")
    assert (answer.status_code, answer.headers["location"]) == (303, "desk-case?id=case-1")
    (written,) = site.views.answers
    assert (written["status"], written["decidedBy"], written["reason"]) == ("REPORTED_FRAUD", "ana", "She called.")
    text = site.client.get("/desk-case", params=ID).text
    assert "decided by ana: She called." in text
    assert "Correct the outcome" in text
    assert "Send notice again" not in text


def test_a_large_amount_takes_two_people(site: Site) -> None:
    site.views.add("large", amount=100_000_000)
    assert site.act(action="decide", case="large", outcome="REPORTED_FRAUD").status_code == 303
    page = {"id": "large"}
    own = site.client.get("/desk-case", params=page).text
    assert "Another person has to confirm it." in own
    assert 'value="confirm"' not in own
    request = str(site.views.events[0].details["request"])
    assert site.act(action="confirm", case="large", request=request).status_code == 409
    site.users.name = "ben"
    assert 'value="confirm"' in site.client.get("/desk-case", params=page).text
    assert site.act(action="confirm", case="large", request=request).status_code == 303
    assert [(answer["decidedBy"], answer["idTransaction"]) for answer in site.views.answers] == [("ana", "large")]


def test_several_cases_at_once_and_the_page_tells_of_each(site: Site) -> None:
    site.views.add("case-2")
    answer = site.act(action="assign", case=["case-1", "case-2", "forged"], assignee="ben")
    assert answer.status_code == 409
    assert "2 done, 1 refused" in answer.text
    assert [(event.id_transaction, event.event_type) for event in site.views.events] == [
        ("case-1", ASSIGNED),
        ("case-2", ASSIGNED),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "", "origin": "https://evil.example"},
    ],
)
def test_a_form_of_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    answer = site.act(action="note", headers=headers)
    assert answer.status_code == 403
    assert f"Origin {headers.get('origin', 'http://testserver')}, Host testserver" in answer.text
    assert site.views.events == []


def test_behind_a_proxy_that_replaces_the_host_a_browser_still_acts(site: Site) -> None:
    headers = {"origin": "https://airflow.example", "host": "10.0.0.7:8080"}
    assert site.act(action="note", headers=headers).status_code == 303
    assert [event.event_type for event in site.views.events] == [NOTE]


def test_without_this_users_own_form_nothing_is_done(site: Site) -> None:
    anas = site.token()
    site.users.name = "ben"
    for token in ("", "forged", anas, anas + "x"):
        answer = site.act(action="note", token=token)
        assert answer.status_code == (422 if token == "" else 403), token
    assert site.views.events == []
    assert site.act(action="note").status_code == 303
    assert [(event.event_type, event.by) for event in site.views.events] == [(NOTE, "ben")]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("older=20000000", 422),
        ("within=1e9", 422),
        ("older=-1e9", 422),
        ("within=nan", 422),
        ("least=99999999999999999999", 422),
        ("older=1000000&within=1000000&most=9999999999999999", 200),
    ],
)
def test_a_filter_beyond_what_a_case_can_have_is_refused_in_words(site: Site, asked: str, status: int) -> None:
    answer = site.client.get(f"/desk?{asked}")
    assert answer.status_code == status
    assert ("detail" in answer.text) is (status == 422)


def test_a_form_that_was_open_too_long_has_to_be_loaded_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = site.token()
    monkeypatch.setattr(desk_access, "FORM_SECONDS", -1)
    answer = site.act(action="note", token=token)
    assert answer.status_code == 403
    assert "reload the page" in answer.text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "decide", "outcome": "NO_RESPONSE"}, 422),
        ({"action": "delete"}, 422),
        ({"action": "note", "reason": " "}, 422),
        ({"action": "note", "case": "forged"}, 409),
        ({"action": "confirm", "request": "forged"}, 409),
        ({"action": "confirm", "case": ["case-1", "case-1"]}, 422),
        ({"action": "note", "case": [f"case-{n}" for n in range(201)]}, 422),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(site: Site, fields: dict[str, Any], status: int) -> None:
    answer = site.act(**fields)
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert (site.views.answers, site.views.events) == ([], [])


def test_no_displayed_field_is_markup(site: Site) -> None:
    site.views.add("x" + ATTACK, nameOrig=ATTACK, nameDest=ATTACK)
    site.views.event("x" + ATTACK, ATTACK, ATTACK, ATTACK, request=ATTACK)
    site.views.event("x" + ATTACK, ASSIGNED, "ana", "r", assignee=ATTACK)
    site.views.event("x" + ATTACK, "DECISION_REQUESTED", ATTACK, ATTACK, request=ATTACK, outcome=ATTACK)
    pages = [
        site.client.get("/desk"),
        site.client.get("/desk", params={"customer": ATTACK, "assignee": ATTACK, "sort": ATTACK, "state": ATTACK}),
        site.client.get("/desk-case", params={"id": "x" + ATTACK}),
        site.client.get("/desk-case", params={"id": ATTACK}),
        site.act(action=ATTACK),
        site.act(action="note", case=[ATTACK, "x" + ATTACK], reason=ATTACK),
    ]
    for answer in pages:
        assert "<script>alert" not in answer.text or answer.headers["content-type"] == "application/json"
        assert (
            "text/html" not in answer.headers["content-type"]
            or "default-src 'none'" in (answer.headers["content-security-policy"])
        )


@pytest.mark.parametrize(
    "query",
    ["least=much", "most=1.234", "older=x", "within=nan", "number=0", "number=x", "customer=" + "x" * 201],
)
def test_a_filter_that_is_none_is_refused(site: Site, query: str) -> None:
    assert site.client.get(f"/desk?{query}").status_code == 422


def test_the_page_says_so_while_topics_are_read_or_brokers_or_lake_are_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise LakeUnavailable("the bucket doesn't answer")

    def no_connection(*_: Any) -> Any:
        raise AirflowNotFoundException("The conn_id `google_cloud_default` isn't defined")

    monkeypatch.setattr(desk, "lake_with_tables", away)
    answer = site.client.get("/desk-case", params=ID)
    assert answer.status_code == 200
    assert "the bucket doesn&#39;t answer" in answer.text
    monkeypatch.setattr(desk, "lake_with_tables", no_connection)
    answer = site.client.get("/desk-case", params=ID)
    assert answer.status_code == 200
    assert "conn_id" in answer.text
    site.views.complete = False
    answer = site.client.get("/desk")
    assert answer.status_code == 503
    assert "still being read" in answer.text
    site.views.complete = True
    token = site.token()
    site.views.refuse = KafkaUnavailable("no broker answers")
    answer = site.act(action="decide", outcome="REPORTED_FRAUD", token=token)
    assert answer.status_code == 409
    assert "no broker answers" in answer.text


def test_a_sensor_that_was_marked_is_no_decision(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimpleNamespace(conf={"cases": [{"idTransaction": "other"}, {"idTransaction": "case-1"}]})
    answers = iter([run, "success", run, "success", run, "deferred", None])
    session = SimpleNamespace(scalar=lambda _: next(answers))
    marked = sensor_state.sensor_state(session, "a run", "case-1", has_outcome=False)
    assert marked is not None
    assert marked.marked
    assert "not a decision" in marked.text
    assert marked.link == "../dags/fraud_confirmation/runs/a%20run/tasks/await_confirmation/mapped/1"
    for _ in range(2):
        other = sensor_state.sensor_state(session, "a run", "case-1", has_outcome=True)
        assert other is not None
        assert not other.marked
    assert sensor_state.sensor_state(session, "a run", "case-1", has_outcome=True) is None
