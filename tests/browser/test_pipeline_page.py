"""The page "Pipeline" in Airflow's UI: its numbers agree with topics, lake and mail log, and it needs a login."""

import time
from collections import Counter

import httpx
import pytest
from confluent_kafka import TopicPartition
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.stream.names import FOLDERS, MAILS
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings
from playwright.sync_api import Page, expect

from local import topics
from local.demo.airflow_api import AirflowApi
from local.stack.ports import Ports
from tests.integration.confirmations import Run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
TOPICS = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION, FRAUD_CONFIRMATION)
#: Lags of groups in which no earlier test reads during this test.
LAGS = tuple(
    (role, topic)
    for topic in (FRAUD_TRANSACTION, FRAUD_CONFIRMATION)
    for role in ("write_lake", "send_mail", *(["open_cases"] if topic == FRAUD_TRANSACTION else []))
)
FOLDER_NAMES = {MAILS: "mail log"}


@pytest.fixture(scope="module")
def url(airflow: AirflowApi) -> str:
    """Airflow's address."""
    return Ports.from_environment().url("airflow")


def lag(committed: dict[int, int], ends: dict[int, int], last: dict[int, int]) -> int:
    """The lag of a group: in partitions with records for it, all offsets up to the end, with transaction markers."""
    starts = {number: committed.get(number, 0) for number in ends}
    return sum(end - starts[number] for number, end in ends.items() if last.get(number, -1) >= starts[number])


def expected(settings: Settings) -> dict[str, int]:
    """The numbers that the page must show, by section, heading and name, from topics, lake and mail log."""
    found: dict[str, int] = {}
    ids: dict[str, set[str]] = {}
    ends: dict[str, dict[int, int]] = {}
    last: dict[str, dict[int, int]] = {}
    with topics.reader(settings) as reader:
        for topic in TOPICS:
            ends[topic] = {
                number: reader.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
                for number in topics.partitions(reader, topic)
            }
            found[f"Produced|{topic}|end offset"] = sum(ends[topic].values())
        for topic in (FRAUD_TRANSACTION, FRAUD_CONFIRMATION):
            last[topic] = {m.partition(): m.offset() for m in topics.records(reader, settings, topic)}
            rows = [rows for rows, _ in topics.decoded(reader, settings, topic)]
            ids[topic] = {one for batch in rows for one in batch.column("idTransaction").to_pylist()}
    for role, topic in LAGS:
        committed = topics.committed(settings, f"{role}-{topic}", topic)
        found[f"Consumer groups|{role} of {topic}|lag, records"] = lag(committed, ends[topic], last[topic])
    found["Cases|Waiting|all"] = len(ids[FRAUD_TRANSACTION] - ids[FRAUD_CONFIRMATION])
    lake = Lake.connect(settings)
    for folder in FOLDERS:
        rows = sum(table.num_rows for table in read_rows(lake, folder, ["offset"]))
        found[f"Lake|Rows|{FOLDER_NAMES.get(folder, folder)}"] = rows
    mails: Counter[tuple[str, str]] = Counter()
    for table in read_rows(lake, MAILS, ["topic", "status"]):
        mails.update(zip(table["topic"].to_pylist(), table["status"].to_pylist(), strict=True))
    return found | {f"Mail log|{topic}|{status}": lines for (topic, status), lines in mails.items()}


def numbers(airflow_ui: Page, url: str) -> dict[str, str]:
    """All numbers of the page by section, heading and name, from its machine-readable form."""
    airflow_ui.goto(f"{url}/fraudstream/pipeline")
    found: dict[str, str] = airflow_ui.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('section dl > div')].flatMap(group =>
            [...group.querySelectorAll('.figure')].map(figure => [
                [group.closest('section').ariaLabel, group.querySelector('dt').textContent, figure.dataset.name]
                    .join('|'),
                figure.querySelector('[data-raw]').dataset.raw,
            ])))"""
    )
    return found


def test_nobody_reads_it_without_a_login(url: str) -> None:
    assert httpx.get(f"{url}/fraudstream/pipeline", timeout=60).status_code == httpx.codes.UNAUTHORIZED


def test_it_is_in_the_navigation_has_the_theme_that_is_chosen_there_and_its_numbers_are_links(
    airflow_ui: Page, url: str
) -> None:
    airflow_ui.goto(url)
    airflow_ui.get_by_role("link", name="Pipeline", exact=True).click()
    page = airflow_ui.frame_locator("iframe[title=Pipeline]")
    expect(page.get_by_role("heading", name="Pipeline", exact=True)).to_be_visible()
    body = page.locator("body")
    for theme, ground in (("dark", "rgb(17, 19, 23)"), ("light", "rgb(255, 255, 255)")):
        airflow_ui.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        expect(body).to_have_css("background-color", ground)
    page.get_by_role("region", name="Airflow", exact=True).get_by_role("link").first.click()
    airflow_ui.wait_for_url(f"{url}/jobs")  # the whole page, not only the frame


def test_its_numbers_are_those_of_topics_lake_and_mail_log(
    airflow_ui: Page, url: str, settings: Settings, run: Run
) -> None:
    until = time.monotonic() + 120
    while True:  # the page shows the last sample; samples are taken every 15 s
        wanted = expected(settings)
        found = numbers(airflow_ui, url)
        if all(found.get(place) == str(number) for place, number in wanted.items()):
            break
        assert time.monotonic() < until, {place: (number, found.get(place)) for place, number in wanted.items()}
        airflow_ui.wait_for_timeout(1_000)
    assert wanted["Mail log|fraud_transaction|sent"] >= len(run.transactions)
    assert float(found["Consumer groups|open_cases of fraud_transaction|lag"]) > 0  # `run` was opened without it
