"""Reads docker/compose.yaml as Compose does: anchors merged, variables filled in, only services of given profiles."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: ${NAME}, ${NAME:-default} and $$, which stands for one $.
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class HealthCheck:
    """A command that exits with 0 while the service is healthy."""

    command: list[str]
    interval: float
    timeout: float
    retries: int
    start_period: float

    @property
    def patience(self) -> float:
        """Seconds until Docker declares a service unhealthy that never passes its check."""
        return self.start_period + self.retries * (self.interval + self.timeout)


@dataclass(frozen=True)
class Service:
    """One service with everything that its container gets."""

    name: str
    raw: Mapping[str, Any]
    folder: Path
    environment: Mapping[str, str]
    #: file on this machine → path in the container
    secrets: Mapping[Path, str]
    health: HealthCheck | None

    @property
    def image(self) -> str:
        """Name and version, without a digest."""
        return str(self.raw["image"]).partition("@")[0]

    @property
    def tmpfs(self) -> dict[str, str]:
        """Path → options of mount(8)."""
        return {path: options for path, _, options in (entry.partition(":") for entry in self.raw.get("tmpfs", []))}

    @property
    def volumes(self) -> list[tuple[str, str, bool]]:
        """(name of a volume or absolute path, path in the container, whether it is read-only)."""
        parts = [str(entry).split(":") for entry in self.raw.get("volumes", [])]
        return [
            (str((self.folder / source).resolve()) if source.startswith((".", "/")) else source, target, mode == ["ro"])
            for source, target, *mode in parts
        ]

    @property
    def grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL."""
        return seconds(self.raw.get("stop_grace_period", "10s"))

    @property
    def runs_once(self) -> bool:
        """Whether the service ends when its work is done."""
        return str(self.raw["restart"]).startswith("on-failure")


def services(compose: Path, variables: Mapping[str, str], profiles: set[str]) -> dict[str, Service]:
    """The services of these profiles by name; `variables` are those of an environment file."""
    document = filled(yaml.safe_load(compose.read_text()), variables)
    return {
        name: _service(name, raw, compose.parent, document, variables)
        for name, raw in document["services"].items()
        if profiles & set(raw["profiles"])
    }


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` with its variables replaced; if there is a default, an empty variable counts as unset."""
    if isinstance(value, dict):
        return {key: filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        return variables.get(match["name"]) or match["default"] or ""

    return _VARIABLE.sub(replacement, value)


def environment_file(text: str) -> dict[str, str]:
    """Parses NAME=value lines; removes comments and quotes around values."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def seconds(duration: str) -> float:
    """The seconds of a duration such as 10s or 3m."""
    return float(duration[:-1]) * _UNITS[duration[-1]]


def _service(
    name: str, raw: dict[str, Any], folder: Path, document: Mapping[str, Any], variables: Mapping[str, str]
) -> Service:
    # A name without a value is passed on only if it is set.
    given = {
        key: variables.get(key) if value is None else str(value) for key, value in raw.get("environment", {}).items()
    }
    secrets = {}
    for entry in raw.get("secrets", []):
        source, target = (entry, entry) if isinstance(entry, str) else (entry["source"], entry["target"])
        secrets[(folder / document["secrets"][source]["file"]).resolve()] = f"/run/secrets/{target}"
    return Service(
        name=name,
        raw=raw,
        folder=folder,
        environment={key: value for key, value in given.items() if value is not None},
        secrets=secrets,
        health=_health(raw.get("healthcheck", {})),
    )


def _health(raw: Mapping[str, Any]) -> HealthCheck | None:
    if "test" not in raw:
        return None
    kind, *command = raw["test"]
    return HealthCheck(
        command=["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command,
        interval=seconds(raw["interval"]),
        timeout=seconds(raw["timeout"]),
        retries=raw["retries"],
        start_period=seconds(raw.get("start_period", "0s")),
    )
