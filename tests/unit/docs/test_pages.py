"""The pages agree with the code, and their links work."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from fraudstream.settings import ROOT, Settings

from docs.generate import (
    DAGS_PAGE,
    METRICS_PAGE,
    METRICS_TABLES,
    SETTINGS_PAGE,
    SETTINGS_TABLES,
    dags_page,
    with_tables,
)
from local.stack.ports import PORTS, PREFIX

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *DECISIONS]
IMAGES = sorted((ROOT / "docs" / "images").iterdir())
ANEW = "run: .venv/bin/python -m docs.generate"

#: Variables that are read before the settings.
OTHERS = {"FRAUDSTREAM_SECRETS_DIR", "FRAUDSTREAM_STACK", "FRAUDSTREAM_PORT_"}
VARIABLES = {
    *(f"FRAUDSTREAM_{name.upper()}" for name in Settings.model_fields),
    *(f"{PREFIX}{name.upper()}" for name in PORTS),
    *OTHERS,
}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_list_of_dags_is_made_from_the_dag_files() -> None:
    assert DAGS_PAGE.read_text() == dags_page(sorted((ROOT / "dags").glob("*.py"))), ANEW


@pytest.mark.parametrize(("file", "tables"), [(SETTINGS_PAGE, SETTINGS_TABLES), (METRICS_PAGE, METRICS_TABLES)])
def test_the_tables_of_a_page_are_made_from_the_code(file: Path, tables: dict[str, Callable[[], str]]) -> None:
    page = file.read_text()
    assert page == with_tables(page, tables), ANEW


def test_the_settings_page_shows_no_secret() -> None:
    page = SETTINGS_PAGE.read_text()
    for name, field in Settings.model_fields.items():
        for secret in field.default if isinstance(field.default, list) else [field.default]:
            if hasattr(secret, "get_secret_value") and secret.get_secret_value():
                assert secret.get_secret_value() not in page, name


def test_a_page_without_the_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="places for the table of settings"):
        with_tables("# Settings\n", SETTINGS_TABLES)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pages
def test_every_variable_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"FRAUDSTREAM_[A-Z][A-Z0-9_]*", page.read_text()))
    assert named <= VARIABLES


@pages
def test_every_link_and_picture_within_the_repository_is_there(page: Path) -> None:
    for target in re.findall(r"(?:\]\(|src=\")([^)\s\"]+)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pages
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    blocks = re.findall(r"`([^`]+)`|```\n(.*?)```", page.read_text(), re.DOTALL)
    named = {target for block in blocks for text in block for target in re.findall(r"\bmake ([a-z-]+)", text)}
    assert named <= targets


def test_the_list_of_dags_has_a_section_for_each_file() -> None:
    listed = DAGS_PAGE.read_text()
    assert {file.stem for file in (ROOT / "dags").glob("*.py")} == set(re.findall(r"^## (\w+)$", listed, re.MULTILINE))


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.stem)
def test_a_decision_has_its_number_status_context_and_consequences(decision: Path) -> None:
    text = decision.read_text()
    assert text.startswith(f"# {int(decision.stem[:4])}. ")
    assert re.search(r"^Status: (accepted|replaced by )", text, re.MULTILINE)
    headings = re.findall(r"^## (\w+)", text, re.MULTILINE)
    assert headings[:2] == ["Context", "Decision"]
    assert headings[-1] == "Consequences"


def test_no_two_decisions_have_one_number() -> None:
    numbers = [decision.stem[:4] for decision in DECISIONS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_picture_is_small_and_shown_somewhere(image: Path) -> None:
    assert image.stat().st_size < 250_000
    assert any(f"images/{image.name}" in page.read_text() for page in PAGES)


def test_the_changelog_starts_with_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == version


def test_the_words_and_names_that_replaced_others_are_in_use_and_the_others_are_not() -> None:
    page = (ROOT / "docs" / "words.md").read_text()
    sentences, names = ([line.split(" | ") for line in part.splitlines()[4:]] for part in page.split("\n## ")[1:])
    modules = "\n".join(f"{file}\n{file.read_text()}" for file in (ROOT / "plugins" / "fraudstream").rglob("*.py"))
    others = [ROOT / "Makefile", *PAGES, *(ROOT / "dags").glob("*.py")]
    text = modules + "".join(file.read_text() for file in others if file.name != "words.md")
    assert (len(sentences), len(names)) == (10, 10)
    for _, before, after in sentences:
        assert before not in text
        assert after.removesuffix(" |") in text, after
    for before, after, _ in names:
        assert f"def {before.strip('`| ')}(" not in modules
        assert after.strip("`") in modules, after


def test_the_decision_on_the_local_stack_counts_the_lines_of_its_programs() -> None:
    text = (ROOT / "docs/decisions/0002-local-stack.md").read_text()
    for total, folder, named in re.findall(r"(\d+) lines in `(local/\w+)/`([^\n]*?)\.", text):
        lines = {file.name: len(file.read_text().splitlines()) for file in (ROOT / folder).glob("*.py")}
        assert sum(lines.values()) - lines["__init__.py"] == int(total), folder
        assert re.findall(r"`(\w+\.py)` (\d+)", named) == [
            (name, str(lines[name])) for name in re.findall(r"`(\w+\.py)`", named)
        ]
    assert text.count(" lines in `local/") == 2
