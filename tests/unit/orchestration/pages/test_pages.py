"""The layout of the pages in Airflow's UI, and their content security policy."""

import base64
import hashlib
import re

import pytest
from fraudstream.orchestration.pages.pipeline import _address
from fraudstream.orchestration.pages.rendering import page
from fraudstream.pipeline.airflow_health import Health, Run, Triggerer
from fraudstream.pipeline.page.overview import overview
from fraudstream.pipeline.sampling.sample import CaseFigures, GroupFigures, LakeFigures, Sample, TableFigures

ATTACK = "<script>alert(1)</script>\"'"


@pytest.mark.parametrize("nav", [None, "pipeline"])
def test_the_policy_allows_the_style_and_script_of_the_page_and_nothing_else(nav: str | None) -> None:
    answer = page("message.html", title="A page", nav=nav, message="text")  # type: ignore[arg-type]
    html = bytes(answer.body).decode()
    allowed = {}
    for element in ("style", "script"):
        texts = re.findall(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
        allowed[element] = [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        ]
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("base-uri") == "'none'"
    assert policy.pop("frame-ancestors") == "'self'"
    assert [policy.pop("style-src")] == allowed["style"]
    assert ([policy.pop("script-src")] if nav else []) == allowed["script"]
    assert policy == {"form-action": "'self'" if nav else "'none'"}


def test_text_on_a_page_is_never_markup() -> None:
    html = bytes(page("message.html", title=ATTACK, message=ATTACK).body).decode()
    assert ATTACK not in html
    assert "&lt;script&gt;" in html


def hostile(text: str) -> Sample:
    """A sample in which all texts that others may write are `text`."""
    lake = LakeFigures({text: 1}, text, 1.0, {text: TableFigures(1, 1, 1.0)}, 1.0, False, mails={text: {text: 1}})
    return Sample(
        1.0,
        topics={text: 1},
        groups={"write_lake-fraud_transaction": GroupFigures(1, 1.0)},
        produced={text: 1},
        dead_letters={text: {text: 1}},
        cases=CaseFigures({text: 1}, 1, {text: 1}, {text: 1}),
        lake=lake,
        problems=[text],
    )


def test_nothing_that_others_write_is_markup_on_the_page_pipeline() -> None:
    health = Health({ATTACK: 1.0}, [Triggerer(ATTACK, 1.0, 1)], 10, 1, {"audit_lake": Run(1.0, ATTACK, ATTACK)}, 0.5)
    shown = overview([hostile("x"), hostile(ATTACK)], health, 2.0)
    answer = page(
        "pipeline.html",
        title="Pipeline",
        nav="pipeline",
        shown=shown,
        wrong=shown.wrong,
        href=lambda link: _address(link, {}),
    )
    html = bytes(answer.body).decode()
    assert ATTACK not in html
    assert "alert(1)</script>" not in html
    assert html.count("&lt;script&gt;") > 10
    assert len(re.findall("<script>", html)) == 1


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("dag:audit_lake", "../dags/audit_lake"),
        ("run:audit_lake:manual__1+00:00/x", "../dags/audit_lake/runs/manual__1%2B00%3A00%2Fx"),
        ("asset:fraudstream_lake", "../assets/7"),
        ("asset:javascript:alert(1)", "../assets"),
        ("javascript:alert(1)", ""),
        ("jobs", "../jobs"),
        ("desk", "../plugin/fraudstream-desk"),
        ("", ""),
    ],
)
def test_a_link_leads_to_airflow_or_nowhere(link: str, address: str) -> None:
    assert _address(link, {"fraudstream_lake": 7}) == address
