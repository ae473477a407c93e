"""Starts a VM's role, which its metadata names. The startup script runs it as root at every boot; it needs only Python.

1. It reads role, environment and the list of secrets from the instance's metadata.
2. It mounts the data disk, if the VM has one.
3. It writes the secrets to files in memory, requests a certificate for a broker, and fills the role's templates.
4. It configures Docker, the Ops Agent and the timers of docker/vm/upkeep.py.
5. It pulls the role's images and starts its Compose profile; containers of the previous boot are replaced.

On a failure it logs a line that an alert of terraform/alerts.tf matches, and ends; systemd runs it again.
"""

import base64
import json
import os
import secrets
import shutil
import string
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCKER = Path(__file__).resolve().parents[1]
TEMPLATES = DOCKER / "vm" / "templates"
RUN = Path("/run/fraudstream")  # /run is in memory: its files don't survive a shutdown
DATA = Path("/var/lib/fraudstream/data")
DATA_DISK = Path("/dev/disk/by-id/google-data")
METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/"
#: The number of tries of a request, and the seconds between them.
TRIES, RETRY_SECONDS = 12, 5.0
#: Uid of the broker's process in the image apache/kafka; it writes to the data disk.
KAFKA_UID = 1000
#: The folders with the templates of each role.
TEMPLATE_FOLDERS = {
    "kafka": ["kafka"],
    "registry": ["registry"],
    "schema-registry": ["registry"],
    "airflow": ["task", "airflow"],
    "worker": ["task"],
    "signing-worker": ["task"],
    "site": [],
    "bounces": [],
}


class BootError(Exception):
    """The VM's role can't be started."""


class Google:
    """A client of metadata server, Secret Manager and Certificate Authority Service, as the VM's service account."""

    def metadata(self, path: str) -> str:
        """Returns one value of the instance's metadata.

        :raises BootError: the metadata server doesn't answer, or has no such value
        """
        return self._send(urllib.request.Request(METADATA + path, headers={"Metadata-Flavor": "Google"})).decode()  # noqa: S310

    def secret(self, name: str) -> bytes:
        """Returns the newest version of a secret; `name` is projects/…/secrets/….

        :raises BootError: the secret can't be read
        """
        answer = self._call(f"https://secretmanager.googleapis.com/v1/{name}/versions/latest:access")
        return base64.b64decode(answer["payload"]["data"])

    def certificate(self, pool: str, request: str) -> str:
        """Lets the authority sign a signing request (PEM); returns the PEM chain, the new certificate first.

        :raises BootError: the authority doesn't sign it
        """
        name = f"broker-{secrets.token_hex(8)}"
        answer = self._call(
            f"https://privateca.googleapis.com/v1/{pool}/certificates?certificateId={name}",
            {"lifetime": "31536000s", "pemCsr": request},
        )
        return "".join(part.rstrip("\n") + "\n" for part in [answer["pemCertificate"], *answer["pemCertificateChain"]])

    def token(self) -> str:
        """An access token of the VM's service account."""
        return str(json.loads(self.metadata("service-accounts/default/token"))["access_token"])

    def _call(self, url: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._send(urllib.request.Request(url, data, headers)))  # noqa: S310

    def _send(self, request: urllib.request.Request) -> bytes:
        for left in reversed(range(TRIES)):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                # A new grant takes up to some minutes to become effective; until then the service answers 403.
                if not left or error.code not in {403, 404, 408, 429, *range(500, 600)}:
                    raise BootError(f"{request.full_url} answers {error.code}: {error.read(500)!r}") from error
            except OSError as error:
                if not left:
                    raise BootError(f"{request.full_url} doesn't answer: {error}") from error
            time.sleep(RETRY_SECONDS)
        raise AssertionError  # the last try returned or raised


def parse_environment(text: str) -> dict[str, str]:
    """Parses NAME=value lines, as terraform/modules/vm writes them.

    :raises BootError: a line has no =
    """
    lines = [line for line in text.splitlines() if line]
    wrong = [line for line in lines if "=" not in line]
    if wrong:
        raise BootError(f"metadata fraudstream-environment has lines without =: {wrong}")
    return dict(line.split("=", 1) for line in lines)


def environment_file(environment: Mapping[str, str]) -> str:
    """The text of a file for `docker compose --env-file`, with quotes so that Compose interpolates no value.

    :raises BootError: a value has a quote, a line break or a final backslash
    """
    wrong = [name for name, value in environment.items() if "'" in value or "\n" in value or value.endswith("\\")]
    if wrong:
        raise BootError(f"a quote, line break or final backslash in {', '.join(wrong)} can't be passed to compose")
    return "".join(f"{name}='{value}'\n" for name, value in sorted(environment.items()))


def fill(text: str, values: Mapping[str, str], name: str) -> str:
    """Replaces the $names in a template by their values; $name_json is a value as a JSON string.

    :raises BootError: the template has a name that the metadata doesn't have
    """
    known = dict(values) | {f"{key}_json": json.dumps(value) for key, value in values.items()}
    try:
        return string.Template(text).substitute(known)
    except (KeyError, ValueError) as error:
        raise BootError(
            f"template {name} can't be filled: {error} is unknown; known: {', '.join(sorted(values))}"
        ) from None


def templates_of(role: str) -> list[Path]:
    """The templates of a role; its containers read the filled ones."""
    return [path for folder in TEMPLATE_FOLDERS[role] for path in sorted((TEMPLATES / folder).iterdir())]


def write_secrets(role: str, environment: Mapping[str, str], names: Mapping[str, str], google: Google) -> Path:
    """Step 3: writes all files of the role; returns their folder.

    Only root can enter the folder. A container sees only the files that Compose mounts into it.
    """
    folder = RUN / "secrets"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    values = dict(environment)
    for file, secret in names.items():
        value = google.secret(secret)
        (folder / file).write_bytes(value)
        values[file] = value.decode()
    for template in templates_of(role):
        # With Airflow's *_CMD settings a final line break in the file would become a part of the value.
        (folder / template.name).write_text(fill(template.read_text(), values, template.name).rstrip("\n"))
    if role == "kafka":
        (folder / "kafka_keystore.pem").write_text(keystore(environment["KAFKA_HOST"], environment["CA_POOL"], google))
    for path in folder.iterdir():
        path.chmod(0o444)
    return folder


def keystore(host: str, pool: str, google: Google) -> str:
    """Creates a private key and its certificate for `host`, in the form that Kafka reads: PKCS#8, then the chain."""
    key = output("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    request = output(
        *("openssl", "req", "-new", "-key", "/dev/stdin", "-subj", "/O=fraudstream"),
        *("-addext", f"subjectAltName=DNS:{host}"),
        stdin=key,
    )
    return key + google.certificate(pool, request)


def mount_data() -> None:
    """Step 2: mounts the data disk, if there is one. Creates a file system on it first if it is empty."""
    if not DATA_DISK.exists() or os.path.ismount(DATA):
        return
    if not output("lsblk", "--noheadings", "--output", "FSTYPE", str(DATA_DISK)).strip():
        _run("mkfs.ext4", "-q", "-m", "0", str(DATA_DISK))
    DATA.mkdir(parents=True, exist_ok=True)
    _run("mount", "-o", "noatime", str(DATA_DISK), str(DATA))
    os.chown(DATA, KAFKA_UID, KAFKA_UID)


def configure_machine(role: str) -> None:
    """Step 4: lets Docker pull through Google's mirror of Docker Hub, and the Ops Agent scrape the role's exporter."""
    daemon = Path("/etc/docker/daemon.json")
    wanted = json.dumps({"registry-mirrors": ["https://mirror.gcr.io"], "live-restore": True})
    if not daemon.exists() or daemon.read_text() != wanted:
        daemon.parent.mkdir(parents=True, exist_ok=True)
        daemon.write_text(wanted)
        _run("systemctl", "restart", "docker")
    if (config := DOCKER / "vm" / "ops-agent" / f"{role}.yaml").exists():
        shutil.copy(config, "/etc/google-cloud-ops-agent/config.yaml")
        _run("systemctl", "restart", "google-cloud-ops-agent")


def pull(environment: Mapping[str, str], google: Google) -> None:
    """Step 5: pulls the project's images with a token that is valid for an hour. Compose pulls all other images."""
    os.environ["DOCKER_CONFIG"] = str(RUN / "docker")  # in memory, like the secrets
    for image in (value for name, value in sorted(environment.items()) if name.endswith("_IMAGE")):
        registry = image.partition("/")[0]
        output("docker", "login", "--username", "oauth2accesstoken", "--password-stdin", registry, stdin=google.token())
        _run("docker", "pull", "--quiet", image)


def start_timers(role: str, folder: Path = Path("/etc/systemd/system")) -> None:
    """Step 4: lets systemd run docker/vm/upkeep.py: `heal` each minute, and on brokers `renew` each month."""
    times = {"heal": "OnCalendar=minutely"}
    if role == "kafka":
        # The random delay differs between brokers and is fixed for each, so that they don't renew at the same time.
        times["renew"] = "OnCalendar=monthly\nRandomizedDelaySec=10d\nFixedRandomDelay=true"
    for task, when in times.items():
        unit = f"fraudstream-{task}"
        (folder / f"{unit}.service").write_text(
            f"[Service]\nType=oneshot\nTimeoutStartSec=15min\nExecStart=/usr/bin/python3 {DOCKER}/vm/upkeep.py {task}\n"
        )
        (folder / f"{unit}.timer").write_text(f"[Timer]\n{when}\n")
        _run("systemctl", "daemon-reload")
        _run("systemctl", "restart", f"{unit}.timer")


def boot(google: Google) -> None:
    """Runs all five steps.

    :raises BootError: a step failed
    """
    # 1.
    role = google.metadata("attributes/fraudstream-role")
    if role not in TEMPLATE_FOLDERS:
        raise BootError(f"metadata fraudstream-role is {role!r}, known are {', '.join(TEMPLATE_FOLDERS)}")
    environment = parse_environment(google.metadata("attributes/fraudstream-environment"))
    names = json.loads(google.metadata("attributes/fraudstream-secrets"))
    # 2.
    mount_data()
    # 3.
    folder = write_secrets(role, environment, names, google)
    # 4.
    configure_machine(role)
    start_timers(role)
    # 5.
    address = google.metadata("network-interfaces/0/ip")
    environment |= {
        "SECRETS": str(folder),
        "PUBLISH_ADDRESS": address,
        "LOG_DRIVER": "gcplogs",
    }
    file = RUN / "compose.env"
    file.write_text(environment_file(environment))
    compose = ("docker", "compose", "--project-directory", str(DOCKER), "--env-file", str(file), "--profile", role)
    pull(environment, google)
    _run(*compose, "up", "--no-build", "--detach", "--remove-orphans", "--force-recreate")
    _run("docker", "image", "prune", "--all", "--force")


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        raise BootError(f"{' '.join(command[:3])} failed: {error}") from error


def output(*command: str, stdin: str = "") -> str:
    """Runs a command and returns its standard output.

    :raises BootError: the command fails; the message has its error output
    """
    try:
        return subprocess.run(command, check=True, input=stdin, capture_output=True, text=True).stdout
    except subprocess.CalledProcessError as error:
        raise BootError(f"{' '.join(command[:2])} failed: {error.stderr.strip()}") from error
    except OSError as error:
        raise BootError(f"{command[0]} can't be run: {error}") from error


if __name__ == "__main__":
    try:
        boot(Google())
    except BootError as reason:
        # The line goes to Cloud Logging and to the serial console.
        subprocess.run(["logger", "--tag", "fraudstream", f"fraudstream boot failed: {reason}"], check=False)
        print(f"fraudstream boot failed: {reason}", file=sys.stderr)
        sys.exit(1)
