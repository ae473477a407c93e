import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import itsdangerous.signer
import pytest
from fraudstream.cases.links.signed import CLOCK_SKEW_SECONDS, LONGEST_TOKEN, PAGE_SECONDS, Links, shown
from fraudstream.errors import LinkError, LinkExpired, SettingsError
from fraudstream.settings import PUBLISHED_KEY, ROOT, Settings
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous.encoding import base64_decode

OLD, NEW, OTHER = "old-example-key-of-tests", "new-example-key-of-tests", "another-example-key-of-tests"
LINKS = Links(Settings(confirmation_keys=[OLD]))
CASE_IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def token_of(url: str) -> str:
    return url.rsplit("/", 2)[-2]


@settings(deadline=None)
@given(CASE_IDS, st.sampled_from(["fraud", "not-fraud"]))
def test_a_link_reads_back_as_its_case_and_is_made_of_plain_path_characters(case: str, answer: str) -> None:
    url = LINKS.url(case, answer)  # type: ignore[arg-type]
    assert url.startswith("http://127.0.0.1:8085/confirm/")
    assert url.endswith(f"/{answer}")
    assert url.isascii()
    assert set(token_of(url)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert LINKS.read(token_of(url)) == case


@settings(deadline=None)
@given(CASE_IDS, st.data())
def test_a_token_with_any_one_character_changed_is_refused(case: str, data: st.DataObject) -> None:
    token = token_of(LINKS.url(case, "fraud"))
    where = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[where]))
    with pytest.raises(LinkError):
        LINKS.read(token[:where] + other + token[where + 1 :])


@settings(deadline=None)
@given(CASE_IDS, st.data())
def test_a_token_that_is_cut_off_anywhere_is_refused(case: str, data: st.DataObject) -> None:
    token = token_of(LINKS.url(case, "fraud"))
    with pytest.raises(LinkError):
        LINKS.read(token[: data.draw(st.integers(0, len(token) - 1))])


@settings(deadline=None)
@given(CASE_IDS, st.text(min_size=1, max_size=5))
def test_a_token_with_something_behind_or_before_it_is_refused(case: str, extra: str) -> None:
    token = token_of(LINKS.url(case, "fraud"))
    for changed in (token + extra, extra + token):
        with pytest.raises(LinkError):
            LINKS.read(changed)


@settings(deadline=None)
@given(st.text(max_size=2 * LONGEST_TOKEN))
def test_random_text_is_refused_and_its_error_never_shows_all_of_it(text: str) -> None:
    with pytest.raises(LinkError) as refused:
        LINKS.read(text)
    assert len(text) <= 8 or text not in str(refused.value)


def test_a_token_longer_than_the_longest_is_refused_though_we_signed_it() -> None:
    cases = ["c" * length for length in range(1, LONGEST_TOKEN)]
    tokens = {case: token_of(LINKS.url(case, "fraud")) for case in cases}
    longest = max(case for case, token in tokens.items() if len(token) <= LONGEST_TOKEN)
    assert LINKS.read(tokens[longest]) == longest
    with pytest.raises(LinkError, match="is none of ours"):
        LINKS.read(tokens[longest + "c"])


def test_a_refused_token_of_ours_is_never_shown_in_full(keyed: Callable[..., Links]) -> None:
    token = token_of(keyed(OLD).url("case-1", "fraud"))
    with pytest.raises(LinkError) as refused:
        keyed(NEW).read(token)
    assert token not in str(refused.value)
    assert token.rpartition(".")[2] not in str(refused.value)
    assert len(shown(token)) < 50


def test_the_signature_of_one_case_does_not_pass_for_another() -> None:
    mine = token_of(LINKS.url("case-1", "fraud")).split(".")
    others = token_of(LINKS.url("case-2", "fraud")).split(".")
    with pytest.raises(LinkError):
        LINKS.read(".".join([others[0], *mine[1:]]))


def test_a_link_ends_with_the_time_limit_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    links = Links(Settings(confirmation_time_limit_seconds=100))
    now = time.time()
    token = token_of(links.url("case-1", "fraud"))
    monkeypatch.setattr(time, "time", lambda: now + 99)
    assert links.read(token) == "case-1"
    monkeypatch.setattr(time, "time", lambda: now + 102)
    with pytest.raises(LinkExpired, match="older than 100 s"):
        links.read(token)


@pytest.mark.parametrize("ahead", [1, 60, CLOCK_SKEW_SECONDS - 5])
def test_a_link_of_a_machine_whose_clock_is_minutes_ahead_is_good(monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + ahead)
    link, page = LINKS.url("case-1", "fraud"), LINKS.page_token("case-1")
    monkeypatch.setattr(time, "time", lambda: now)
    assert LINKS.read(token_of(link)) == "case-1"
    assert not LINKS.find(link).expired
    LINKS.check_page_token(page, "case-1")


def test_a_link_from_further_in_the_future_is_refused_and_both_clocks_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + CLOCK_SKEW_SECONDS + 5)
    token = token_of(LINKS.url("case-1", "fraud"))
    monkeypatch.setattr(time, "time", lambda: now)
    named = r"signed 60[45] s in the future, where at most 600 s .*clock of the machine that sends the mails, or"
    with pytest.raises(LinkError, match=named):
        LINKS.read(token)


@settings(deadline=None)
@given(CASE_IDS, st.sampled_from(["fraud", "not-fraud"]), st.text("=>)];,'\" \r\n\u200b\u00a0/<\\", max_size=20))
def test_a_link_is_found_whatever_surrounds_it(case: str, answer: str, noise: str) -> None:
    found = LINKS.find(noise + LINKS.url(case, answer).replace("/", "/" + noise) + noise)  # type: ignore[arg-type]
    assert (found.case, found.proposal, found.expired) == (case, answer, False)


@settings(deadline=None)
@given(st.text(max_size=2_000))
def test_random_text_holds_no_link(text: str) -> None:
    with pytest.raises(LinkError):
        LINKS.find("/confirm/" + text)


def test_an_expired_link_is_found_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    url = LINKS.url("case-1", "fraud")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + Settings().confirmation_time_limit_seconds + 2)
    assert LINKS.find(url).expired
    with pytest.raises(LinkExpired):
        LINKS.read(token_of(url))


def test_sent_links_outlive_a_new_key_until_the_old_one_is_taken_off_the_list(keyed: Callable[..., Links]) -> None:
    sent = token_of(keyed(OLD).url("case-1", "fraud"))
    rotated = keyed(NEW, OLD)
    assert rotated.read(sent) == "case-1"
    signed_now = token_of(rotated.url("case-2", "fraud"))
    assert keyed(NEW).read(signed_now) == "case-2"
    with pytest.raises(LinkError):
        keyed(OLD).read(signed_now)
    with pytest.raises(LinkError):
        keyed(NEW).read(sent)


def test_a_page_token_holds_for_its_case_and_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    token = LINKS.page_token("case-1")
    LINKS.check_page_token(token, "case-1")
    with pytest.raises(LinkError, match="another case"):
        LINKS.check_page_token(token, "case-2")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + PAGE_SECONDS + 2)
    with pytest.raises(LinkExpired):
        LINKS.check_page_token(token, "case-1")


def test_link_tokens_and_page_tokens_do_not_pass_for_each_other() -> None:
    with pytest.raises(LinkError):
        LINKS.check_page_token(token_of(LINKS.url("case-1", "fraud")), "case-1")
    with pytest.raises(LinkError):
        LINKS.read(LINKS.page_token("case-1"))


@pytest.mark.parametrize("url", ["https://bank.example", "http://10.0.0.7:8085", "http://127.0.0.1.evil.example"])
@pytest.mark.parametrize("key", [OLD, "LOCAL-EXAMPLE-KEY", "local-only-example-key-for-links"])
def test_a_published_key_is_refused_where_others_reach_the_site(url: str, key: str) -> None:
    own = secrets.token_urlsafe(32)
    with pytest.raises(SettingsError, match="FRAUDSTREAM_CONFIRMATION_KEYS holds an example key"):
        Links(Settings(confirmation_url=url, confirmation_keys=[key]))
    with pytest.raises(SettingsError):
        Links(Settings(confirmation_url=url, confirmation_keys=[own, key]))
    Links(Settings(confirmation_url=url, confirmation_keys=[own]))


def test_every_key_in_this_repository_is_marked_as_published() -> None:
    """In all files: code, tests, compose file and documentation."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    found = {(ROOT / "docker/local/secrets/confirmation_keys").read_text().strip()}
    for name in listed:
        if (ROOT / name).suffix in {".py", ".md", ".yaml", ".yml", ".sh", ".tf", ".example", ".toml", ""}:
            text = (ROOT / name).read_text(errors="replace")
            # A name followed by an attribute is a reference in Terraform.
            key = r"""FRAUDSTREAM_CONFIRMATION_KEYS["']?\s*[:=,]\s*["']?([\w-]{16,})(?![\w-]|\.[a-z])"""
            found |= set(re.findall(key, text))
            for keys in re.findall(r"confirmation_keys=\[([^]]*)\]", text):
                found |= set(re.findall(r"""["']([\w-]{16,})["']""", keys))
    assert len(found) > 2
    assert [key for key in found if PUBLISHED_KEY not in key.lower()] == []


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.0.0.1:8085/", "http://[::1]:8085", "http://127.9.9.9"]
)
def test_the_example_key_is_good_enough_on_this_machine(url: str) -> None:
    assert "//confirm" not in Links(Settings(confirmation_url=url)).url("case-1", "fraud")


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "short"]])
def test_no_key_or_a_short_one_is_refused(keys: list[str]) -> None:
    with pytest.raises(SettingsError, match="at least one key, each of 16"):
        Links(Settings(confirmation_keys=keys))


@pytest.mark.parametrize("url", ["", "bank.example", "ftp://bank.example", "http://"])
def test_an_address_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="FRAUDSTREAM_CONFIRMATION_URL"):
        Links(Settings(confirmation_url=url, confirmation_keys=[NEW]))


def test_a_link_proposes_nothing_but_the_two_answers() -> None:
    with pytest.raises(ValueError, match="proposes one of"):
        LINKS.url("case-1", "NO_RESPONSE")  # type: ignore[arg-type]


def test_a_link_carries_the_cases_id_and_the_time_of_signing_and_nothing_else() -> None:
    case, stamp, signature = token_of(LINKS.url("case-1", "fraud")).split(".")
    assert base64_decode(case) == b"case-1"
    assert abs(int.from_bytes(base64_decode(stamp), "big") - time.time()) < 5
    assert len(base64_decode(signature)) == 32


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compare, compared = itsdangerous.signer.hmac.compare_digest, []
    monkeypatch.setattr(
        itsdangerous.signer.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or compare(a, b)
    )
    head, _, signature = token_of(LINKS.url("case-1", "fraud")).rpartition(".")
    forged = f"{head}.{signature[::-1]}"
    for read in (LINKS.read, lambda token: LINKS.check_page_token(token, "case-1")):
        compared.clear()
        with pytest.raises(LinkError):
            read(forged)
        assert [given for _, given in compared] + [given for given, _ in compared]
        assert signature[::-1].encode() in {value for pair in compared for value in pair}


def test_keys_come_from_the_file_that_secret_manager_is_mounted_as(keyed: Callable[..., Links], tmp_path: Path) -> None:
    new, old = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    (tmp_path / "fraudstream_confirmation_keys").write_text(f"{new},{old}\n")
    script = (
        "from fraudstream.cases.links.signed import Links; from fraudstream.settings import Settings;"
        "print(Links(Settings()).url('case-1', 'fraud'), repr(Settings()))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_")} | {
        "FRAUDSTREAM_SECRETS_DIR": str(tmp_path),
        "FRAUDSTREAM_CONFIRMATION_URL": "https://bank.example",
    }
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    ).stdout
    token = token_of(said.split()[0])
    assert keyed(new).read(token) == "case-1"
    assert new not in said
    assert old not in said
