"""GET and POST requests to one process of the confirmation site, against a bare FastAPI handler on the same server."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx
import pyarrow.compute as pc
from fraudstream.cases.links.signed import Links
from fraudstream.dataset.generator import plan, write_file
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.settings import ROOT, Settings
from pydantic import SecretStr

from benchmarks.harness.dataset import lake, upload
from benchmarks.harness.report import CEILING, OURS, Report, reaches
from benchmarks.harness.rounds import WARM_UP, BenchmarkFailed, Figures, Subject, run, run_rounds
from benchmarks.harness.stack import FOLDER
from benchmarks.harness.topics import committed_ids, settings_of
from benchmarks.wrk.requests_file import requests_file
from local.stack.environment import LOGS, STACK
from local.stack.services import BROKERS
from local.supervisor.control import Control

#: More than elsewhere: the brokers' Java handles small batches slowly until it is compiled, and that takes longer than
#: the warm-up.
ROUNDS = 5
_REQUESTS = 10_000
#: Enough connections to keep one process busy while answers wait for the brokers' acknowledgements.
_CONNECTIONS = 256
_SHOW, _BARE_SHOW, _RECORD, _BARE_RECORD = "GET", "bare GET", OURS, CEILING
#: The log of both servers; neither logs its requests.
_LOG = FOLDER / "site.log"


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Posts an answer to each case once. Pages are requested of other cases, which aren't answered."""
    cases = _cases(environment)
    brokers = [part.pid for part in Control(STACK, LOGS).status() if part.name in BROKERS]
    with site(environment, len(cases)) as (ours, address):
        links = Links(_settings(environment))
        page = _page_length(address, links, cases[0])
        with _bare(environment, page) as (bare, bare_address):
            shown = requests_file(links, "GET", cases[:_REQUESTS], "get")
            posts = {
                number: requests_file(links, "POST", chunk, f"post-{number}")
                for number, chunk in _chunks(cases[_REQUESTS:])
            }
            module = "benchmarks.wrk.load"
            subjects = [
                Subject(_SHOW, module, lambda _: [address, shown, _CONNECTIONS, ours, *brokers]),
                Subject(_BARE_SHOW, module, lambda _: [bare_address, shown, _CONNECTIONS, bare, *brokers]),
                Subject(_RECORD, module, lambda number: [address, posts[number], _CONNECTIONS, ours, *brokers]),
                Subject(
                    _BARE_RECORD, module, lambda number: [bare_address, posts[number], _CONNECTIONS, bare, *brokers]
                ),
            ]
            figures = run_rounds(subjects, ROUNDS, environment, say)
    found, different = _answers(environment)
    return _report(figures, page, found, different)


def _report(figures: Mapping[str, Figures], page: int, found: int, different: int) -> Report:
    post, get = (
        figures[name].median / figures[bare].median for name, bare in ((_RECORD, _BARE_RECORD), (_SHOW, _BARE_SHOW))
    )
    sent, cut_off = (ROUNDS + 1) * _REQUESTS, (ROUNDS + 1) * _CONNECTIONS
    served = (("GET", _SHOW), ("bare GET", _BARE_SHOW), ("POST", _RECORD), ("bare POST", _BARE_RECORD))
    latency = {
        label: {key: max(outcome[key] for outcome in figures[name].outcomes) for key in ("p50_ms", "p99_ms", "max_ms")}
        for label, name in served
    }
    cpu = {label: _cpu(figures[name]) for label, name in served}
    return Report(
        "site",
        "POST/s",
        {name: figures[name] for name in (_RECORD, _BARE_RECORD)},
        {
            "POST: 0.25 of the bare handler": reaches(figures[_RECORD], 0.25, figures[_BARE_RECORD]),
            "GET: 0.5 of the bare handler": reaches(figures[_SHOW], 0.5, figures[_BARE_SHOW]),
            "one record of each answer": found == different >= sent - cut_off,
        },
        notes=[
            f"GET: {figures[_SHOW].median:,.0f}/s, bare {figures[_BARE_SHOW].median:,.0f}/s, {get:.2f} of it; "
            f"POST: {post:.2f} of it. One process, {_CONNECTIONS} connections, pages of {page:,} bytes.",
            *(f"{label}, ms, worst round: {figure}" for label, figure in latency.items()),
            *(f"{label}, CPU of a request, us: {taken}" for label, taken in cpu.items()),
            f"{sent:,} answers sent, one a case, the warm-up's among them; {found:,} records of {different:,} cases in "
            "the topic. A client that stops cuts off what it sent last.",
        ],
        also={
            "get": {
                "ours": round(figures[_SHOW].median, 1),
                "bare": round(figures[_BARE_SHOW].median, 1),
                "ratio_to_bare": round(get, 3),
            },
            "latency": latency,
            "cpu_us": cpu,
        },
    )


def _cpu(figures: Figures) -> dict[str, int]:
    """CPU time of a request in microseconds: of the server, of the three brokers, and of the client."""
    parts = {"server": "cpu_seconds", "brokers": "brokers_cpu_seconds", "client": "client_cpu_seconds"}
    requests = sum(outcome["items"] for outcome in figures.outcomes)
    return {
        part: round(sum(outcome[seconds] for outcome in figures.outcomes) / requests * 1e6)
        for part, seconds in parts.items()
    }


@contextmanager
def site(environment: Mapping[str, str], cases: int) -> Iterator[tuple[int, str]]:
    """Runs a site without rate limit and waits until it knows this many cases; yields its pid and address."""
    own = {**environment, "FRAUDSTREAM_CONFIRMATION_REQUESTS_PER_MINUTE": "1000000000"}
    health = f"http://{own['FRAUDSTREAM_CONFIRMATION_HEALTH_BIND']}"
    with _server(own, "fraudstream.site") as process:
        _wait(f"{health}/health/ready", process)
        while f"fraudstream_site_cases {float(cases)}" not in httpx.get(f"{health}/metrics").text:
            time.sleep(0.2)
        yield process.pid, own["FRAUDSTREAM_CONFIRMATION_BIND"]


@contextmanager
def _bare(environment: Mapping[str, str], length: int) -> Iterator[tuple[int, str]]:
    port = int(environment["FRAUDSTREAM_CONFIRMATION_BIND"].rpartition(":")[2]) + 2
    address = f"127.0.0.1:{port}"
    with _server(environment, "benchmarks.peers.bare_site", str(port), str(length)) as process:
        _wait(f"http://{address}/confirm/a/b", process)
        yield process.pid, address


@contextmanager
def _server(environment: Mapping[str, str], module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with _LOG.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=dict(environment), cwd=ROOT, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise BenchmarkFailed(f"{url} doesn't answer; the end of {_LOG}: {_LOG.read_text()[-2000:]}")


def _settings(environment: Mapping[str, str]) -> Settings:
    keys = [SecretStr(environment["FRAUDSTREAM_CONFIRMATION_KEYS"])]
    return settings_of(environment).model_copy(update={"confirmation_keys": keys})


def _cases(environment: Mapping[str, str]) -> list[str]:
    """Produces frauds; returns their ids: some for the pages, then as many for each round and for the warm-up."""
    count = _REQUESTS * (ROUNDS + 2)
    path = FOLDER / "frauds.csv"
    write_file(path, plan(count, frauds=count), 1, lambda _: None)
    run("benchmarks.ours.produce", [upload(lake(environment), path, path.name)], environment)
    return [case for part in committed_ids(environment, FRAUD_TRANSACTION) for case in part.to_pylist()]


def _chunks(cases: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Yields the number and the cases of each round and of the warm-up."""
    for position, number in enumerate([*range(ROUNDS), WARM_UP]):
        yield number, cases[position * _REQUESTS : (position + 1) * _REQUESTS]


def _page_length(address: str, links: Links, case: str) -> int:
    target = links.url(case, "fraud").split("/", 3)[3]
    return len(httpx.get(f"http://{address}/{target}").content)


def _answers(environment: Mapping[str, str]) -> tuple[int, int]:
    """The number of records in topic fraud_confirmation, and the number of their cases."""
    ids = list(committed_ids(environment, FRAUD_CONFIRMATION))
    return sum(map(len, ids)), len({case for part in ids for case in pc.unique(part).to_pylist()})
