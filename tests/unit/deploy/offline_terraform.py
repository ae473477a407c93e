"""``python -m tests.unit.deploy.offline_terraform``: terraform validate and terraform test without any provider.

Terraform requests a provider's schema over gRPC. This module answers with the schema of the wheel (google), and with
the parts of random and archive that terraform/ uses. So Terraform's own type checks, functions, validations and tests
run where providers can't be downloaded. It plans no resources of Google: terraform/tests mocks that provider. A
resource that no run of terraform/tests plans is also a failure.

The exit code is Terraform's, or 1 for such a resource. It is 0, with a message, if terraform isn't installed: the
schema checks of this folder don't need it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc

from tests.unit.deploy.provider_schema import PREFIX, Argument, ProviderSchema, snake, wheel_path
from tests.unit.deploy.terraform_files import load

TERRAFORM = Path(__file__).resolve().parents[3] / "terraform"

#: Fields of the plugin protocol's messages (version 6), as far as they are used here.
SINGLE, LIST = 1, 2  # nesting of a block
Answer = Callable[[bytes], bytes]


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(field: int, content: bytes | str | int) -> bytes:
    """One field of a protobuf message."""
    if isinstance(content, int):
        return varint(field << 3) + varint(content)
    data = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(data)) + data


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message; requests have no other fields that are needed here."""
    position = 0

    def number() -> int:
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        key = number()
        size = number()
        if key & 7 == 2:
            yield key >> 3, data[position : position + size]
            position += size


def attribute(name: str, kind: Any, *, required: bool = False, optional: bool = False, computed: bool = False) -> bytes:
    """A Schema.Attribute; `kind` is the JSON form of a Terraform type. Names that end in _wo are write-only."""
    parts = message(1, name) + message(2, json.dumps(kind))
    flags = {4: required, 5: optional, 6: computed, 11: name.endswith("_wo")}
    return message(2, parts + b"".join(message(field, 1) for field, is_set in flags.items() if is_set))


def schema(block: bytes) -> bytes:
    """A Schema with a Schema.Block."""
    return message(2, block)


class GoogleSchema:
    """The wheel's schema in the form of the protocol."""

    def __init__(self, source: ProviderSchema) -> None:
        self._source = source

    def provider_response(self, types: set[str]) -> bytes:
        """A GetProviderSchema.Response with these resources and data sources."""
        entities = [(key, entity) for key, entity in self._source.entities.items() if key[1] in types]
        provider = message(1, schema(self._block(f"{PREFIX}provider.GoogleProviderConfig", None)))
        return provider + b"".join(
            message(
                2 if section == "resource" else 3,
                message(1, name) + message(2, schema(self._block(entity.struct, entity.struct.removesuffix("Config")))),
            )
            for (section, name), entity in entities
        )

    def _block(self, struct: str, readable: str | None) -> bytes:
        """The Schema.Block of a config struct; with `readable`, the class for reading, also the computed attributes."""
        arguments = self._source.arguments(struct)
        described = {p["name"]: p["type"] for p in self._source.types[struct].get("properties", [])}
        out = b""
        for argument, kind in zip(arguments.values(), described.values(), strict=True):
            out += (
                self._nested(argument) if argument.is_block else self._attribute(argument, kind, readable is not None)
            )
        for p in self._source.types[readable].get("properties", []) if readable else []:
            name = snake(p["name"])
            if not p.get("static") and name not in arguments and not name.endswith("_input"):
                out += attribute(name, self._type(p["type"]), computed=True)
        return out

    def _attribute(self, argument: Argument, kind: dict[str, Any], of_resource: bool) -> bytes:
        computed = of_resource and not argument.required and not argument.name.endswith("_wo")
        return attribute(
            argument.name,
            self._type(kind),
            required=argument.required,
            optional=not argument.required,
            computed=computed,
        )

    def _nested(self, argument: Argument) -> bytes:
        if argument.struct is None:
            raise ValueError(f"block {argument.name} has no struct: the assembly's form has changed")
        nested = message(1, argument.name) + message(2, self._block(argument.struct, None))
        if argument.name == "timeouts":
            return message(3, nested + message(3, SINGLE))
        limits = (message(4, 1) if argument.required else b"") + (b"" if argument.repeated else message(5, 1))
        return message(3, nested + message(3, LIST) + limits)

    def _type(self, kind: dict[str, Any]) -> Any:
        if "union" in kind:
            return self._type(next(m for m in kind["union"]["types"] if m.get("fqn") != "cdktn.IResolvable"))
        if "primitive" in kind:
            return {"string": "string", "number": "number", "boolean": "bool"}.get(kind["primitive"], "dynamic")
        if "collection" in kind:
            collection = kind["collection"]
            return ["list" if collection["kind"] == "array" else "map", self._type(collection["elementtype"])]
        described = self._source.types.get(kind["fqn"], {})
        if described.get("kind") == "interface":
            names = self._source.arguments(kind["fqn"])
            types = [self._type(p["type"]) for p in described.get("properties", [])]
            return ["object", dict(zip(names, types, strict=True))]
        return ["map", "string"] if kind["fqn"] == "cdktn.StringMap" else "dynamic"


def random_response() -> bytes:
    """The GetProviderSchema.Response of random: random_id, and random_password as an ephemeral resource."""
    identifier = attribute("byte_length", "number", required=True) + attribute("b64_url", "string", computed=True)
    password = attribute("length", "number", required=True) + attribute("special", "bool", optional=True)
    password += attribute("result", "string", computed=True)
    return (
        message(1, schema(b""))
        + message(2, message(1, "random_id") + message(2, schema(identifier)))
        + message(8, message(1, "random_password") + message(2, schema(password)))
    )


def archive_response() -> bytes:
    """The GetProviderSchema.Response of archive: the data source archive_file."""
    block = attribute("type", "string", required=True) + attribute("source_dir", "string", optional=True)
    block += attribute("output_path", "string", required=True) + attribute("excludes", ["set", "string"], optional=True)
    block += attribute("output_sha256", "string", computed=True)
    return message(1, schema(b"")) + message(3, message(1, "archive_file") + message(2, schema(block)))


def planned(request: bytes) -> bytes:
    """The response to PlanResourceChange and ApplyResourceChange of random_id; a null state (deletion) stays null."""
    nil = message(1, b"\xc0")
    state = dict(fields(request)).get(3, nil)
    made = message(2, json.dumps({"byte_length": 16, "b64_url": "A" * 22}))
    return message(1, nil if state == nil else made)


def serve(response: bytes) -> tuple[grpc.Server, int]:
    """Starts a provider on a free loopback port; it stops with the process."""
    nothing: Answer = lambda request: b""  # noqa: E731
    password = message(3, message(2, json.dumps({"length": 32, "special": False, "result": "x" * 32})))
    methods: dict[str, Answer] = {
        "GetProviderSchema": lambda request: response,
        "ValidateProviderConfig": nothing,
        "ValidateResourceConfig": nothing,
        "ValidateDataResourceConfig": nothing,
        "ValidateEphemeralResourceConfig": nothing,
        "ConfigureProvider": nothing,
        "OpenEphemeralResource": lambda request: password,
        "CloseEphemeralResource": nothing,
        "PlanResourceChange": planned,
        "ApplyResourceChange": planned,
        "ReadResource": lambda request: message(1, dict(fields(request))[2]),
        "UpgradeResourceState": lambda request: message(1, message(2, dict(fields(dict(fields(request))[3]))[1])),
        "StopProvider": nothing,
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(lambda request, context, answer=answer: answer(request))
        for name, answer in methods.items()
    }
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", 1 << 28)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin6.Provider", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def declared(folder: Path) -> set[str]:
    """The addresses of all resources of a root module and its modules/, without module names."""
    folders = [folder, *(path for path in (folder / "modules").glob("*") if path.is_dir())]
    return {block.address for path in folders for block in load(path) if block.kind == "resource"}


def read_test_log(lines: Iterable[str]) -> tuple[list[str], set[str]]:
    """Reads the output of `terraform test -json -verbose`: lines to print, and addresses of the planned resources."""
    said: list[str] = []
    planned_: set[str] = set()
    for entry in map(json.loads, lines):
        if entry["type"] == "test_plan":
            changes = entry["test_plan"]["resource_changes"]
            planned_ |= {f"{change['type']}.{change['name']}" for change in changes}
        elif entry.get("test_run", {}).get("progress", "complete") == "complete":
            said.append(entry["@message"])
            said += [entry["diagnostic"]["detail"]] if "diagnostic" in entry else []
    return said, planned_


def test(command: list[str], environment: dict[str, str]) -> int:
    """Runs terraform test, then checks that its runs planned every resource."""
    done = subprocess.run([*command, "-json", "-verbose"], env=environment, check=False, capture_output=True, text=True)
    said, planned_ = read_test_log(done.stdout.splitlines())
    print(*said, done.stderr, sep="\n")
    missing = sorted(declared(TERRAFORM) - planned_)
    if missing:
        print(f"no run of terraform/tests plans {', '.join(missing)}: add a run with the variables that create it")
    return done.returncode or bool(missing)


def main() -> int:
    """Runs init, validate and test, until one of them fails."""
    terraform = shutil.which("terraform")
    if terraform is None:
        print("terraform isn't installed: terraform validate and terraform test are left out")
        return 0
    used = {name for path in TERRAFORM.rglob("*.tf") for name in re.findall(r'"(google_\w+)"', path.read_text())}
    responses = {
        "google": GoogleSchema(ProviderSchema.from_wheel(wheel_path())).provider_response(used),
        "random": random_response(),
        "archive": archive_response(),
    }
    servers = {name: serve(response) for name, response in responses.items()}
    attached = {
        f"registry.terraform.io/hashicorp/{name}": {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
        for name, (_, port) in servers.items()
    }
    with TemporaryDirectory() as data:
        environment = os.environ | {
            "TF_REATTACH_PROVIDERS": json.dumps(attached),
            "TF_DATA_DIR": data,
            "TF_CLI_CONFIG_FILE": os.devnull,
            "CHECKPOINT_DISABLE": "1",
        }
        for command in (["init", "-backend=false", "-input=false", "-no-color"], ["validate", "-no-color"]):
            done = subprocess.run([terraform, f"-chdir={TERRAFORM}", *command], env=environment, check=False)
            if done.returncode:
                return done.returncode
        return test([terraform, f"-chdir={TERRAFORM}", "test"], environment)


if __name__ == "__main__":
    sys.exit(main())
