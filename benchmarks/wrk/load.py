"""Sends each request of a file once to a server on this machine, with wrk.

Arguments: address, file, connections, pid of the server, pids of the brokers. `cpu_seconds` and `peak_rss_mib` of the
outcome are the server's; the CPU seconds of the brokers and of wrk have their own fields.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.harness.outcome import peak_rss_mib
from benchmarks.harness.rounds import BenchmarkFailed
from local.programs import debian

_HOW = (
    "wrk, the HTTP load client, isn't on this machine. Install it: `sudo apt-get install --no-install-recommends wrk`, "
    "`sudo dnf install wrk`, `brew install wrk`. As root on Debian or Ubuntu this benchmark extracts it from the "
    "package by itself"
)
#: wrk stops after this time; requests that aren't sent by then don't count.
_MOST_SECONDS = 60


def wrk() -> list[str]:
    """Returns the command that runs wrk.

    :raises MissingProgram: wrk is missing; the message has the command that installs it
    """
    return debian.tool("wrk", ["wrk", "libluajit-5.1-2"], "usr/lib/*-linux-gnu", _HOW)


def main(address: str, requests: str, connections: int, pid: int, brokers: Sequence[int]) -> None:
    """Sends the requests and prints the outcome.

    :raises BenchmarkFailed: a request failed
    """
    server, others = psutil.Process(pid), [psutil.Process(broker) for broker in brokers]
    before, others_before = _cpu(server), sum(map(_cpu, others))
    options = ["-t", "1", "-c", str(connections), "-d", f"{_MOST_SECONDS}s", "--timeout", "30s"]
    script = str(Path(__file__).with_suffix(".lua"))
    done = subprocess.run(
        [*wrk(), *options, "--script", script, f"http://{address}", "--", requests],
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = json.loads(done.stdout.splitlines()[-1])
    if outcome["failed"]:
        raise BenchmarkFailed(f"{outcome['failed']} of {outcome['items']} requests to {address} failed: {done.stdout}")
    outcome |= {
        "cpu_seconds": _cpu(server) - before,
        "brokers_cpu_seconds": sum(map(_cpu, others)) - others_before,
        "client_cpu_seconds": sum(os.times()[2:4]),
        "peak_rss_mib": peak_rss_mib(server.pid),
    }
    sys.stdout.write(json.dumps(outcome) + "\n")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), [int(pid) for pid in sys.argv[5:]])
