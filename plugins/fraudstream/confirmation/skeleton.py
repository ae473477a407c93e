"""A page that Jinja renders once, with marks where values go; each visit only fills in its values, escaped."""

import re
from collections.abc import Mapping
from html import escape  # markupsafe's makes an object of its own of each value, which takes 5 times as long

_MARKED = re.compile("\ue000(.*?)\ue001")


def mark(name: str) -> str:
    """What stands in the rendered page for the value of this name."""
    return f"\ue000{name}\ue001"


class Skeleton:
    """The page between its values."""

    def __init__(self, rendered: str) -> None:
        #: Text, name, text, name … text.
        self._parts = _MARKED.split(rendered)
        self._names = self._parts[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """The page with its values, each escaped.

        :raises KeyError: a value is missing
        """
        parts = self._parts.copy()
        parts[1::2] = [escape(values[name]) for name in self._names]
        return "".join(parts)
