"""Foreign links, methods and forms: all are refused, and nothing is recorded."""

import random
import string
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from fraudstream.cases.links.signed import Links
from fraudstream.errors import LinkError
from fraudstream.settings import Settings

from tests.fakes.cases import transaction
from tests.unit.site.conftest import Site


def parts(url: str) -> tuple[str, str, str]:
    """The part before the token, the token, and the answer."""
    head, token, answer = url.rsplit("/", 2)
    return head, token, answer


def tokens_that_are_not_valid(site: Site) -> dict[str, str]:
    token = parts(site.url())[1]
    payload, stamp, signature = token.split(".")
    other_case = parts(site.url(case="case-2"))[1].split(".")[0]
    stranger = Links(Settings(confirmation_keys=["another-example-key-of-tests"]))
    return {
        "cut off": token[:-1],
        "half": token[: len(token) // 2],
        "without its end, and longer": token[:-1] + "%20" + "fraud",
        "another case's id under our signature": f"{other_case}.{stamp}.{signature}",
        "a later time": f"{payload}.{stamp[:-1]}z.{signature}",
        "no signature": f"{payload}.{stamp}.",
        "no time": f"{payload}.{signature}",
        "a stranger's key": parts(stranger.url("case-1", "fraud"))[1],
        "a page token": site.links.page_token("case-1"),
        "other capitals": token.swapcase(),
        "full-width letters": "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in token),
        "a letter in it": token[:5] + "x" + token[5:],
        "an escape sequence": "%1b[31m" + token,
        "a header": token[:-1] + "%0d%0aSet-Cookie:a=b",
        "unicode": "%F0%9F%92%A3" * 5,
        "broken unicode": "%FF%FE%80",
        "a path": "..%2F..%2Fetc%2Fpasswd",
        "markup": "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "SQL": "'%20OR%201=1--",
        "nothing": "%20",
        "600 characters": "a" * 600,
    }


def test_every_token_that_is_not_ours_is_answered_alike(site: Site) -> None:
    head = parts(site.url())[0]
    pages = set()
    for what, bad in tokens_that_are_not_valid(site).items():
        opened = site.browser.get(f"{head}/{bad}/fraud")
        pressed = site.browser.post(f"{head}/{bad}/fraud", data=site.form(site.url()))
        assert (opened.status_code, pressed.status_code) == (404, 404), what
        pages |= {opened.text, pressed.text}
    pages.add(site.browser.get("/anything/else").text)
    assert len(pages) == 1
    assert site.answers.log == []


def test_thousands_of_random_tokens_are_refused_alike_and_none_is_logged_whole(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="fraudstream")
    site = make_site(confirmation_requests_per_minute=1_000_000)
    chance = random.Random(7)  # noqa: S311
    letters = string.ascii_letters + string.digits + "-_."
    pages = set()
    for number in range(10_000):
        token = "".join(chance.choices(letters, k=chance.randint(20, 90)))
        with pytest.raises(LinkError) as refused:
            site.links.read(token)
        assert token not in str(refused.value)
        if number % 20:
            continue  # a request through the whole site takes a hundred times as long
        page = site.browser.get(f"/confirm/{token}/fraud")
        pages.add((page.status_code, page.text))
        # The test's own client logs its requests.
        assert not any(token in record.getMessage() for record in caplog.records if "httpx" not in record.name)
        caplog.clear()
    assert len(pages) == 1
    assert pages.pop()[0] == 404
    assert 'result="' not in site.metrics.text().decode()


def test_an_expired_link_explains_itself_and_records_nothing(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(confirmation_time_limit_seconds=60)
    url, form = site.url(), site.form(site.url())
    monkeypatch.setattr("time.time", lambda: 9_999_999_999.0)
    for page in (site.browser.get(url), site.browser.post(url, data=form)):
        assert page.status_code == 410
        assert "no longer valid" in page.text
        assert "call us at the number on the back of your card" in page.text
    assert site.answers.log == []


@pytest.mark.parametrize(
    ("status", "title"),
    [("REPORTED_FRAUD", "You reported this payment as fraud"), ("NO_RESPONSE", "The time for an answer is over")],
)
def test_an_expired_link_shows_what_was_recorded(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, status: str, title: str
) -> None:
    site = make_site(confirmation_time_limit_seconds=60)
    url, form = site.url(), site.form(site.url())
    site.answers.append(status, site.case, datetime.now(UTC))  # type: ignore[arg-type]
    monkeypatch.setattr("time.time", lambda: 9_999_999_999.0)
    for page in (site.browser.get(url), site.send(url, form)):
        assert page.status_code == 200
        assert title in page.text
    assert len(site.answers.log) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "POST"},
        {"X-HTTP-Method": "POST"},
        {"X-Method-Override": "POST"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
def test_a_get_stays_a_get_whatever_it_says_of_itself(site: Site, headers: dict[str, str]) -> None:
    form = site.form(site.url())
    page = site.browser.get(site.url(), params=form | {"_method": "POST"}, headers=headers)
    assert page.status_code == 200
    assert "<form" in page.text
    site.browser.request("GET", site.url(), data=form, headers=headers)
    assert site.answers.log == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    page = site.browser.request(method, site.url(), data=site.form(site.url()))
    assert page.status_code == 405
    assert site.answers.log == []
    assert f'method="{method}"' not in site.metrics.text().decode(), "a made-up method makes no new figure"


def bodies(form: dict[str, str]) -> dict[str, str]:
    page, answer = f"page={form['page']}", f"answer={form['answer']}"
    return {
        "empty": "",
        "no page token": answer,
        "no answer": page,
        "two answers": f"{page}&{answer}&answer=not-fraud",
        "the same answer twice": f"{page}&{answer}&{answer}",
        "two page tokens": f"{page}&{page}&{answer}",
        "a field more": f"{page}&{answer}&status=REPORTED_FRAUD",
        "an answer that isn't offered": f"{page}&answer=NO_RESPONSE",
        "a list": f"{page}&answer[]=fraud",
        "other separators": f"{page};{answer}",
        "bytes that are no text": "page=%FF%FE&answer=fraud",
        "raw unicode": f"page=é&{answer}",
        "JSON": '{"answer": "fraud"}',
        "a thousand fields": "&".join(f"a{n}=" for n in range(1000)),
    }


def test_forms_with_other_fields_than_the_pages_are_refused(site: Site) -> None:
    form = site.form(site.url())
    for what, body in bodies(form).items():
        page = site.browser.post(
            site.url(), content=body.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert page.status_code in {400, 413}, what
    assert site.answers.log == []


def test_what_the_query_says_of_the_answer_counts_for_nothing(site: Site) -> None:
    form = site.form(site.url())
    page = site.browser.post(site.url(), params={"answer": "not-fraud", "page": "x"}, data=form)
    assert page.status_code == 303
    assert [a.status for a in site.answers.log] == ["REPORTED_FRAUD"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
def test_bodies_that_are_no_form_are_refused(site: Site, kind: str) -> None:
    form = site.form(site.url())
    body = f"page={form['page']}&answer=fraud".encode()
    assert site.browser.post(site.url(), content=body, headers={"Content-Type": kind}).status_code == 415
    assert site.answers.log == []


def test_a_form_without_a_page_token_of_ours_for_this_case_is_refused(site: Site) -> None:
    site.cases.add(transaction("case-2"))
    others = site.form(site.url(case="case-2"))["page"]
    for page_token in ("", "x", others, parts(site.url())[1]):
        page = site.browser.post(site.url(), data={"answer": "fraud", "page": page_token})
        assert page.status_code == 403
    assert site.answers.log == []


@pytest.mark.parametrize("origin", ["cross-site", "same-site", "none"])
def test_a_form_that_the_browser_says_is_somebody_elses_is_refused(site: Site, origin: str) -> None:
    page = site.browser.post(site.url(), data=site.form(site.url()), headers={"Sec-Fetch-Site": origin})
    assert page.status_code == 403
    assert site.answers.log == []


def test_replaying_a_whole_request_changes_nothing(site: Site) -> None:
    url = site.url()
    form = site.form(url)
    first = site.send(url, form)
    assert {site.send(url, form).text for _ in range(10)} == {first.text}
    assert len(site.answers.log) == 1
