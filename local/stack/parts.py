"""All parts of the stack, and the order in which they stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from local.programs import artifacts
from local.stack.applications import airflow, pipeline, postgres
from local.stack.environment import LOGS, STACK
from local.stack.monitoring import monitoring
from local.stack.ports import Ports
from local.stack.services import kafka, kafka_ui, mail, schema_registry, store
from local.supervisor.control import Control
from local.supervisor.part import Part, Status

Executor = Literal["local", "celery"]
EXECUTORS: tuple[Executor, ...] = get_args(Executor)


@dataclass(frozen=True)
class Shape:
    """The options with which the stack starts."""

    triggerers: int = 1
    #: local: tasks run in the scheduler; celery: tasks run on workers, one for each queue
    executor: Executor = "local"


def shape_of(parts: Sequence[Status]) -> Shape:
    """The options of a running stack; the defaults if it is not running."""
    names = [part.name for part in parts]
    triggerers = sum(name.startswith("airflow-triggerer") for name in names)
    return Shape(triggerers or 1, "celery" if "redis" in names else "local")


def stack_parts(progress: Callable[[str], None], shape: Shape | None = None) -> list[Part]:
    """Returns all parts in the order in which they are shown. Downloads missing files and creates the state folders.

    :param progress: called with name and version before each download
    :param shape: the stack's options; None: those of the running stack, or the defaults
    :raises SettingsError: a port is unusable, or a program is missing
    :raises ArtifactError: a downloaded file has another checksum than the lock names
    """
    shape = shape or shape_of(Control(STACK, LOGS).status())
    ports = Ports.from_environment()
    files = artifacts.fetch_all(progress)
    services = [
        *kafka(ports, files),
        schema_registry(ports, files[artifacts.REGISTRY]),
        store(ports),
        mail(ports),
    ]
    components = airflow(ports, shape.triggerers, celery=shape.executor == "celery")
    runs_tasks = ("airflow-scheduler", "airflow-triggerer", "airflow-worker")
    for service in services:  # tasks need the services until they have finished their current batch
        service.stops_after = [part.name for part in components if part.name.startswith(runs_tasks)]
    return [*services, *postgres(ports), *components, *pipeline(ports), kafka_ui(ports), *monitoring(ports)]
