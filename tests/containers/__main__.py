"""``make check-services``: runs each service of docker/compose.yaml as a process here, until its health check passes.

A service starts after those that it needs, and ends when no later service needs it. A line for each service says what
was run and what its health check answered, or why it can't be run here. The exit code is 1 if a service fails.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fraudstream.settings import ROOT

from tests.containers.compose_file import Service, environment_file, services
from tests.containers.images import Image, NotHere, image
from tests.containers.machine import Container, Machine

PROFILES = {"local", "monitoring"}
#: Apicurio's jar on Maven Central has no PostgreSQL driver.
H2 = "config_ordinal=500\nREGISTRY_DATASOURCE_URL=jdbc:h2:mem:registry\n"


def needs(wanted: Mapping[str, Service]) -> dict[str, set[str]]:
    """For each service those that must run first: its dependencies, and services whose address its settings have."""
    names = set(wanted)
    depends = closure({name: set(service.raw.get("depends_on", {})) & names for name, service in wanted.items()})
    found = {}
    for name, service in wanted.items():
        texts = [*service.environment.values(), *(path.read_text() for path in service.secrets)]
        hosts = {host for text in texts for host in re.findall(r"([a-z][\w-]*):\d+", text)} & names
        # A service doesn't need another one that itself waits for it.
        found[name] = depends[name] | {host for host in hosts if name not in depends[host]} - {name}
    return closure(found)


def closure(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The transitive closure of the graph."""
    result = {name: set(others) for name, others in graph.items()}
    while True:
        wider = {name: others.union(*(result[other] for other in others)) for name, others in result.items()}
        if wider == result:
            return result
        result = wider


def batches(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Batches of services, each after those that it needs. Services that need each other, as brokers do, share one."""
    done: list[list[str]] = []

    def add(name: str) -> None:
        if any(name in batch for batch in done):
            return
        together = [other for other in graph if other == name or (other in graph[name] and name in graph[other])]
        for other in graph:
            if other in graph[name] and other not in together:
                add(other)
        done.append(together)

    for name in graph:
        add(name)
    return done


def available(name: str, work: Path) -> Image | NotHere:
    """The image, or the reason why its program isn't available."""
    try:
        return image(name, work)
    except NotHere as reason:
        return reason


def run(wanted: Mapping[str, Service], images: Mapping[str, Image | NotHere], machine: Machine, work: Path) -> bool:
    """Runs all services; returns whether each one that can be run was healthy."""
    registry = work / "registry.properties"
    registry.write_text(H2)
    replaced = {"/run/secrets/registry.properties": registry}
    graph = needs(wanted)
    order = batches(graph)
    running: dict[str, Container] = {}
    answers: dict[str, str] = {}
    well = True
    print("| service | what was run | what it did |\n|---|---|---|")
    for number, batch in enumerate(order, start=1):
        for name in batch:
            found = images[wanted[name].image]
            if isinstance(found, NotHere):
                say(name, "nothing", str(found))
            else:
                running[name] = machine.start(wanted[name], found, replaced)
        for name in running.keys() & set(batch):
            try:
                answers[name] = running[name].wait()
            except AssertionError as failure:
                well = False
                answers[name] = f"**failed**: {failure}"
        later = set().union(*(graph[name] for other in order[number:] for name in other))
        # Stop in reverse order. Brokers stop in parallel, because the last one alone has no controller.
        for started in reversed(order[:number]):
            ending = {name: running.pop(name) for name in started if name in running and name not in later}
            with ThreadPoolExecutor() as pool:
                for (name, container), ended in zip(
                    ending.items(), pool.map(Container.stop, ending.values()), strict=True
                ):
                    say(name, container.image.program, "; ".join(filter(None, [answers[name], ended])))
    return well


def say(name: str, program: str, answer: str) -> None:
    """Prints the result of a service."""
    print(f"| {name} | {program} | {answer} |", flush=True)


def main() -> int:
    """Arguments: names of services, which run with all that they need. Without arguments all services run."""
    folder = ROOT / "docker"
    wanted = services(folder / "compose.yaml", environment_file((folder / ".env").read_text()), PROFILES)
    if names := set(sys.argv[1:]):
        graph = needs(wanted)
        names |= {other for name in names for other in graph[name]}
        wanted = {name: service for name, service in wanted.items() if name in names}
    work = Path(tempfile.mkdtemp(prefix="fraudstream-services-"))
    work.chmod(0o755)
    images = {service.image: available(service.image, work) for service in wanted.values()}
    try:
        well = run(wanted, images, Machine(work, list(wanted)), work)
    except PermissionError:
        print("this needs root on Linux: containers change users, and have a network of their own")
        return 1
    if well:
        shutil.rmtree(work)
    else:
        print(f"logs: {work}/logs")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
