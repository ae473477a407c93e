"""Reads an image's properties from docker/Dockerfile: variables, folder, user, command, and copied files."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

#: PATH of the Python image, and the default PATH.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Stage:
    """The properties of one stage, with those of its base stages."""

    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    copies: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0"
    command: list[str] = field(default_factory=list)


def stage(dockerfile: Path, name: str) -> Stage:
    """The stage of this name."""
    stages: dict[str, Stage] = {}
    lines = re.sub(r"\\\n\s*", " ", dockerfile.read_text()).splitlines()
    current = Stage()
    for line in lines:
        instruction, _, rest = line.partition(" ")
        words = rest.split()
        match instruction:
            case "FROM":
                base = stages.get(words[0], Stage())
                current = Stage(dict(base.environment), dict(base.copies), base.workdir, base.user, base.command)
                stages[words[2]] = current
            case "ENV":
                for key, _, value in (word.partition("=") for word in shlex.split(rest)):
                    current.environment[key] = Template(value).safe_substitute(current.environment)
            case "COPY" if not words[0].startswith("--"):
                current.copies[words[0]] = words[1]
            case "WORKDIR":
                current.workdir = rest
            case "USER":
                current.user = rest
            case "CMD":
                current.command = json.loads(rest)
    return stages[name]
