"""Makes a VM what its metadata says: run as root by the startup script at every boot, with Python alone.

1. reads role, environment and the list of secrets from the instance's metadata;
2. mounts the data disk, where the role has one;
3. writes the secrets into files in memory, asks for a certificate where the role is a broker, and fills the role's
   templates;
4. sets up logging, monitoring and the timers of docker/vm/upkeep.py;
5. pulls the role's images and starts its compose profile, in place of what ran before.

Whatever fails ends the boot with a line that an alert of terraform/alerts.tf looks for; systemd runs it again.
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
RUN = Path("/run/fraudstream")  # /run is in memory: nothing of it survives a shutdown
DATA = Path("/var/lib/fraudstream/data")
DATA_DISK = Path("/dev/disk/by-id/google-data")
METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/"
#: Tries of a request, and seconds between them.
TRIES, RETRY_SECONDS = 12, 5.0
#: Uid of the broker in apache/kafka's image, which writes to the data disk.
KAFKA_UID = 1000
#: Which folders of templates a role's files are made of.
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
    """The VM can't become what its metadata says."""


class Google:
    """Metadata server, Secret Manager and Certificate Authority Service, as the VM's service account."""

    def metadata(self, path: str) -> str:
        """One value of the instance's metadata."""
        return self._send(urllib.request.Request(METADATA + path, headers={"Metadata-Flavor": "Google"})).decode()  # noqa: S310

    def secret(self, name: str) -> bytes:
        """Newest version of a secret; `name` is projects/…/secrets/…."""
        answer = self._call(f"https://secretmanager.googleapis.com/v1/{name}/versions/latest:access")
        return base64.b64decode(answer["payload"]["data"])

    def certificate(self, pool: str, request: str) -> str:
        """Has a signing request (PEM) signed by the authority; returns the chain, the certificate first."""
        name = f"broker-{secrets.token_hex(8)}"
        answer = self._call(
            f"https://privateca.googleapis.com/v1/{pool}/certificates?certificateId={name}",
            {"lifetime": "31536000s", "pemCsr": request},
        )
        return "".join(part.rstrip("\n") + "\n" for part in [answer["pemCertificate"], *answer["pemCertificateChain"]])

    def token(self) -> str:
        """What the VM's service account shows to Google's services."""
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
                # A grant takes up to minutes to reach the service that checks it, which answers 403 until then.
                if not left or error.code not in {403, 404, 408, 429, *range(500, 600)}:
                    raise BootError(f"{request.full_url} answers {error.code}: {error.read(500)!r}") from error
            except OSError as error:
                if not left:
                    raise BootError(f"{request.full_url} doesn't answer: {error}") from error
            time.sleep(RETRY_SECONDS)
        raise AssertionError  # the last try returned or raised


def parse_environment(text: str) -> dict[str, str]:
    """NAME=value lines, as terraform/modules/vm writes them."""
    lines = [line for line in text.splitlines() if line]
    wrong = [line for line in lines if "=" not in line]
    if wrong:
        raise BootError(f"metadata fraudstream-environment has lines without =: {wrong}")
    return dict(line.split("=", 1) for line in lines)


def environment_file(environment: Mapping[str, str]) -> str:
    """What `docker compose --env-file` reads: every value literal, whatever is in it.

    :raises BootError: a value can't be written so
    """
    wrong = [name for name, value in environment.items() if "'" in value or "\n" in value or value.endswith("\\")]
    if wrong:
        raise BootError(f"a quote, line break or final backslash in {', '.join(wrong)} can't be passed to compose")
    return "".join(f"{name}='{value}'\n" for name, value in sorted(environment.items()))


def fill(text: str, values: Mapping[str, str], name: str) -> str:
    """A template with its $names replaced; $name_json is the value as a JSON string.

    :raises BootError: it asks for a name that the metadata doesn't give
    """
    known = dict(values) | {f"{key}_json": json.dumps(value) for key, value in values.items()}
    try:
        return string.Template(text).substitute(known)
    except (KeyError, ValueError) as error:
        raise BootError(
            f"template {name} can't be filled: {error} is unknown; known: {', '.join(sorted(values))}"
        ) from None


def templates_of(role: str) -> list[Path]:
    """The templates whose results the role's containers read."""
    return [path for folder in TEMPLATE_FOLDERS[role] for path in sorted((TEMPLATES / folder).iterdir())]


def write_secrets(role: str, environment: Mapping[str, str], names: Mapping[str, str], google: Google) -> Path:
    """Step 3; returns the folder. Only root enters it, each container sees the files that compose gives it."""
    folder = RUN / "secrets"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    values = dict(environment)
    for file, secret in names.items():
        value = google.secret(secret)
        (folder / file).write_bytes(value)
        values[file] = value.decode()
    for template in templates_of(role):
        # Airflow's settings *_CMD take a final line break of the file as part of the value.
        (folder / template.name).write_text(fill(template.read_text(), values, template.name).rstrip("\n"))
    if role == "kafka":
        (folder / "kafka_keystore.pem").write_text(keystore(environment["KAFKA_HOST"], environment["CA_POOL"], google))
    for path in folder.iterdir():
        path.chmod(0o444)
    return folder


def keystore(host: str, pool: str, google: Google) -> str:
    """A new private key and its certificate for `host`, as Kafka reads them: PKCS#8, then the chain."""
    key = output("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    request = output(
        *("openssl", "req", "-new", "-key", "/dev/stdin", "-subj", "/O=fraudstream"),
        *("-addext", f"subjectAltName=DNS:{host}"),
        stdin=key,
    )
    return key + google.certificate(pool, request)


def mount_data() -> None:
    """Step 2: makes a file system on the data disk once, and mounts it."""
    if not DATA_DISK.exists() or os.path.ismount(DATA):
        return
    if not output("lsblk", "--noheadings", "--output", "FSTYPE", str(DATA_DISK)).strip():
        _run("mkfs.ext4", "-q", "-m", "0", str(DATA_DISK))
    DATA.mkdir(parents=True, exist_ok=True)
    _run("mount", "-o", "noatime", str(DATA_DISK), str(DATA))
    os.chown(DATA, KAFKA_UID, KAFKA_UID)


def configure_machine(role: str) -> None:
    """Step 4: Docker pulls through Google's mirror of Docker Hub; the Ops Agent reads the role's exporter, if any."""
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
    """Step 5: our own images, with a token that is valid for an hour; Compose pulls those of others."""
    os.environ["DOCKER_CONFIG"] = str(RUN / "docker")  # in memory, as the secrets are
    for image in (value for name, value in sorted(environment.items()) if name.endswith("_IMAGE")):
        registry = image.partition("/")[0]
        output("docker", "login", "--username", "oauth2accesstoken", "--password-stdin", registry, stdin=google.token())
        _run("docker", "pull", "--quiet", image)


def start_timers(role: str, folder: Path = Path("/etc/systemd/system")) -> None:
    """Step 4: systemd runs docker/vm/upkeep.py, `renew` on brokers alone."""
    times = {"heal": "OnCalendar=minutely"}
    if role == "kafka":
        # Each broker in a night of its own: the delay is drawn once for each machine.
        times["renew"] = "OnCalendar=monthly\nRandomizedDelaySec=10d\nFixedRandomDelay=true"
    for task, when in times.items():
        unit = f"fraudstream-{task}"
        (folder / f"{unit}.service").write_text(
            f"[Service]\nType=oneshot\nExecStart=/usr/bin/python3 {DOCKER}/vm/upkeep.py {task}\n"
        )
        (folder / f"{unit}.timer").write_text(f"[Timer]\n{when}\n")
        _run("systemctl", "daemon-reload")
        _run("systemctl", "restart", f"{unit}.timer")


def boot(google: Google) -> None:
    """All five steps."""
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
    """What a command prints.

    :raises BootError: it fails, with what it says about it
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
        # The serial console and Cloud Logging both get it.
        subprocess.run(["logger", "--tag", "fraudstream", f"fraudstream boot failed: {reason}"], check=False)
        print(f"fraudstream boot failed: {reason}", file=sys.stderr)
        sys.exit(1)
