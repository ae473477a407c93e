from collections.abc import Callable
from typing import Any

import pytest
from fraudstream.cases.links.signed import Links
from fraudstream.settings import Settings


@pytest.fixture
def keyed() -> Callable[..., Links]:
    """Links signed with given keys, on this machine's address."""

    def links(*keys: str, **changes: Any) -> Links:
        return Links(Settings(confirmation_keys=list(keys), **changes))

    return links
