"""Fraud cases on the running stack: produced, opened in Airflow, answered at the site, and observed until their end."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fraudstream.cases.links.signed import Links, Proposal
from fraudstream.cases.opening import case_of
from fraudstream.dataset import open_source
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.demo.customers import CustomerError, press
from local.supervisor.control import Control
from local.supervisor.part import AT_REST, State
from tests.integration.pipeline import decoded, good_row, paysim, publisher

DAG = "fraud_confirmation"
SENSOR = "await_confirmation"
Transaction = dict[str, Any]


def until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits until a condition is true."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.5)


def settle(control: Control, part: str, wanted: Iterable[State], seconds: float = 120) -> None:
    """Waits until a part of the stack is in one of these states."""
    states = set(wanted)
    until(lambda: any(p.name == part and p.state in states for p in control.status()), seconds, f"{part} gets {states}")


def kill(control: Control, *parts: str) -> None:
    """Kills parts with SIGKILL and waits until they have ended."""
    for part in parts:
        control.command("kill", part)
    for part in parts:
        settle(control, part, AT_REST)


def start(control: Control, *parts: str) -> None:
    """Starts parts and waits until they are ready."""
    for part in parts:
        control.command("start", part)
    for part in parts:
        settle(control, part, {State.READY})


class Run:
    """A run of the DAG, and the cases that it waits for."""

    def __init__(self, airflow: AirflowApi, name: str, transactions: Sequence[Transaction]) -> None:
        self._airflow = airflow
        self.name = name
        self.transactions = list(transactions)
        self._numbers = {transaction["idTransaction"]: n for n, transaction in enumerate(transactions)}
        self._taken = 0

    def take(self, count: int) -> list[Transaction]:
        """Cases of this run that no other test uses."""
        self._taken += count
        assert self._taken <= len(self.transactions), "open more cases at the start"
        return self.transactions[self._taken - count : self._taken]

    def sensors(self) -> dict[str, dict[str, Any]]:
        """The sensor of each case, from Airflow's API."""
        sensors = {t["map_index"]: t for t in self._airflow.tasks(DAG, self.name) if t["task_id"] == SENSOR}
        return {case: sensors[number] for case, number in self._numbers.items() if number in sensors}

    def wait(self, cases: Sequence[Transaction], state: str, seconds: float = 90) -> None:
        """Waits until the sensors of these cases are in a state; none of them may fail before."""
        ids = {case["idTransaction"] for case in cases}
        found: dict[str, str] = {}

        def there() -> bool:
            found.update({case: str(s["state"]) for case, s in self.sensors().items() if case in ids})
            assert not {"failed", "upstream_failed", "up_for_retry"} & set(found.values()), found
            return len(found) == len(ids) and set(found.values()) == {state}

        try:
            until(there, seconds, f"{len(ids)} sensors of run {self.name} get {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}; they are {found}") from None

    def number(self, case: Transaction) -> int:
        """The map index of a case's sensor."""
        return self._numbers[case["idTransaction"]]

    def outcome(self, case: Transaction) -> dict[str, Any]:
        """The return value of a case's sensor."""
        outcome: dict[str, Any] = self._airflow.xcom(DAG, self.name, SENSOR, self.number(case))
        return outcome

    def state(self) -> str:
        """The state of the run."""
        return self._airflow.state(DAG, self.name)


class Desk:
    """Opens cases for the bank and answers them for customers."""

    def __init__(self, settings: Settings, airflow: AirflowApi, folder: Path) -> None:
        self.settings = settings
        self._airflow = airflow
        self._folder = folder
        self._links = Links(settings)
        self._browser = httpx.Client(timeout=40)

    def produce(self, count: int) -> list[Transaction]:
        """Produces this many frauds of a new file; returns them as they are in the topic."""
        return self.produce_rows([good_row(number, fraud=1) for number in range(1, count + 1)])

    def produce_rows(self, rows: list[str]) -> list[Transaction]:
        """As :meth:`produce`, with these rows, which must be frauds."""
        path = paysim(rows, self._folder)
        publisher(self.settings, path).run()
        return decoded(self.settings, FRAUD_TRANSACTION, open_source(str(path), None).id_prefix)

    def open(self, transactions: Sequence[Transaction], time_limit: timedelta = timedelta(minutes=30)) -> Run:
        """Opens a run for these frauds, as open_cases does; returns before any sensor waits."""
        now = datetime.now(UTC)
        cases = [case_of(transaction, now, time_limit) for transaction in transactions]
        return Run(self._airflow, self._airflow.trigger(DAG, {"cases": cases}), transactions)

    def link(self, case: Transaction, answer: Proposal) -> str:
        """A link of the case's mail."""
        return self._links.url(case["idTransaction"], answer)

    def answer(self, case: Transaction, answer: Proposal) -> None:
        """Opens the link and presses the button, as a customer does.

        :raises CustomerError: the site doesn't confirm the answer
        """
        press(self._browser, self.link(case, answer), answer)

    def insist(self, case: Transaction, answer: Proposal, seconds: float = 60) -> None:
        """Answers as a customer who tries again until the site confirms the answer."""

        def confirmed() -> bool:
            try:
                self.answer(case, answer)
            except (CustomerError, httpx.TransportError):
                return False
            return True

        until(confirmed, seconds, f"the answer of {case['idTransaction']} is confirmed")

    def answers(self, case: Transaction) -> list[str]:
        """The answers of a case in the topic, in log order."""
        return [str(answer["status"]) for answer in decoded(self.settings, FRAUD_CONFIRMATION, case["idTransaction"])]

    def close(self) -> None:
        """Closes the HTTP client."""
        self._browser.close()
