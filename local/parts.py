"""The parts of the stack, in the order in which they are shown, and in which order they stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from local import artifacts
from local.applications import airflow, pipeline, postgres
from local.environment import LOGS, STACK
from local.monitoring import monitoring
from local.ports import Ports
from local.services import kafka, kafka_ui, mail, schema_registry, store
from local.supervisor.control import Control
from local.supervisor.part import Part, Status

Executor = Literal["local", "celery"]
EXECUTORS: tuple[Executor, ...] = get_args(Executor)


@dataclass(frozen=True)
class Shape:
    """Options that are chosen when the stack starts."""

    triggerers: int = 1
    #: local: tasks run in the scheduler; celery: on workers, one for each queue
    executor: Executor = "local"


def shape_of(parts: Sequence[Status]) -> Shape:
    """The options of a running stack; the defaults if it is not running."""
    names = [part.name for part in parts]
    triggerers = sum(name.startswith("airflow-triggerer") for name in names)
    return Shape(triggerers or 1, "celery" if "redis" in names else "local")


def stack_parts(progress: Callable[[str], None], shape: Shape | None = None) -> list[Part]:
    """Every part, in the order in which they are shown. Downloads what is missing and makes the state's folders.

    :param shape: without it that of the running stack
    :raises SettingsError: a port is unusable
    :raises ArtifactError: a download isn't the locked file
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
    for service in services:  # tasks finish their current batch
        service.stops_after = [part.name for part in components if part.name.startswith(runs_tasks)]
    return [*services, *postgres(ports), *components, *pipeline(ports), kafka_ui(ports), *monitoring(ports)]
