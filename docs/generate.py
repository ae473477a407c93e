"""``python -m docs.generate``: generates docs/dags.md and the tables in docs/settings.md and docs/metrics.md.

Unit tests fail if a page differs from what this module generates from the code.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from fraudstream.pipeline import thresholds
from fraudstream.pipeline.metrics import METRICS
from fraudstream.pipeline.metrics import PREFIX as PREFIX_OF_METRICS
from fraudstream.settings import ROOT, Settings
from pydantic.fields import FieldInfo

from local.stack.ports import PORTS, PREFIX

DAGS_PAGE = ROOT / "docs" / "dags.md"
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
METRICS_PAGE = ROOT / "docs" / "metrics.md"

_INTRODUCTION = """# DAGs

Made from the files in dags/ by `.venv/bin/python -m docs.generate`; change a DAG's docstring, not this page.
"""
_BOUNDS = {"gt": "above", "ge": "at least", "le": "at most", "lt": "below"}
_PARAM_BOUNDS = {"minimum": "at least", "maximum": "at most", "maxItems": "at most (items)", "pattern": "pattern"}


def main() -> None:
    """Writes the three pages."""
    DAGS_PAGE.write_text(dags_page(sorted((ROOT / "dags").glob("*.py"))))
    SETTINGS_PAGE.write_text(with_tables(SETTINGS_PAGE.read_text(), SETTINGS_TABLES))
    METRICS_PAGE.write_text(with_tables(METRICS_PAGE.read_text(), METRICS_TABLES))


def dags_page(files: list[Path]) -> str:
    """The page docs/dags.md: a table of all DAGs, then the docstring and the params of each."""
    sections, rows = [], []
    for file in files:
        module = ast.parse(file.read_text())
        call = _dag_call(module)
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        title, _, text = (ast.get_docstring(module) or "").partition("\n")
        schedule = _schedule(keywords["schedule"])
        owner = ast.literal_eval(_items(module, keywords["default_args"])["owner"])
        tags = ", ".join(ast.literal_eval(keywords["tags"]))
        rows.append((f"[{file.stem}](#{file.stem})", schedule, tags, owner))
        params = list(_params(_items(module, keywords["params"]))) if "params" in keywords else []
        table = _table(("param", "type", "default", "bounds", "what it is"), params) if params else "No params.\n"
        sections.append(f"## {file.stem}\n\n**{title.lstrip('# ')}.** {text.strip()}\n\n{table}")
    return "\n".join([_INTRODUCTION, _table(("DAG", "schedule", "tags", "owner"), rows), *sections])


def _schedule(value: ast.expr) -> str:
    return str(value.value or "when triggered") if isinstance(value, ast.Constant) else f"`{ast.unparse(value)}`"


def with_tables(page: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """Returns the page with new tables between their markers.

    :param tables: functions that make a table, by the name in its markers
    :raises ValueError: a table's pair of markers isn't there exactly once
    """
    for name, make in tables.items():
        table = make()
        block = f"<!-- {name}: made by docs/generate.py -->\n{table}<!-- end of {name} -->"
        pieces = re.split(rf"(?s)<!-- {name}: .*?<!-- end of {name} -->", page)
        if len(pieces) != 2:
            raise ValueError(f"the page has {len(pieces) - 1} places for the table of {name}; expected one")
        page = block.join(pieces)
    return page


def _dag_call(module: ast.Module) -> ast.Call:
    """The call ``dag(...)`` of the decorator in a DAG file."""
    for node in module.body:
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else []:
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "dag":
                return decorator
    raise ValueError("a file in dags/ has no function with the decorator @dag(...)")


def _resolved(module: ast.Module, value: ast.expr) -> ast.expr:
    """The expression itself; for a name imported from a module of plugins/, the expression assigned to it there."""
    if not isinstance(value, ast.Name):
        return value
    imports = (node for node in module.body if isinstance(node, ast.ImportFrom))
    source = next(node.module or "" for node in imports if value.id in {alias.name for alias in node.names})
    file = ROOT / "plugins" / Path(*source.split(".")).with_suffix(".py")
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if [ast.unparse(target) for target in targets] == [value.id]:
                return node.value
    raise ValueError(f"{file.name} assigns nothing to {value.id}")


def _items(module: ast.Module, mapping: ast.expr) -> dict[str, ast.expr]:
    """The items of a dict expression, with those of dicts that it merges with ``**``."""
    mapping = _resolved(module, mapping)
    if not isinstance(mapping, ast.Dict):
        raise TypeError(f"line {mapping.lineno} of a DAG file: expected a dict written out, found {ast.dump(mapping)}")
    found: dict[str, ast.expr] = {}
    for name, value in zip(mapping.keys, mapping.values, strict=True):
        found |= _items(module, value) if name is None else {ast.literal_eval(name): value}
    return found


def _params(params: Mapping[str, ast.expr]) -> Iterator[tuple[str, ...]]:
    for name, call in params.items():
        if not isinstance(call, ast.Call):
            raise TypeError(f"line {call.lineno} of a DAG file: param {name} isn't a Param(...)")
        given = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
        types = given["type"] if isinstance(given["type"], list) else [given["type"]]
        bounds = [f"{words} {_code(given[key])}" for key, words in _PARAM_BOUNDS.items() if key in given]
        bounds += [" or ".join(map(_code, given["enum"]))] if "enum" in given else []
        kind = " or ".join("empty" if kind == "null" else kind for kind in reversed(types))
        default = ast.literal_eval(call.args[0])
        yield f"`{name}`", kind, _code(default), ", ".join(bounds), given["description"]


def _settings_table() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        rows.append((f"`FRAUDSTREAM_{name.upper()}`", _default(field), _allowed(field), field.description or ""))
    return _table(("variable", "default", "allowed", "what it is"), rows)


def _ports_table() -> str:
    rows = [(f"`{PREFIX}{name.upper()}`", str(port), what) for name, (port, what) in PORTS.items()]
    return _table(("variable", "default", "what listens there"), rows)


def _metrics_table() -> str:
    rows = [
        (f"`{PREFIX_OF_METRICS}{one.name}`", one.kind, one.unit, ", ".join(map(_code, one.tags)), *one[4:])
        for one in METRICS
    ]
    return _table(("name", "kind", "unit", "tags", "reported by", "what it is"), rows)


def _limits_table() -> str:
    limits = {name: value for name, value in vars(thresholds).items() if isinstance(value, thresholds.Threshold)}
    rows = [(f"`{name}`", f"{limit.amber:g}", f"{limit.red:g}") for name, limit in limits.items()]
    return _table(("limit", "amber from", "red from"), rows)


SETTINGS_TABLES = {"settings": _settings_table, "ports": _ports_table}
METRICS_TABLES = {"metrics": _metrics_table, "limits": _limits_table}


def _default(field: FieldInfo) -> str:
    return "" if "SecretStr" in repr(field.annotation) else _code(field.default)


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(_code, get_args(field.annotation)))
    bounds = [
        f"{words} {getattr(bound, key)}"
        for bound in field.metadata
        for key, words in _BOUNDS.items()
        if getattr(bound, key, None) is not None
    ]
    return ", ".join(bounds)


def _code(value: Any) -> str:
    """A value in Markdown code, as a user types it in a variable or a form; an empty string for an empty value."""
    match value:
        case None | "" | []:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case list():
            return f"`{','.join(map(str, value))}`"
        case _ if hasattr(value, "isoformat"):
            return f"`{value.isoformat()}`"
    return f"`{value}`"


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
