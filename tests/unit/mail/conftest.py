"""Fixtures that tests of the mail sink share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.mail.bench import Bench


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    """Makes benches with the given settings; their sinks are closed at the end."""
    made: list[Bench] = []

    def make(**values: Any) -> Bench:
        made.append(Bench(**values))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
