"""Which unit tests run which lines: measured once, with the unchanged code."""

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage, CoverageData

#: The unit tests that may notice a change. The others test the surroundings of the code: containers, pages, the stack.
FOLDERS = [
    f"tests/unit/{name}"
    for name in ("cases", "dataset", "desk", "kafka", "lake", "mail", "pipeline", "site", "test_settings.py")
]


class Measuring:
    """A pytest plugin that measures coverage by test, and the duration of each test."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._coverage = Coverage(data_file="coverage.sqlite", source=["plugins/fraudstream"], config_file=False)
        self._coverage.start()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        started = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - started
        self._coverage.switch_context("")

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        self._coverage.save()


class Covering:
    """The measured coverage.

    :param seconds: duration of each test
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._data = CoverageData("coverage.sqlite")
        self._data.read()

    def tests(self, module: str, line: int) -> list[str]:
        """The tests that run the statement of a line: first those of its own package, then by duration.

        A statement that runs when its module is imported counts as run by every test of the module.
        """
        path = Path(module)
        tests = self._data.contexts_by_lineno(str(path.resolve()))
        found = {test for number in statement(path.read_text(), line) for test in tests.get(number, [])}
        if "" in found:
            found = {test for names in tests.values() for test in names}
        own = f"tests/unit/{path.parts[2]}/"
        return sorted(found & self._seconds.keys(), key=lambda test: (not test.startswith(own), self._seconds[test]))

    def seconds(self, tests: list[str]) -> float:
        """The total duration of these tests."""
        return sum(self._seconds[test] for test in tests)


def statement(source: str, line: int) -> range:
    """The lines of the innermost statement around a line; of a compound statement only its head."""
    around = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt) and line in whole(node)]
    head = heading(min(around, key=lambda node: len(whole(node)))) if around else range(0)
    # `except`, `else` and `case` are separate lines within a statement.
    return head if line in head else range(line, line + 1)


def whole(node: ast.stmt) -> range:
    """All lines of a statement, with its decorators and its blocks."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return range(first, node.end_lineno + 1)


def heading(node: ast.stmt) -> range:
    """The lines of a statement before its first block."""
    first, end = whole(node).start, node.end_lineno + 1
    if isinstance(node, ast.Match):
        end = node.subject.end_lineno + 1
    elif body := getattr(node, "body", None):
        end = body[0].lineno
    return range(first, max(end, node.lineno + 1))
