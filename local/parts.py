"""The parts of the stack, in the order in which they are shown, and in which order they stop."""

from collections.abc import Callable

from local import artifacts
from local.applications import airflow, pipeline, postgres, triggerer_names
from local.part import Part
from local.ports import Ports
from local.services import kafka, kafka_ui, mail, schema_registry, store


def stack_parts(progress: Callable[[str], None], triggerers: int = 1) -> list[Part]:
    """Every part, in the order in which they are shown. Downloads what is missing and makes the state's folders.

    :raises SettingsError: a port is unusable
    :raises ArtifactError: a download isn't the locked file
    """
    ports = Ports.from_environment()
    files = artifacts.fetch_all(progress)
    services = [
        *kafka(ports, files),
        schema_registry(ports, files[artifacts.REGISTRY]),
        store(ports),
        mail(ports),
    ]
    for service in services:
        service.stops_after = ["airflow-scheduler", *triggerer_names(triggerers)]  # tasks finish what they have in hand
    return [*services, *postgres(ports), *airflow(ports, triggerers), *pipeline(ports), kafka_ui(ports)]
