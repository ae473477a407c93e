"""The site that `make docs` builds: it has every page, and code on the pages can be parsed and uses existing names."""

import ast
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fraudstream.settings import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
#: The starts of code blocks with commands, in contrast to output.
COMMANDS = ("make ", ".venv/bin/", "python ", "export ", "FRAUDSTREAM_", "terraform ", "docker ", "gcloud ", "git ")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each code block on a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


PYTHON = [
    pytest.param(text, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, (language, text) in enumerate(blocks(page))
    if language == "python"
]
SHELL = [
    pytest.param(text, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, (language, text) in enumerate(blocks(page))
    if language in {"sh", "bash"} or (not language and text.startswith(COMMANDS))
]


def defined(module: str) -> set[str]:
    """Top-level names of a module of the project, read from its source: importing all modules takes seconds."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    names: set[str] = set()
    for node in ast.parse(Path(spec.origin).read_text()).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name for alias in aliases)
    return names


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {page.name for page in DOCS.glob("*.md")} == listed


@pytest.mark.parametrize("block", PYTHON)
def test_python_on_a_page_parses_and_what_it_imports_of_ours_exists(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fraudstream."):
            assert {alias.name for alias in node.names} <= defined(node.module or "")


@pytest.mark.parametrize("block", SHELL)
def test_commands_on_a_page_parse(block: str) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    run = subprocess.run([bash, "-n"], input=block, text=True, capture_output=True, check=False)
    assert run.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_runs_exists(page: Path) -> None:
    for named in set(re.findall(r"-m ((?:fraudstream|local|docs|tests|benchmarks)[\w.]*)", page.read_text())):
        module = named.rstrip(".")
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        if spec.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{module}.__main__") is not None, module
