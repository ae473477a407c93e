"""The schema of Terraform's google provider, read from the wheel cdktn-provider-google.

The wheel contains a jsii assembly: for each resource and data source a class (its readable attributes) and a config
struct (its arguments), generated from the provider's own schema. Reading it takes about five seconds and no network.

It doesn't show which arguments exclude each other, or which values only Google's API refuses.
"""

import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

PREFIX = "@cdktn/provider-google."
BASES = {"cdktn.TerraformResource": "resource", "cdktn.TerraformDataSource": "data"}

_TERRAFORM_NAME = re.compile(r"#\w+ \w+#(\w+)}")
_TERRAFORM_TYPE = re.compile(r"\{@link \S+ (google_\w+)}")
_POSSIBLE_VALUES = re.compile(r"Possible values: \[([^]]*)]")


def wheel_path() -> Path:
    """Path to which `make check-deploy` downloads the wheel.

    :raises FileNotFoundError: it isn't downloaded
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "fraudstream" / "terraform-schema"
    found = sorted(folder.glob("cdktn_provider_google-*.whl"))
    if not found:
        raise FileNotFoundError(f"no cdktn-provider-google wheel in {folder}: `make check-deploy` downloads it")
    return found[-1]


def snake(name: str) -> str:
    """`sslCertificatesList` → `ssl_certificates_list`."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


@dataclass(frozen=True)
class Argument:
    """An argument: an attribute, or a block with its own arguments."""

    name: str
    required: bool
    is_block: bool
    repeated: bool
    #: string, number, boolean, any, list, map; "object" for blocks and nested attributes
    kind: str
    struct: str | None
    values: frozenset[str]


@dataclass(frozen=True)
class Entity:
    """A resource or data source."""

    type: str
    struct: str
    readable: frozenset[str]


@dataclass
class ProviderSchema:
    """The arguments and attributes of the provider's resources and data sources."""

    types: dict[str, Any]
    _structs: dict[str, dict[str, Argument]] = field(default_factory=dict)

    @classmethod
    def from_wheel(cls, wheel: Path) -> "ProviderSchema":
        """Reads the assembly from the wheel without unpacking it to disk."""
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(archive.read(name)), mode="r:gz") as assembly:
                member = assembly.extractfile("package/.jsii")
                if member is None:
                    raise FileNotFoundError(f"{wheel.name} has no package/.jsii in {name}")
                return cls(json.load(member)["types"])

    @cached_property
    def entities(self) -> dict[tuple[str, str], Entity]:
        """All resources and data sources, by ("resource" or "data", Terraform type)."""
        return {(section, entity.type): entity for section, entity in self._read_entities()}

    def _read_entities(self) -> Iterator[tuple[str, Entity]]:
        for fqn, described in self.types.items():
            section = BASES.get(described.get("base", ""))
            if section is None:
                continue
            match = _TERRAFORM_TYPE.search(described["docs"]["summary"])
            if match is None:
                raise ValueError(f"{fqn} doesn't say which Terraform type it is: the assembly's form has changed")
            settable = {argument.name for argument in self.arguments(f"{fqn}Config").values()}
            computed = {snake(p["name"]) for p in described.get("properties", []) if not p.get("static")}
            yield section, Entity(match[1], f"{fqn}Config", frozenset(settable | computed))

    def arguments(self, struct: str) -> dict[str, Argument]:
        """The arguments of a resource or of one of its blocks, by Terraform's name."""
        if struct not in self._structs:
            read = (_argument(described) for described in self.types[struct].get("properties", []))
            self._structs[struct] = {argument.name: argument for argument in read}
        return self._structs[struct]


def _argument(described: dict[str, Any]) -> Argument:
    docs = described.get("docs", {})
    text = f"{docs.get('summary', '')} {docs.get('remarks', '')}"
    name = _TERRAFORM_NAME.search(text)
    kind, repeated, struct = _kind(described["type"])
    values = _POSSIBLE_VALUES.search(text)
    return Argument(
        name=name[1] if name else snake(described["name"]),
        required=not described.get("optional", False),
        is_block=docs.get("summary", "").endswith(" block."),
        repeated=repeated,
        kind=kind,
        struct=struct,
        values=frozenset(re.findall(r'"([^"]*)"', values[1])) if values else frozenset(),
    )


def _kind(described: dict[str, Any]) -> tuple[str, bool, str | None]:
    """(kind, repeated, struct) of a jsii type; for a union, of its member that isn't cdktn's token type."""
    if "union" in described:
        members = [member for member in described["union"]["types"] if member.get("fqn") != "cdktn.IResolvable"]
        return _kind(members[0])
    if "primitive" in described:
        return described["primitive"], False, None
    if "collection" in described:
        collection = described["collection"]
        element, _, struct = _kind(collection["elementtype"])
        if struct is not None:
            return element, True, struct
        return ("list" if collection["kind"] == "array" else "map"), True, None
    if described["fqn"].startswith(PREFIX):
        return "object", False, described["fqn"]
    return "any", False, None
