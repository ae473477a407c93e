"""How mail clients, filters and users change a link. A link with an intact signed token shows its case."""

import base64
import html
import re
from collections.abc import Callable
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from fraudstream.cases.links.damaged import LONGEST_LOOK

from tests.unit.site.conftest import ORIGIN, Site

ZERO_WIDTH, NO_BREAK, SOFT_HYPHEN, BYTE_ORDER = "\u200b", "\u00a0", "\u00ad", "\ufeff"
CAMPAIGN = "utm_source=mail&utm_medium=notice&utm_campaign=fraud&gclid=Cj0KCQ&fbclid=IwAR0&mc_eid=1"


def safelinks(link: str) -> str:
    """A link in the form of Microsoft's SafeLinks, and the target of its redirect."""
    wrapped = f"https://eur01.safelinks.protection.outlook.com/?url={quote(link, safe='')}&data=05%7C02&reserved=0"
    return parse_qs(urlsplit(wrapped).query)["url"][0]


def url_defense_2(link: str) -> str:
    """A link in the form of version 2 of Proofpoint's URL Defense, decoded by its documented decoder."""
    written = quote(link.replace("_", "%5F").replace("-", "%2D"), safe=":/%.").replace("/", "_").replace("%", "-")
    wrapped = f"https://urldefense.proofpoint.com/v2/url?u={written.replace(':', '-3A')}&d=DwMF&c=x&r=y&m=z&s=w&e="
    found = re.search(r"u=(.+?)&", wrapped)
    assert found is not None
    return unquote(unquote(found[1].translate(str.maketrans("-_", "%/"))))


def url_defense_3(link: str) -> str:
    """A link in the form of version 3: between two pairs of underscores, followed by what it replaced."""
    wrapped = f"https://urldefense.com/v3/__{link}__;!!Abc123!xyz$"
    found = re.search(r"v3/__(.+?)__;", wrapped)
    assert found is not None
    return found[1]


def at(where: int, what: str) -> Callable[[str], str]:
    """Inserts text into the token."""
    return lambda link: link[: len(ORIGIN + "/confirm/") + where] + what + link[len(ORIGIN + "/confirm/") + where :]


def without_answer(behind: str) -> Callable[[str], str]:
    return lambda link: link.rpartition("/")[0] + behind


def behind(what: str) -> Callable[[str], str]:
    return lambda link: link + what


def path(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda link: ORIGIN + "/" + change(link.removeprefix(ORIGIN + "/"))


#: The change of the link. If the answer is still readable, its button comes first.
ANSWER_KEPT: dict[str, Callable[[str], str]] = {
    "nothing": lambda link: link,
    "a full stop behind it": behind("."),
    "a comma": behind(","),
    "a semicolon": behind(";"),
    "a colon": behind(":"),
    "an exclamation mark": behind("!"),
    "a bracket of a mail": behind(">"),
    "the same, encoded": behind("%3E"),
    "a round bracket": behind(")"),
    "a square bracket": behind("]"),
    "a quotation mark": behind('"'),
    "an apostrophe": behind("'"),
    "typographic quotes": behind("\u201d\u2019\u00bb"),
    "a slash": behind("/"),
    "a backslash": behind("%5C"),
    "a blank": behind("%20"),
    "a no-break space": behind(quote(NO_BREAK)),
    "a zero-width space": behind(quote(ZERO_WIDTH)),
    "a byte order mark": behind(quote(BYTE_ORDER)),
    "a line break": behind("%0D%0A"),
    "the sentence that followed": behind("%20to%20tell%20us."),
    "Markdown's emphasis": behind("**"),
    "an underscore": behind("_"),
    "a backtick": behind("%60"),
    "an entity for a closing bracket": behind("&gt;"),
    "two slashes before confirm": path(lambda p: "/" + p),
    "two slashes everywhere": path(lambda p: p.replace("/", "//")),
    "encoded slashes": path(lambda p: p.replace("/", "%2F")),
    "slashes encoded twice": path(lambda p: p.replace("/", "%252F")),
    "slashes as character references": path(lambda p: p.replace("/", quote("&#x2F;"))),
    "backslashes": path(lambda p: p.replace("/", "%5C")),
    "every character encoded": path(lambda p: "".join(f"%{ord(c):02X}" for c in p)),
    "the whole address behind the host": lambda link: f"{ORIGIN}/{link}",
    "the whole address, encoded, behind the host": lambda link: f"{ORIGIN}/{quote(link, safe='')}",
    "the address in a parameter": lambda link: f"{ORIGIN}/?url={quote(link, safe='')}&id=7",
    "an opening bracket": path(lambda p: p.replace("confirm/", "confirm/%3C")),
    "capitals in scheme and host": lambda link: link.replace("http://", "HTTP://"),
    "capitals before the token": path(lambda p: p.replace("confirm", "Confirm")),
    "capitals in the answer": path(lambda p: p.replace("fraud", "Fraud")),
    "a soft line break in the token": at(20, "=%0D%0A"),
    "a soft line break without its line break": at(20, "="),
    "a soft line break before the token": path(lambda p: p.replace("confirm/", "con=%0D%0Afirm/")),
    "wrapped at 40 characters": path(lambda p: p[:40] + "%0A" + p[40:]),
    "wrapped, with a quote mark": path(lambda p: p[:40] + "%0A%3E%20" + p[40:]),
    "a blank in the token": at(11, "%20"),
    "a zero-width space in the token": at(11, quote(ZERO_WIDTH)),
    "a soft hyphen in the token": at(11, quote(SOFT_HYPHEN)),
    "a break opportunity in the token": at(11, quote("<wbr>").replace("wbr", "")),
    "a campaign's parameters": behind("?" + CAMPAIGN),
    "the same, escaped for HTML": behind("?" + html.escape(CAMPAIGN)),
    "a kilobyte of them": behind("?utm_content=" + "x" * 1_000),
    "60 kB of them": behind("?gclid=" + "x" * 60_000),
    "a fragment": behind("#section"),
    "an encoded question mark": behind("%3F" + CAMPAIGN),
    "parameters without a question mark": behind("&" + CAMPAIGN),
    "SafeLinks": safelinks,
    "URL Defense 2": url_defense_2,
    "URL Defense 3": url_defense_3,
    "URL Defense 3, not undone": lambda link: f"{ORIGIN}/v3/__{link}__;!!Abc123!xyz$",
}
ANSWER_LOST: dict[str, Callable[[str], str]] = {
    "the answer cut off": without_answer("/"),
    "and its slash": without_answer(""),
    "a full stop instead": without_answer("."),
    "a bracket instead": without_answer(">"),
    "a quotation mark instead": without_answer("%22"),
    "a zero-width space instead": without_answer(quote(ZERO_WIDTH)),
    "an unknown answer": without_answer("/report"),
    "half of one": without_answer("/not-fr"),
    "a letter stuck to the token": without_answer("A"),
    "parameters instead": without_answer("?" + CAMPAIGN),
}
CASES = [(what, damage, True) for what, damage in ANSWER_KEPT.items()]
CASES += [(what, damage, False) for what, damage in ANSWER_LOST.items()]


@pytest.mark.parametrize("answer", ["fraud", "not-fraud"])
@pytest.mark.parametrize(("damage", "kept"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_link_whose_token_is_whole_shows_its_case_and_takes_its_answer(
    site: Site, damage: Callable[[str], str], kept: bool, answer: str
) -> None:
    page = site.browser.get(damage(site.url(answer)))
    assert page.status_code == 200
    shown = BeautifulSoup(page.text, "html.parser")
    assert "case-1" in shown.get_text()
    assert [str(b["value"]) for b in shown.find_all("button", class_="proposed")] == ([answer] if kept else [])
    (form,) = shown.find_all("form")
    token = str(form.find("input")["value"])  # type: ignore[index]
    assert "You" in site.send(str(form["action"]), {"page": token, "answer": answer}).text
    assert len(site.answers.log) == 1


@pytest.mark.parametrize("damage", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_a_form_may_be_sent_to_the_damaged_link_itself(site: Site, damage: Callable[[str], str]) -> None:
    form = site.form(site.url())
    posted = site.browser.post(damage(site.url()), data=form)
    assert posted.status_code == 303
    assert len(site.answers.log) == 1


def test_a_token_that_is_not_whole_shows_nothing_however_it_is_wrapped(site: Site) -> None:
    for _, damage, _ in CASES:
        url = site.url()
        token = url.rsplit("/", 2)[1]
        for forged in (token[:-2], token[:-2] + ("AA" if not token.endswith("AA") else "BB"), token[1:]):
            assert site.browser.get(damage(url.replace(token, forged))).status_code == 404


def test_looking_for_a_token_takes_bounded_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = "confirm" + base64.urlsafe_b64encode(b"x" * 9).decode() + ".aaaaaa." + "b" * 43
    asked = 0
    read = site.links._read

    def count(token: str) -> tuple[str, bool]:
        nonlocal asked
        asked += 1
        return read(token)

    monkeypatch.setattr(site.links, "_read", count)
    assert site.browser.get("/" + "/".join([forged] * 500)).status_code == 404
    assert asked <= 4
    assert site.browser.get("/" + "x" * LONGEST_LOOK + site.url().removeprefix(ORIGIN)).status_code == 404
