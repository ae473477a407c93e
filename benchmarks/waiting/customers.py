"""Opens cases with the pipeline's classes, and answers them through the site: at a steady rate, or all at once."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from fraudstream.cases.links.signed import Links, Proposal
from fraudstream.cases.opening import FOLDER as CASES_FOLDER
from fraudstream.cases.opening import CaseSink
from fraudstream.dataset.generator import plan, write_file
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.orchestration.runs import DAG_ID
from fraudstream.settings import Settings

from benchmarks.harness.dataset import lake, upload
from benchmarks.harness.rounds import BenchmarkFailed, run
from benchmarks.harness.stack import FOLDER
from benchmarks.harness.topics import committed_ids
from benchmarks.waiting.airflow import Airflow

RATE = 20
_CLIENTS = 16


class Customers:
    """Produces frauds, opens their cases, and answers them."""

    def __init__(self, environment: Mapping[str, str], settings: Settings, airflow: Airflow) -> None:
        self._environment = environment
        self._settings = settings
        self._airflow = airflow
        self._links = Links(settings)
        self._files = 0
        self.site = environment["FRAUDSTREAM_CONFIRMATION_BIND"]

    def open(self, count: int) -> list[str]:
        """Opens this many new cases with CaseSink and the pace of the settings; returns their ids.

        :raises BenchmarkFailed: another number of cases was opened
        """
        self._files += 1
        store = lake(self._environment)
        path = FOLDER / f"frauds-{count}.csv"
        write_file(path, plan(count, frauds=count), 1, lambda _: None)
        run("benchmarks.ours.produce", [upload(store, path, f"confirmation-{self._files}.csv")], self._environment)
        opened: list[str] = []

        def open_run(run_id: str, conf: dict[str, Any]) -> None:
            self._airflow.open(DAG_ID, run_id, conf)
            opened.extend(case["idTransaction"] for case in conf["cases"])

        settings = self._settings
        sink = CaseSink(
            ObjectChain(store, CASES_FOLDER),
            open_run,
            time_limit=settings.confirmation_time_limit,
            cases_per_second=settings.confirmation_cases_per_second,
        )
        codec = Codec.for_topic(FRAUD_TRANSACTION, settings)
        Subscription(settings, FRAUD_TRANSACTION, "open_cases", sink, codec, until="caught_up").run()
        if len(opened) != count:
            raise BenchmarkFailed(f"{len(opened)} cases were opened of {count} frauds")
        return opened

    def replay(self, rows: int, frauds: int, *, rows_per_second: int = 0) -> None:
        """Produces a file with this many frauds with the pipeline's DAGs, which open cases, mail and write the lake."""
        path = FOLDER / f"paysim-{rows}-{frauds}.csv"
        write_file(path, plan(rows, frauds=frauds), 1, lambda _: None)
        source = upload(lake(self._environment), path, path.name)
        self._airflow.api.pause(DAG_ID, False)
        self._airflow.api.pause("consume_fraud_transactions", False)
        conf = {"source": source, "replay": source, "rows_per_second": rows_per_second}
        self._airflow.api.trigger("produce_transactions", conf)

    def frauds(self) -> list[str]:
        """The ids of all frauds in topic fraud_transaction."""
        return [case for part in committed_ids(self._environment, FRAUD_TRANSACTION) for case in part.to_pylist()]

    def answer(self, cases: Sequence[str], rate: float = math.inf, answer: Proposal = "fraud") -> dict[str, float]:
        """Posts an answer for each case; returns the time of each click, in seconds since 1970.

        All answers are acknowledged when this method returns.

        :param rate: answers per second; infinite: as fast as possible
        :raises BenchmarkFailed: the site didn't accept an answer
        """
        clicks: dict[str, float] = {}
        started = time.monotonic()
        with httpx.Client(timeout=60) as browser, ThreadPoolExecutor(_CLIENTS) as clients:

            def press(number: int, case: str) -> None:
                time.sleep(max(0.0, started + number / rate - time.monotonic()))
                target = self._links.url(case, answer).split("/", 3)[3]
                fields = {"page": self._links.page_token(case), "answer": answer}
                clicks[case] = time.time()
                pressed = browser.post(f"http://{self.site}/{target}", data=fields)
                if not pressed.has_redirect_location:
                    raise BenchmarkFailed(f"the site answers {pressed.status_code} to a button; expected a redirect")

            list(clients.map(press, range(len(cases)), cases))
        return clicks
