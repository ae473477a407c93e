"""The page Cases on the stack: it agrees with the topics; a decision ends the case's sensor and reaches the lake."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from confluent_kafka import TopicPartition
from fraudstream import money
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.answers.staff import staff_decisions
from fraudstream.cases.events import PAGE_OPENED
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, Partition
from fraudstream.lake.audit.audit import LAKE, audit
from fraudstream.lake.audit.position import Position
from fraudstream.lake.audit.topics import TOPICS
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.settings import Settings
from playwright.sync_api import Browser, Page, expect

from local import topics
from local.stack.environment import airflow_login
from local.stack.ports import Ports
from tests.integration.confirmations import Run, until
from tests.integration.pipeline import consumer, decoded, in_lake, with_tables

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
#: Limit from the POST of a form to the end of the sensor.
SECONDS = 5.0
REASON = "She <b>called</b>."


@pytest.fixture(scope="module")
def url(run: Run) -> str:
    """Address of the pages; waits until they know the run's cases."""
    return f"{Ports.from_environment().url('airflow')}/fraudstream"


@pytest.fixture(scope="module")
def seconds() -> list[float]:
    """Seconds from a case's decision to the end of its sensor, for each decision of these tests."""
    return []


def token_of(user: str) -> str:
    """The API token of one of the stack's users."""
    login = {"username": user, "password": airflow_login()[1]}
    answer = httpx.post(f"{Ports.from_environment().url('airflow')}/auth/token", json=login, timeout=60)
    return f"Bearer {answer.json()['access_token']}"


@contextmanager
def logged_in(url: str, user: str) -> Iterator[httpx.Client]:
    """An HTTP client of one of the stack's users, which sends requests as a browser on a page of this server does."""
    headers = {"Sec-Fetch-Site": "same-origin", "Authorization": token_of(user)}
    with httpx.Client(base_url=url, timeout=60, headers=headers) as client:
        yield client


def field(text: str, name: str) -> str:
    """The value of a hidden field on a page."""
    return text.split(f'name="{name}" value="', 1)[1].split('"', 1)[0]


def ended(run: Run, case: dict[str, Any], since: datetime) -> float:
    """Seconds until a case's sensor succeeded."""
    run.wait([case], "success", seconds=30)
    return (datetime.fromisoformat(run.sensors()[case["idTransaction"]]["end_date"]) - since).total_seconds()


def ends(settings: Settings) -> dict[Partition, int]:
    """End offsets of the topics that the audit reads."""
    with topics.reader(settings) as reader:
        return {
            Partition(topic, number): reader.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
            for topic in TOPICS
            for number in topics.partitions(reader, topic)
        }


def write_lake(settings: Settings, lake: Store) -> None:
    """Runs the task write_lake of the DAG consume_fraud_confirmations until it is caught up."""
    chain = AppendingChain(lake, FOLDER_OF[FRAUD_CONFIRMATION])
    sink = JsonSink(chain, LINES_OF[FRAUD_CONFIRMATION], flush_rows=1_000, flush_seconds=1.0)
    consumer(settings, FRAUD_CONFIRMATION, "write_lake", FirstAnswers(sink, also=staff_decisions)).run()


def test_the_queue_agrees_with_the_topic_and_a_decision_ends_the_sensor_and_is_in_lake_and_audit(
    airflow_ui: Page, run: Run, customer: str, settings: Settings, lake: Store, seconds: list[float]
) -> None:
    airflow_ui.goto(Ports.from_environment().url("airflow"))
    airflow_ui.get_by_role("link", name="Cases", exact=True).click()
    page = airflow_ui.frame_locator("iframe[title=Cases]")
    page.get_by_label("Customer").fill(customer)
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("4 cases, 1,004,601.75 at stake, page 1 of 1")).to_be_visible()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(4)  # the browser may have shown the line above before the table
    shown = {row.locator("a").first.inner_text(): row.locator(".number").inner_text() for row in rows.all()}
    waiting = [run.transactions[number] for number in (0, 2, 3, 4)]
    assert shown == {str(case["idTransaction"]): money.shown(case["amount"]) for case in waiting}

    case = run.transactions[2]
    before = ends(settings)
    page.get_by_role("link", name=case["idTransaction"], exact=True).click()
    expect(page.get_by_role("heading", name="Transfer of 1,200.50")).to_be_visible()
    for step in ("transaction, PENDING", "fraud notice to", "NOTICE_ACCEPTED by"):
        expect(page.get_by_text(step).first).to_be_visible()
    page.get_by_label("Reason", exact=True).fill(REASON)
    posted = datetime.now(UTC)
    page.get_by_role("button", name="Decide", exact=True).click()
    expect(page.get_by_text(f"decided by admin: {REASON}").first).to_be_visible()
    seconds.append(ended(run, case, posted))
    (answer,) = decoded(settings, FRAUD_CONFIRMATION, case["idTransaction"])
    assert (answer["channel"], answer["decidedBy"], answer["reason"]) == ("STAFF", "admin", REASON)
    outcome = run.outcome(case)
    place = f"topic fraud_confirmation, partition {outcome['partition']}, offset {outcome['offset']}"
    expect(page.get_by_text(place).first).to_be_visible()

    write_lake(settings, lake)
    in_folder = in_lake(lake, "fraud_confirmation", case["idTransaction"], "status", "decidedBy")
    assert sorted(in_folder, key=str) == [
        (case["idTransaction"], "PENDING", None),
        (case["idTransaction"], answer["status"], "admin"),
    ]
    report = audit(settings, with_tables(lake), position=Position(before))
    partition = Partition(FRAUD_CONFIRMATION, outcome["partition"])
    (line,) = (line for line in report.lines if (line.partition, line.target) == (partition, LAKE))
    assert (line.expected, line.found, line.behind, line.ok) == (1, 1, 0, True)
    assert report.topics.decisions > 0
    assert {run.transactions[3]["idTransaction"]} == set(report.topics.open) & {
        case["idTransaction"],
        run.transactions[3]["idTransaction"],
    }


def test_two_people_decide_a_large_amount(run: Run, url: str, settings: Settings, seconds: list[float]) -> None:
    case = run.transactions[4]["idTransaction"]
    with logged_in(url, "admin") as admin, logged_in(url, "clerk") as clerk:

        def act(client: httpx.Client, **fields: str) -> httpx.Response:
            token = field(client.get("/desk-case", params={"id": case}).text, "token")
            return client.post("/desk-act", data={"token": token, "case": case, **fields})

        asked = act(admin, action="decide", outcome="REPORTED_FRAUD", reason="branch saw the customer")
        assert asked.status_code == httpx.codes.SEE_OTHER
        request = field(clerk.get("/desk-case", params={"id": case}).text, "request")
        event = decoded(settings, CASE_EVENT, case)[-1]
        assert (event["eventType"], event["by"]) == ("DECISION_REQUESTED", "admin")
        assert request in str(event["details"])
        assert act(admin, action="confirm", request=request).status_code == httpx.codes.CONFLICT
        assert decoded(settings, FRAUD_CONFIRMATION, case) == []
        posted = datetime.now(UTC)
        assert act(clerk, action="confirm", request=request).status_code == httpx.codes.SEE_OTHER
    (answer,) = decoded(settings, FRAUD_CONFIRMATION, case)
    assert (answer["decidedBy"], answer["reason"]) == ("admin", "branch saw the customer")
    event = decoded(settings, CASE_EVENT, case)[-1]
    assert (event["eventType"], event["by"]) == ("DECISION_CONFIRMED", "clerk")
    seconds.append(ended(run, run.transactions[4], posted))


def test_a_decision_ends_the_sensor_within_five_seconds(seconds: list[float]) -> None:
    """Checks the faster of two: during one of them another program of this machine may have used the CPU."""
    print(f"from the POST to the sensor's success: {', '.join(f'{one:.1f} s' for one in seconds)}")
    assert min(seconds) < SECONDS


def test_that_a_customer_opened_the_page_is_an_event_of_the_case(run: Run, settings: Settings) -> None:
    case = run.transactions[1]["idTransaction"]

    def opened() -> list[object]:
        return [event["by"] for event in decoded(settings, CASE_EVENT, case) if event["eventType"] == PAGE_OPENED]

    until(lambda: bool(opened()), 10, "the event of the opened page")
    assert opened() == ["site"]


def test_a_user_without_the_role_sees_no_case(browser: Browser, run: Run, url: str) -> None:
    case = run.transactions[3]["idTransaction"]
    assert httpx.get(f"{url}/desk", timeout=60).status_code == httpx.codes.UNAUTHORIZED
    context = browser.new_context(extra_http_headers={"Authorization": token_of("visitor")})
    page = context.new_page()
    for path in ("/desk", f"/desk-case?id={case}"):
        answer = page.goto(url + path)
        assert answer is not None
        assert answer.status == httpx.codes.FORBIDDEN
        expect(page.get_by_text("user visitor may not use the page Cases")).to_be_visible()
        assert page.locator("form, table").count() == 0
        assert run.transactions[3]["nameOrig"] not in page.content()
    context.close()


def test_what_is_posted_without_the_role_or_from_elsewhere_or_for_no_case_is_refused(
    run: Run, url: str, settings: Settings
) -> None:
    case = run.transactions[3]["idTransaction"]
    before = decoded(settings, CASE_EVENT, case)
    with logged_in(url, "visitor") as visitor, logged_in(url, "clerk") as clerk, logged_in(url, "admin") as admin:
        token = field(clerk.get("/desk").text, "token")
        fields = {"token": token, "case": case, "action": "note", "reason": "forged"}
        other = {"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example"}
        refused = {
            "no role": visitor.post("/desk-act", data=fields),
            "another site": clerk.post("/desk-act", data=fields, headers=other),
            "a forged token": clerk.post("/desk-act", data=fields | {"token": "forged"}),
            "another user's token": admin.post("/desk-act", data=fields),
        }
        assert {what: answer.status_code for what, answer in refused.items()} == dict.fromkeys(refused, 403)
        assert clerk.post("/desk-act", data=fields | {"token": ""}).status_code == httpx.codes.UNPROCESSABLE_ENTITY
        for forged in ("<script>", "../" + case, case + "\0", case.upper() + "x"):
            answer = clerk.post("/desk-act", data=fields | {"case": forged})
            assert answer.status_code == httpx.codes.CONFLICT, forged
            assert "<script>:" not in answer.text
            assert clerk.get("/desk-case", params={"id": forged}).status_code == httpx.codes.NOT_FOUND
    assert decoded(settings, CASE_EVENT, case) == before
