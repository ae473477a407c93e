"""Times requests to the page "Cases" in the app that Airflow mounts. Arguments: number of cases, the lake's bucket."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient
from fraudstream.desk.queue import Filter
from fraudstream.desk.trace import trace
from fraudstream.desk.views import shared_views
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.table.catalog import CATALOG, Tables
from fraudstream.lake.table.lake import Lake
from fraudstream.orchestration.pages import desk, desk_access
from fraudstream.orchestration.pages.app import app
from fraudstream.settings import get_settings
from itsdangerous import URLSafeTimedSerializer
from pyiceberg.catalog.sql import SqlCatalog

from benchmarks.harness.lake_day import DAY
from benchmarks.harness.outcome import timed

_QUEUE_REQUESTS, _CASE_REQUESTS, _TRACES = 200, 30, 10
_KEEP_JSON = timedelta(days=1)


def _everybody_may() -> None:
    """Replaces Airflow's login, which isn't measured: every request is allowed."""
    app.dependency_overrides[get_user] = lambda: SimpleNamespace(get_name=lambda: "clerk")
    app.dependency_overrides[_get_session] = lambda: SimpleNamespace(scalar=lambda _: None)
    manager = SimpleNamespace(is_authorized_custom_view=lambda **_: True)
    patch.object(desk_access, "get_auth_manager", lambda: manager).start()
    patch.object(desk_access, "_signer", lambda: URLSafeTimedSerializer("a key of the benchmark")).start()


def _pages(client: TestClient, paths: list[str]) -> dict[str, float]:
    def ask(path: str) -> None:
        answer = client.get(path)
        if answer.status_code != 200:
            raise SystemExit(f"{path} answers {answer.status_code}: {answer.text[:500]}")

    return _measured(ask, paths)


def _traces(lake: Lake, ids: list[str]) -> dict[str, float]:
    def ask(case: str) -> None:
        line = trace(get_settings(), lake, case)
        found = {step.what for step in line.steps}
        if not {"file row", "record"} <= found or not any("csv" in step.place for step in line.steps):
            raise SystemExit(f"the time line of {case} has only {found}: {line.to_dict()}")

    return _measured(ask, ids)


def _measured(ask: Callable[[str], None], what: list[str]) -> dict[str, float]:
    taken = []
    for one in what:
        started = time.perf_counter()
        ask(one)
        taken.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {"requests": len(taken), "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}


if __name__ == "__main__":
    cases, bucket = int(sys.argv[1]), sys.argv[2]
    get_settings().desk_users = ["clerk"]
    _everybody_may()
    started = time.perf_counter()
    views = shared_views(get_settings())
    while not views.wait(1) or len(views.index) < cases:
        if time.perf_counter() - started > 120:
            raise SystemExit(f"{len(views.index)} of {cases} cases are in the index after 120 s")
    index_seconds = time.perf_counter() - started
    found = views.index.queue(Filter(rows=cases), datetime.now(UTC))
    ids = [case.id for case in found.cases]
    # The generated cases of the lake are in partition 0, so its progress there is beyond the offsets of other cases. A
    # trace of a case in partition 0 would therefore not look for the record in the topic.
    traced = [case for case in ids if (known := views.index.case(case)) and known.place.number != 0][:_TRACES]
    with tempfile.TemporaryDirectory() as name:
        catalog = SqlCatalog(CATALOG, uri=f"sqlite:///{name}/catalog.db", warehouse=Path(name).as_uri())
        lake = Lake(Store.connect(bucket), Tables(catalog, bucket))
        patch.object(desk, "lake_with_tables", lambda _: lake).start()
        client = TestClient(app)
        last = cases // 50
        queues = {
            "queue by deadline": [f"/desk?number={n % last + 1}" for n in range(_QUEUE_REQUESTS)],
            "queue by amount": [f"/desk?sort=-amount&number={last - n % last}" for n in range(_QUEUE_REQUESTS)],
            "queue filtered": [f"/desk?least={n}&most=1000000&older=0&within=100" for n in range(_QUEUE_REQUESTS)],
        }
        of_cases = [f"/desk-case?id={case}" for case in ids[:: cases // _CASE_REQUESTS][:_CASE_REQUESTS]]
        client.get("/desk")
        client.get(of_cases[0])
        with timed() as work:
            pages = {what: _pages(client, paths) for what, paths in queues.items()}
            pages["case, all JSON"] = _pages(client, of_cases)
            pages["trace, all JSON"] = _traces(lake, traced)
            for folder in FOLDERS:
                compact(lake, folder, DAY, keep_json=_KEEP_JSON)
            pages["case, compacted"] = _pages(client, of_cases)
            pages["trace, compacted"] = _traces(lake, traced)
            work.items = sum(int(page["requests"]) for page in pages.values())
            work.also = {"pages": pages, "cases": found.total, "index_seconds": index_seconds}
    views.close()
