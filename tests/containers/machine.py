"""A private network, and containers made of Linux namespaces, as close to Docker's as possible here.

Differences to Docker: there is no image (the containers see this machine's /usr), and no limit of memory or processes.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.containers.compose_file import HealthCheck, Service
from tests.containers.images import Image

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
NETWORK = "10.99.0"
BRIDGE = "compose0"
#: Users of the images, besides root and nobody.
PASSWD = """root:x:0:0:root:/root:/bin/bash
postgres:x:999:999::/var/lib/postgresql:/bin/bash
appuser:x:1000:1000::/home/appuser:/bin/bash
jboss:x:1001:0::/home/jboss:/sbin/nologin
fraudstream:x:50000:0::/opt/airflow:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""


def unshare_namespaces() -> None:
    """Calls unshare(2), which Python only has since version 3.12.

    :raises PermissionError: the process doesn't run as root
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare fails")


class Container:
    """A running service."""

    def __init__(
        self, service: Service, image: Image, process: "subprocess.Popen[bytes]", spec: Path, log: Path
    ) -> None:
        self.service = service
        self.image = image
        self.log = log
        self._process = process
        self._spec = json.loads(spec.read_text())
        self._started = time.monotonic()

    def wait(self) -> str:
        """Waits until it is healthy, or has ended if it runs once; returns a sentence about the result.

        :raises AssertionError: it failed; the message has the end of its log
        """
        health = self.service.health
        if health is None:
            return self._until_ended(seconds=300)
        answer = "no check yet"
        while time.monotonic() < self._started + health.patience:
            code = self._process.poll()
            assert code is None, f"it ended with {code}: {self._tail()}"
            began = time.monotonic()
            answer = self._check(health)
            if not answer:
                return f"healthy after {began - self._started:.0f} s; the check took {time.monotonic() - began:.1f} s"
            time.sleep(min(health.interval, max(0.5, time.monotonic() - began)))
        raise AssertionError(f"not healthy after {health.patience:.0f} s: {answer}; {self._tail()}")

    def stop(self) -> str:
        """Stops it as Docker does: its signal, then SIGKILL after the grace period, at most a minute."""
        grace = min(self.service.grace, 60)
        began = time.monotonic()
        if self._process.poll() is None:
            with suppress(ProcessLookupError, IndexError):
                os.kill(self._init(), self.image.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
                return f"ended {time.monotonic() - began:.1f} s after {self.image.stop_signal.name}"
            self._process.kill()  # its children end with it
            self._process.wait(10)
            return f"killed {grace:.0f} s after {self.image.stop_signal.name}"
        return ""

    def _until_ended(self, seconds: float) -> str:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {seconds:.0f} s: {self._tail()}") from None
        assert code == 0, f"it ended with {code}: {self._tail()}"
        return f"ended with 0 after {time.monotonic() - self._started:.0f} s"

    def _check(self, health: HealthCheck) -> str:
        """The failure of the health check; empty while it is healthy."""
        try:
            target = str(self._init())
        except IndexError:
            return "the container isn't there yet"
        enter = ["nsenter", "--target", target, "--mount", "--net", "--uts", "--ipc", "--pid", "--root", "--wd"]
        check = subprocess.Popen(
            [*enter, *self._spec["privileges"], *health.command],
            env=self._spec["environment"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = check.communicate(timeout=health.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(check.pid, signal.SIGKILL)
            check.communicate()
            return f"the check takes longer than {health.timeout:.0f} s"
        return "" if check.returncode == 0 else f"the check ends with {check.returncode}: {said.strip()[-300:]}"

    def _init(self) -> int:
        """The pid of the container's first process, in this machine's namespace."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def _tail(self) -> str:
        return "its log ends with\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])


class Machine:
    """The host of the containers: this process gets its own network and mount namespaces.

    :raises PermissionError: the process doesn't run as root
    """

    def __init__(self, work: Path, names: Sequence[str]) -> None:
        unshare_namespaces()
        self._work = work
        self._addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, start=10)}
        for command in (
            "mount --make-rprivate /",
            "mount -t tmpfs tmpfs /run",  # ip(8) stores namespaces there
            "ip link set lo up",
            f"ip link add {BRIDGE} type bridge",
            f"ip address add {NETWORK}.1/24 dev {BRIDGE}",
            f"ip link set {BRIDGE} up",
        ):
            subprocess.run(command.split(), check=True)
        for folder in ("logs", "specs", "roots", "volumes"):
            (work / folder).mkdir(parents=True, exist_ok=True)

    def start(self, service: Service, image: Image, replaced: dict[str, Path]) -> Container:
        """Starts the service's container; `replaced` has files that replace secrets, by their path in the container."""
        number = list(self._addresses).index(service.name)
        namespace, outside = f"container{number}", f"outside{number}"
        self._run(f"ip netns add {namespace}")
        self._run(f"ip link add {outside} type veth peer name eth0 netns {namespace}")
        self._run(f"ip link set {outside} master {BRIDGE} up")
        for command in (
            "ip link set lo up",
            f"ip address add {self._addresses[service.name]}/24 dev eth0",
            "ip link set eth0 up",
        ):
            self._run(f"ip netns exec {namespace} {command}")
        spec = self._work / "specs" / f"{service.name}.json"
        spec.write_text(json.dumps(self._spec(service, image, replaced)))
        log = self._work / "logs" / f"{service.name}.log"
        unshare = "unshare --mount --uts --ipc --pid --fork --kill-child"
        inside = Path(__file__).with_name("inside.py")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),  # it ends with this process, in any case
                    *("nsenter", f"--net=/run/netns/{namespace}", *unshare.split()),
                    *(sys.executable, str(inside), str(spec)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Container(service, image, process, spec, log)

    def _run(self, command: str) -> None:
        subprocess.run(command.split(), check=True)

    def _spec(self, service: Service, image: Image, replaced: dict[str, Path]) -> dict[str, object]:
        raw = service.raw
        hostname = raw.get("hostname", service.name)
        user = str(raw.get("user", image.user))
        uid, _, gid = user.partition(":")
        added = "".join(f",+{name.lower()}" for name in raw.get("cap_add", []))
        home = next((line.split(":")[5] for line in PASSWD.splitlines() if line.split(":")[2] == uid), "/")
        root = self._work / "roots" / service.name
        root.mkdir(exist_ok=True)
        mounts: list[tuple[str, str, bool]] = [
            ("/usr", "/usr", True),
            ("/etc/ssl", "/etc/ssl", True),
            ("/etc/ld.so.cache", "/etc/ld.so.cache", True),
            ("/etc/alternatives", "/etc/alternatives", True),
            *((source, target, True) for source, target in image.mounts.items()),
            *((str(replaced.get(target, source)), target, True) for source, target in service.secrets.items()),
            *((self._volume(source, user), target, read_only) for source, target, read_only in service.volumes),
        ]
        return {
            "root": str(root),
            "files": {
                "/etc/passwd": PASSWD,
                "/etc/nsswitch.conf": "hosts: files\n",
                "/etc/hosts": self._hosts(service),
            },
            "links": image.links,
            "tmpfs": {"/dev/shm": f"mode=1777,size={raw.get('shm_size', '64m')}"} | service.tmpfs,  # noqa: S108
            "mounts": mounts,
            "read_only": raw["read_only"],
            "hostname": hostname,
            "workdir": image.workdir,
            "environment": {"HOSTNAME": hostname, "HOME": home} | image.environment | dict(service.environment),
            "privileges": [
                *("/usr/bin/setpriv", "--no-new-privs", f"--bounding-set=-all{added}", "--inh-caps=-all"),
                *("--reuid", uid, "--regid", gid, "--clear-groups"),
            ],
            "init": raw.get("init", False),
            "command": [*raw.get("entrypoint", image.entrypoint), *raw.get("command", image.command)],
        }

    def _hosts(self, service: Service) -> str:
        own = self._addresses[service.name]
        lines = ["127.0.0.1 localhost", f"{own} {service.raw.get('hostname', service.name)}"]
        lines += [f"{address} {name}" for name, address in self._addresses.items()]
        return "\n".join(lines) + "\n"

    def _volume(self, source: str, user: str) -> str:
        """Creates a volume. Its owner is that of the image's folder: the user of the image."""
        if source.startswith("/"):
            return source
        folder = self._work / "volumes" / source
        if not folder.exists():
            folder.mkdir()
            uid, _, gid = user.partition(":")
            os.chown(folder, int(uid), int(gid))
        return str(folder)
