"""The layout of the pages in Airflow's UI, and the policy that they are sent with."""

import base64
import hashlib
import re

import pytest
from fraudstream.orchestration.pages.rendering import page

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
