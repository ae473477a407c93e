"""Compute Engine in memory, behind the HTTP interface of googleapiclient; it only accepts documented requests.

Each request is checked against Google's discovery document for version 1: the method exists with this path and verb,
parameters are known and match their patterns, and there is a body only if the method has one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import googleapiclient
import httplib2

#: Polls of an operation until it is done.
_STEPS = ("PENDING", "RUNNING", "DONE")


class Undocumented(AssertionError):
    """A request that the real API would refuse."""


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    """Google's discovery document of Compute Engine v1, as google-api-python-client ships it."""
    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    loaded: dict[str, Any] = json.loads((folder / "compute.v1.json").read_text())
    return loaded


@dataclass
class Compute:
    """A project's instances: "zone/name" → status. Tests set what it refuses."""

    project: str
    instances: dict[str, str]
    #: "zone/name" of instances for which the caller has no rights
    forbidden: set[str] = field(default_factory=set)
    #: "zone/name" → error code and text that its operation ends with
    failing: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: methods called, with the instance: ("compute.instances.start", "zone/name")
    calls: list[tuple[str, str]] = field(default_factory=list)
    _operations: dict[str, dict[str, Any]] = field(default_factory=dict)

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> tuple[httplib2.Response, bytes]:
        """The request method of httplib2.Http."""
        method_id, parameters = documented(uri, method, body)
        status, answer = self._answer(method_id, parameters)
        content = json.dumps(answer).encode()
        return httplib2.Response({"status": str(status), "content-type": "application/json"}), content

    def close(self) -> None:
        """Does nothing."""

    def _answer(self, method_id: str, parameters: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        zone = parameters["zone"]
        if method_id == "compute.zoneOperations.get":
            return 200, self._step(parameters["operation"])
        instance = f"{zone}/{parameters['instance']}"
        self.calls.append((method_id, instance))
        path = f"projects/{parameters['project']}/zones/{zone}/instances/{parameters['instance']}"
        if instance in self.forbidden:
            return _error(403, f"Required '{method_id}' permission for '{path}'", "forbidden")
        if parameters["project"] != self.project or instance not in self.instances:
            return _error(404, f"The resource '{path}' was not found", "notFound")
        if method_id == "compute.instances.get":
            return 200, {"kind": "compute#instance", "name": parameters["instance"], "status": self.instances[instance]}
        target = {"compute.instances.start": "RUNNING", "compute.instances.stop": "TERMINATED"}[method_id]
        name = f"operation-{len(self._operations)}"
        self._operations[name] = {"instance": instance, "target": target, "polls": 0}
        return 200, {"kind": "compute#operation", "name": name, "status": "PENDING", "zone": zone}

    def _step(self, name: str) -> dict[str, Any]:
        operation = self._operations[name]
        status = _STEPS[min(operation["polls"], len(_STEPS) - 1)]
        operation["polls"] += 1
        answer: dict[str, Any] = {"kind": "compute#operation", "name": name, "status": status}
        failure = self.failing.get(operation["instance"])
        if status == "DONE" and failure is not None:
            errors = [{"code": failure[0], "message": failure[1]}]
            return answer | {
                "error": {"errors": errors},
                "httpErrorStatusCode": 503,
                "httpErrorMessage": "SERVICE UNAVAILABLE",
            }
        if status == "DONE":
            self.instances[operation["instance"]] = operation["target"]
        return answer


def documented(uri: str, method: str, body: bytes | str | None) -> tuple[str, dict[str, str]]:
    """The id and the parameters of the documented method for a request.

    :raises Undocumented: there is no such method, or it doesn't have these parameters
    """
    document = _document()
    root = document["rootUrl"] + document["servicePath"]
    if not uri.startswith(root):
        raise Undocumented(f"{uri} isn't under {root}")
    url = urlsplit(uri)
    path = uri.removeprefix(root).partition("?")[0]
    for found in _methods(document["resources"]):
        template = re.sub(r"\{(\w+)}", r"(?P<\1>[^/]+)", found["path"])
        match = re.fullmatch(template, path)
        if match is not None and found["httpMethod"] == method:
            given = match.groupdict() | dict(parse_qsl(url.query, keep_blank_values=True))
            _check(found, given, body, document)
            return found["id"], given
    raise Undocumented(f"{method} {path}: no method of Compute Engine v1 has this path and verb")


def _methods(resources: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [method for name in ("instances", "zoneOperations") for method in resources[name]["methods"].values()]


def _check(method: dict[str, Any], given: dict[str, str], body: bytes | str | None, document: dict[str, Any]) -> None:
    known = method["parameters"] | document["parameters"]
    for name, value in given.items():
        if name not in known:
            raise Undocumented(f"{method['id']} has no parameter {name!r}")
        pattern = known[name].get("pattern")
        if pattern is not None and re.fullmatch(pattern, value) is None:
            raise Undocumented(f"{method['id']}: {name} is {value!r}, which isn't {pattern}")
    missing = [name for name, about in method["parameters"].items() if about.get("required") and name not in given]
    if missing:
        raise Undocumented(f"{method['id']} needs {', '.join(missing)}")
    if body and "request" not in method:
        raise Undocumented(f"{method['id']} takes no body, but got {body!r}")


def _error(status: int, text: str, reason: str) -> tuple[int, dict[str, Any]]:
    """An error in the format of Google's APIs."""
    return status, {"error": {"code": status, "message": text, "errors": [{"message": text, "reason": reason}]}}
