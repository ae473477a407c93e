"""A short round of chaos over real brokers, registry and store."""

import json
import subprocess
import sys

import pytest
from fraudstream.settings import ROOT

from tests.chaos.__main__ import STACK_NUMBER

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_nothing_is_lost_and_nothing_doubled_while_everything_goes_wrong() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seed", "7", "--short"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads((ROOT / "var" / f"stack-{STACK_NUMBER}" / "result.json").read_text())
    assert (result["seed"], result["ok"], result["zombies"]) == (7, True, 1)
    hit = [fault for fault in result["faults"] if fault["name"].startswith(("store", "SMTP"))]
    assert len(hit) == 12
    assert [fault for fault in hit if not fault["hits"]] == [], ran.stdout
    assert {fault["name"] for fault in result["faults"] if fault["times"]} >= {
        "kill -9 produce",
        "kill -9 write_lake-non_fraud_transaction",
        "kill -9 send_mail-non_fraud_transaction",
        "kill -9 open_cases-fraud_transaction",
        "kill -9 broker",
        "store does the write, loses the answer",
        "SMTP drops after DATA, mail kept",
        "oversized record",
    }
