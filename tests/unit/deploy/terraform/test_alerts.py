"""The alert rules fire for recorded faults, use the page's limits, and name existing metrics; so does the dashboard."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from fraudstream.pipeline import thresholds
from fraudstream.pipeline.metrics import METRICS
from fraudstream.settings import ROOT

from local.programs.debian import MissingProgram
from local.programs.promtool import find_promtool
from tests.unit.deploy.terraform_files import load

ALERTS = ROOT / "include" / "alerts" / "fraudstream.yaml"
TESTS = ALERTS.with_name("tests.yaml")
BOARDS = ROOT / "include" / "grafana"
#: By the name of a limit: the rule that warns, the rule that pages, and the factor of the limit in their expressions.
LIMITS: dict[str, tuple[str, str, float]] = {
    "LAG_SECONDS": ("LagIsAgeing", "LagIsOld", 1),
    "DEAD_LETTERS": ("DeadLetters", "ManyDeadLetters", 1),
    "UNDELIVERED_NOTICES": ("FraudNoticeNotDelivered", "FraudNoticeNotDelivered", 1),
    "CASES_WAITING": ("CasesWaiting", "ManyCasesWaiting", 1),
    "CASES_OVERDUE": ("CasesOverdue", "ManyCasesOverdue", 1),
    "AUDIT_HOURS": ("AuditLate", "AuditVeryLate", 3600),
    "COMPACTION_HOURS": ("CompactionLate", "CompactionVeryLate", 3600),
    "HEARTBEAT_SECONDS": ("AirflowJobSlow", "AirflowJobDown", 1),
    "TRIGGERER_LOAD": ("TriggererLoad", "TriggererFull", 1),
    "DISK_SHARE": ("DiskFilling", "DiskFull", 1),
}


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def lowest(rule: dict[str, Any]) -> float:
    """The threshold in a rule's expression."""
    found = re.search(r">= ([\d.]+)(?: \* (\d+))?", rule["expr"])
    assert found
    return float(found[1]) * float(found[2] or 1)


def test_each_recorded_fault_fires_its_alert_and_a_healthy_pipeline_none() -> None:
    try:
        promtool = find_promtool()
    except MissingProgram as error:
        pytest.fail(f"the alerts' tests need promtool: {error}")
    done = subprocess.run([*promtool, "test", "rules", str(TESTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_recorded_series_in_which_it_fires_and_others_in_which_it_does_not() -> None:
    recorded = yaml.safe_load(TESTS.read_text())["tests"]
    fires: set[str] = set()
    silent: set[str] = set()
    for test in recorded:
        for one in test.get("alert_rule_test", []):
            (fires if one["exp_alerts"] else silent).add(one["alertname"])
        for one in test.get("promql_expr_test", []):
            fires |= {
                name for sample in one["exp_samples"] for name in re.findall(r'alertname="(\w+)"', sample["labels"])
            }
    healthy = recorded[0]
    assert healthy["promql_expr_test"] == [{"expr": "ALERTS", "eval_time": "2h", "exp_samples": []}]
    series = {name for one in healthy["input_series"] for name in names_in(one["series"])}
    silent |= {name for name, rule in rules().items() if names_in(rule["expr"]) <= series}
    assert rules().keys() - fires == set()
    assert rules().keys() - silent == set()


def test_terraform_makes_an_alert_policy_of_each_rule(root: Path) -> None:
    """Terraform's test checks two policies; this one checks that the file is read and that all durations are valid."""
    (lists,) = [
        block.body for block in load(root / "terraform") if block.kind == "locals" and "pipeline_alerts" in block.body
    ]
    assert "include/alerts/fraudstream.yaml" in str(lists["pipeline_rules"])
    assert "local.pipeline_rules" in str(lists["pipeline_alerts"])
    policies = (root / "terraform" / "monitoring.tf").read_text()
    assert "for_each = merge(local.pipeline_alerts," in policies
    assert [name for name, rule in rules().items() if not re.fullmatch(r"\d+m", rule.get("for", "0m"))] == []
    assert {rule["labels"]["severity"] for rule in rules().values()} == {"page", "warning"}


@pytest.mark.parametrize("name", LIMITS)
def test_alerts_and_page_have_the_same_limits(name: str) -> None:
    amber, red, factor = LIMITS[name]
    limit = getattr(thresholds, name)
    found = rules()
    assert (lowest(found[amber]), lowest(found[red])) == (limit.amber * factor, limit.red * factor)
    assert found[red]["labels"]["severity"] == "page"


def test_each_limit_of_the_page_has_an_alert() -> None:
    named = {name for name, value in vars(thresholds).items() if isinstance(value, thresholds.Threshold)}
    assert named - LIMITS.keys() == {"SAMPLE_SECONDS"}  # NoSamples counts samples instead


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"airflow_fraudstream_(\w+?)(?:_sum|_count)?\b", expression))


def test_rules_and_boards_name_metrics_that_are_reported() -> None:
    known = {metric.name for metric in METRICS}
    expressions = [rule["expr"] for rule in rules().values()]
    for board in boards():
        panels = json.loads(board.read_text())["panels"]
        expressions += [target["expr"] for panel in panels for target in panel["targets"]]
    named = {name for expression in expressions for name in names_in(expression)}
    assert named <= known
    assert all(names_in(expression) for expression in expressions)


def boards() -> list[Path]:
    return [path for path in BOARDS.glob("*.json") if path.name != "schema.json"]


@pytest.mark.parametrize("board", boards(), ids=lambda path: path.stem)
def test_a_board_fits_the_schema_and_its_panels_don_t_overlap(board: Path) -> None:
    content = json.loads(board.read_text())
    jsonschema.validate(content, json.loads((BOARDS / "schema.json").read_text()))
    ids = [panel["id"] for panel in content["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in content["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells
        taken |= cells
