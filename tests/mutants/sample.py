"""``python -m tests.mutants.sample SEED NUMBER PACKAGE``: chooses changes of a package's code at random.

Runs in the environment of cosmic-ray. It prints the number of places that it can change, and then each chosen change as
a line of JSON with the whole changed module. Most places can be changed in several ways, a comparison in up to seven:
one way is chosen for each place, so that the sample doesn't consist of comparisons only.
"""

import json
import random
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code

Position = tuple[int, int]


def main(seed: int, number: int, package: str) -> None:
    """Prints the number of places, and the chosen changes."""
    chance = random.Random(f"{seed} {package}")  # noqa: S311  no secret
    places = [ways for module in sorted(Path(package).rglob("*.py")) for ways in ways_of(module)]
    print(len(places))
    chance.shuffle(places)
    chosen = (changed(*chance.choice(ways)) for ways in places)
    for change in islice(filter(None, chosen), number):
        print(json.dumps(change))


def changed(module: Path, position: Position, operator: str, occurrence: int) -> dict[str, Any] | None:
    """A change with its source, unless Python refuses the source or warns of it: then all tests would fail."""
    try:
        after = mutate_code(module.read_text(), plugins.get_operator(operator)(), occurrence)
    except AttributeError:  # cosmic-ray 8.7.0 can't replace a dotted exception
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(after, "", "exec")
        except (SyntaxError, SyntaxWarning):
            return None
    return {"module": str(module), "line": position[0], "operator": operator.removeprefix("core/"), "after": after}


def ways_of(module: Path) -> list[list[tuple[Path, Position, str, int]]]:
    """Every place of a module, with all ways to change it."""
    ways = defaultdict(list)
    lines = module.read_text().splitlines()
    nodes = list(ast_nodes(get_ast_from_path(module)))
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        # A `|` is nearly always part of a type here, and most of those are never evaluated.
        if operator.arguments() or "_BitOr_" in name or name == "core/NoOp":
            continue
        for occurrence, position in enumerate(positions(operator(), nodes)):
            if not lines[position[0] - 1].startswith("@dataclass"):  # tests don't notice frozen and slots
                ways[position].append((module, position, name, occurrence))
    return [ways[position] for position in sorted(ways)]


def positions(operator: Any, nodes: list[Any]) -> Iterator[Position]:
    """The positions that an operator can change, in its own order."""
    for node in nodes:
        for start, _ in operator.mutation_positions(node):
            yield start


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
