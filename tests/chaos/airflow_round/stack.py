"""The whole local stack, with proxies between its tasks and store and registry, and with another mail server."""

import os
from collections.abc import Mapping

from local.programs import artifacts
from local.stack.applications import airflow, pipeline, postgres
from local.stack.environment import stack_environment
from local.stack.ports import PREFIX, Ports
from local.stack.services import schema_registry, store
from tests.chaos.stack import PARTITIONS, Stack

#: Seconds until a case's time is up. No customer answers in a round, so each case ends with NO_RESPONSE.
TIME_LIMIT_SECONDS = 60
_SETTINGS = {
    "FRAUDSTREAM_KAFKA_PARTITIONS": str(PARTITIONS),
    "FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE": "{idTransaction}@example.com",
    "FRAUDSTREAM_LAKE_FLUSH_SECONDS": "1.5",
    "FRAUDSTREAM_CONFIRMATION_TIME_LIMIT_SECONDS": str(TIME_LIMIT_SECONDS),
}


class AirflowStack(Stack):
    """A stack with Airflow and the site, which starts empty; see :meth:`up_behind`."""

    def up_behind(self, between: Mapping[str, int]) -> None:
        """Starts all parts and sets this process's environment to that of the stack, without the proxies.

        :param between: by a service's name, the port at which Airflow and the site reach it
        :raises StackError: a part fails, or another run is active
        """
        self.empty()
        direct = {f"{PREFIX}{name.upper()}": str(port) for name, port in self.ports.items()}
        os.environ.update(direct | {f"{PREFIX}{name.upper()}": str(port) for name, port in between.items()} | _SETTINGS)
        # Arrow's client for the tables' files sends chunked bodies, which the proxy doesn't support.
        os.environ["PYICEBERG_CATALOG__FRAUDSTREAM__GCS__SERVICE__HOST"] = self.ports.url("gcs")
        files = artifacts.fetch_all(print)
        services = [
            *self.brokers(files),
            schema_registry(self.ports, files[artifacts.REGISTRY]),
            store(self.ports),
        ]
        proxied = Ports.from_environment()
        components = airflow(proxied)
        for service in services:
            service.stops_after = ["airflow-scheduler", "airflow-triggerer"]
        self.control.up([*services, *postgres(proxied), *components, *pipeline(proxied)], lambda _: None)
        os.environ.update(direct)
        os.environ.update(stack_environment())
