"""Terraform files as plain values: blocks by their labels, expressions as text.

It needs no terraform binary; python-hcl2 refuses text that isn't HCL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

MARKS = ("__is_block__", "__comments__", "__inline_comments__")


@dataclass(frozen=True)
class Block:
    """A top-level block: its kind, its labels, its body and its file."""

    kind: str
    labels: tuple[str, ...]
    body: dict[str, Any]
    file: str

    @property
    def address(self) -> str:
        """Its address as Terraform prints it: `google_compute_instance.kafka`, `var.project`."""
        return ".".join(self.labels) if self.kind == "resource" else ".".join((self.kind, *self.labels))


def unquote(name: str) -> str:
    """Removes the quotes that python-hcl2 keeps around labels and strings."""
    return name[1:-1] if name.startswith('"') and name.endswith('"') else name


def is_block(value: Any) -> bool:
    """Whether `value` was written as blocks and not as an attribute."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "__is_block__" in v for v in value)


def members(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The attributes and blocks of a body, without the parser's own entries."""
    return ((unquote(name), value) for name, value in body.items() if name not in MARKS)


def parse(text: str, file: str) -> list[Block]:
    """Returns all top-level blocks.

    :raises ValueError: the text isn't HCL; the message names the file and the place
    """
    try:
        document = hcl2.loads(text if text.endswith("\n") else f"{text}\n")
    except Exception as error:  # lark's errors have no common root in hcl2's interface
        raise ValueError(f"{file} isn't HCL: {error}") from error
    return [block for kind, bodies in members(document) for body in bodies for block in _blocks(kind, (), body, file)]


def _blocks(kind: str, labels: tuple[str, ...], body: dict[str, Any], file: str) -> Iterator[Block]:
    if "__is_block__" in body:
        yield Block(kind, labels, body, file)
        return
    for label, inner in members(body):
        yield from _blocks(kind, (*labels, label), inner, file)


def load(folder: Path) -> list[Block]:
    """All blocks of the `.tf` files in a folder, which is a Terraform module."""
    return [block for path in sorted(folder.glob("*.tf")) for block in parse(path.read_text(), path.name)]


def texts(value: Any) -> Iterator[str]:
    """All strings in a value, at any depth, which include expressions and references."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in MARKS:
                yield name
                yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def expressions(value: Any) -> Iterator[str]:
    """The parts of a value that Terraform evaluates: its strings without their literal text."""
    for text in texts(value):
        if "${" in text:
            yield _without_literals(text)


def _without_literals(text: str) -> str:
    """Removes literal text: keeps what is outside quotes, and inside `${…}` within quotes, at any depth."""
    kept: list[str] = []
    depth: list[str] = []  # open strings and brackets, the innermost last
    position = 0
    while position < len(text):
        in_string = bool(depth) and depth[-1] == '"'
        if in_string and text[position] == "\\":
            position += 2
            continue
        if text.startswith("${", position):
            depth.append("{")
            kept.append(" ")
            position += 2
            continue
        character = text[position]
        if character == '"':
            if in_string:
                depth.pop()
            else:
                depth.append('"')
            kept.append('"')
        elif not in_string:
            if character == "{":
                depth.append("{")
            elif character == "}" and depth:
                depth.pop()
            kept.append(character)
        position += 1
    return "".join(kept)
