"""Rules for the Terraform files: functions from files to findings, which are empty if there are no problems.

`check_schema` compares each google resource and data source with the provider's schema: unknown and missing arguments,
blocks in the wrong place, values of a wrong kind or outside the documented set.
`check_references` resolves every reference: variables, locals, resources, and the attributes read from them.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.unit.deploy.provider_schema import Argument, ProviderSchema
from tests.unit.deploy.terraform_files import Block, expressions, is_block, members, unquote

#: Arguments that Terraform itself allows in every resource. Provisioners and connections are left out on purpose.
META_ARGUMENTS = {"count", "for_each", "depends_on", "provider", "lifecycle"}

_REFERENCE = re.compile(
    r"(?<![\w.-])(?P<section>data\.|ephemeral\.)?(?P<type>google_\w+|random_\w+|archive_\w+)\.(?P<name>\w+)"
    r"(?:\[[^]]*])?(?:\.(?P<attribute>\w+))?"
)
_NAMED = re.compile(r"(?<![\w.])(?P<kind>var|local)\.(?P<name>\w+)")


def check_schema(blocks: list[Block], schema: ProviderSchema) -> list[str]:
    """All findings; each names file, resource, argument and problem."""
    return [finding for block in blocks for finding in _check_block(block, schema)]


def _check_block(block: Block, schema: ProviderSchema) -> Iterator[str]:
    if block.kind not in ("resource", "data") or not block.labels[0].startswith("google_"):
        return
    where = f"{block.file}: {block.address}"
    entity = schema.entities.get((block.kind, block.labels[0]))
    if entity is None:
        yield f"{where}: the provider has no {block.kind} {block.labels[0]}"
        return
    body = {name: value for name, value in members(block.body) if name not in META_ARGUMENTS}
    yield from _check_body(where, body, schema.arguments(entity.struct), schema)


def _check_body(where: str, body: dict[str, Any], known: dict[str, Argument], schema: ProviderSchema) -> Iterator[str]:
    given: dict[str, list[Any]] = {}
    dynamic: set[str] = set()
    for name, value in body.items():
        if name == "dynamic":
            for labelled in value:
                for label, generator in members(labelled):
                    dynamic.add(label)
                    given.setdefault(label, []).extend(generator["content"])
        elif is_block(value):
            given.setdefault(name, []).extend(value)
        else:
            given[name] = [value]
    for name, values in given.items():
        argument = known.get(name)
        if argument is None:
            yield f"{where}: unknown argument {name!r}; known: {', '.join(sorted(known))}"
            continue
        yield from _check_values(f"{where}.{name}", argument, values, name in dynamic, schema)
    for argument in known.values():
        if argument.required and argument.name not in given:
            yield f"{where}: required argument {argument.name!r} is missing"


def _check_values(
    where: str, argument: Argument, values: list[Any], dynamic: bool, schema: ProviderSchema
) -> Iterator[str]:
    blocks = [value for value in values if is_block([value])]
    if argument.is_block and len(blocks) != len(values):
        yield f"{where}: must be written as a block"
        return
    if not argument.is_block and blocks:
        yield f"{where}: is an attribute, not a block: write it with ="
        return
    if argument.is_block:
        if len(values) > 1 and not argument.repeated:
            yield f"{where}: given {len(values)} times, the provider takes it once"
        if argument.struct is None:
            raise ValueError(f"{where}: the assembly names no struct for this block: its form has changed")
        for value in values:
            yield from _check_body(where, dict(members(value)), schema.arguments(argument.struct), schema)
        return
    yield from _check_literal(where, argument, values[0])


def _check_literal(where: str, argument: Argument, value: Any) -> Iterator[str]:
    """Checks kinds that Terraform can't convert into each other; expressions are left to Terraform."""
    expression = isinstance(value, str) and "${" in value
    if expression:
        return
    expected = argument.kind
    found = _literal_kind(value)
    scalars = {"string", "number", "boolean"}
    wrong = (
        (expected == "list" and found != "list")
        or (expected == "map" and found != "map")
        or (expected in scalars and found not in scalars)
        or (expected == "number" and not _is_number(value))
        or (expected == "boolean" and str(value).lower().strip('"') not in ("true", "false"))
    )
    if wrong:
        yield f"{where}: {value!r} is a {found}, the provider takes a {expected}"
    elif argument.values and found == "string" and unquote(value) not in argument.values:
        yield f"{where}: {unquote(value)!r} is none of {', '.join(sorted(argument.values))}"


def _literal_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {list: "list", dict: "map"}.get(type(value), "string")


def _is_number(value: Any) -> bool:
    return re.fullmatch(r'"?-?\d+(\.\d+)?"?', str(value)) is not None and not isinstance(value, bool)


def check_references(blocks: list[Block], schema: ProviderSchema) -> list[str]:
    """Finds undeclared names, attributes that the provider doesn't have, and unused declarations."""
    declared = {
        (block.kind, ".".join(block.labels)) for block in blocks if block.kind in ("resource", "data", "ephemeral")
    }
    variables = {block.labels[0] for block in blocks if block.kind == "variable"}
    local_names = [name for block in blocks if block.kind == "locals" for name, _ in members(block.body)]
    read: set[tuple[str, str]] = set()
    findings = []
    for block in blocks:
        where = f"{block.file}: {block.address}"
        for text in expressions(block.body):
            for match in _NAMED.finditer(text):
                known = variables if match["kind"] == "var" else local_names
                if match["name"] not in known:
                    findings.append(f"{where}: {match[0]} isn't declared")
                read.add((match["kind"], match["name"]))
            findings.extend(f"{where}: {finding}" for finding in _check_reads(text, declared, schema))
    findings.extend(f"variable {name!r} is read nowhere" for name in sorted(variables) if ("var", name) not in read)
    findings.extend(f"local {name!r} is read nowhere" for name in local_names if ("local", name) not in read)
    twice = Counter(block.kind + " " + ".".join(block.labels) for block in blocks if block.labels)
    twice.update(f"local {name}" for name in local_names)
    findings.extend(f"{name} is declared {count} times" for name, count in twice.items() if count > 1)
    return findings


def _check_reads(text: str, declared: set[tuple[str, str]], schema: ProviderSchema) -> Iterator[str]:
    for match in _REFERENCE.finditer(text):
        kind = (match["section"] or "resource.").rstrip(".")
        if (kind, f"{match['type']}.{match['name']}") not in declared:
            yield f"{match[0]} isn't declared"
        entity = schema.entities.get((kind, match["type"]))
        if entity is not None and match["attribute"] and match["attribute"] not in entity.readable:
            yield f"{match[0]}: {match['type']} has no attribute {match['attribute']!r}"


_MODULE = re.compile(r"(?<![\w.])module\.(?P<name>\w+)(?:\[[^]]*])?(?:\.(?P<output>\w+))?")


def check_modules(modules: dict[str, list[Block]]) -> list[str]:
    """Compares calls of modules with the modules' own variables and outputs.

    `modules` has the blocks of each module by its folder relative to the root, which is "".
    """
    return [finding for folder in modules for finding in _check_calls(folder, modules)]


def _check_calls(folder: str, modules: dict[str, list[Block]]) -> list[str]:
    findings = []
    calls = [block for block in modules[folder] if block.kind == "module"]
    sources = {
        call.labels[0]: posixpath.normpath(f"{folder}/{unquote(call.body['source'])}".lstrip("/")) for call in calls
    }
    for block in modules[folder]:
        if block.kind == "module":
            where = f"{block.file}: {block.address}"
            variables = {b.labels[0]: b.body for b in modules[sources[block.labels[0]]] if b.kind == "variable"}
            given = {name for name, _ in members(block.body)} - META_ARGUMENTS - {"source", "providers"}
            findings.extend(f"{where}: unknown variable {name!r}" for name in sorted(given - set(variables)))
            needed = {name for name, body in variables.items() if "default" not in body}
            findings.extend(
                f"{where}: variable {name!r} has no default and isn't given" for name in sorted(needed - given)
            )
        for text in expressions(block.body):
            for match in _MODULE.finditer(text):
                where = f"{block.file}: {block.address}"
                source = sources.get(match["name"])
                if source is None:
                    findings.append(f"{where}: module.{match['name']} isn't declared")
                elif match["output"] and match["output"] not in {
                    b.labels[0] for b in modules[source] if b.kind == "output"
                }:
                    findings.append(f"{where}: module.{match['name']} has no output {match['output']!r}")
    return findings
