"""What a waiting case keeps in its triggerer."""

import json
from types import SimpleNamespace

from fraudstream.orchestration.sensors import CASE
from fraudstream.orchestration.triggers import ConfirmationTrigger
from jinja2 import Environment


def test_a_waiting_case_keeps_itself_and_lets_go_of_its_run_s_other_cases() -> None:
    cases = [{"idTransaction": f"case-{number}"} for number in range(3)]
    run = SimpleNamespace(conf={"cases": cases})
    context = {"dag_run": run, "ti": SimpleNamespace(map_index=1), "params": {"cases": cases}}
    trigger = ConfirmationTrigger(case=CASE, end_from_trigger=True)
    trigger.template_fields = ("case",)
    trigger.render_template_fields(context, Environment(autoescape=False))  # noqa: S701  no HTML
    assert json.loads(trigger.case) == {"idTransaction": "case-1"}
    assert run.conf is None
    assert context["params"] == {}
