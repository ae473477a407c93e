"""A few seconds of arbitrary records on every topic, with real brokers, registry and store; `make fuzz` runs longer."""

import subprocess
import sys

import pytest
from fraudstream.settings import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_whatever_lies_on_the_topics_all_consumers_views_and_the_site_go_on() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--seed", "1", "--minutes", "0.05"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "every record in all its effects or one dead letter" in ran.stdout
