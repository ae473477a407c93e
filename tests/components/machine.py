"""A simulated VM for its boot: its own network and file system, Google's services on loopback. Arguments: see `main`.

Runs the unchanged terraform/modules/vm/startup.sh, which runs docker/vm/boot.py from the release, with this machine's
bash, curl, Python and openssl. Stand-ins for docker, systemctl, apt-get and logger record their calls. It runs inside
`unshare --net --mount` with Python's standard library only, and prints the result of each boot.
"""

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOSTS = (
    "metadata.google.internal",
    "secretmanager.googleapis.com",
    "privateca.googleapis.com",
    "storage.googleapis.com",
)
#: Files in /etc that the programs read.
ETC = ("group", "host.conf", "ld.so.cache", "nsswitch.conf", "passwd", "ssl/openssl.cnf")
TOOLS = ("docker", "systemctl", "apt-get", "logger", "mkfs.ext4")
_TOOL = """#!/bin/bash
printf '%s\\n' "${0##*/} $*" >> "${0%/*}/../calls"
"""


class Google(BaseHTTPRequestHandler):
    """Metadata server, Secret Manager, certificate authority and Cloud Storage."""

    folder: Path
    machine: dict[str, Any]
    asked: list[str]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        host, path = str(self.headers["Host"]), urlsplit(self.path).path
        self.asked.append(f"{host}{path}")
        code, content = self._metadata(path) if host == "metadata.google.internal" else self._service(host, path)
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _metadata(self, path: str) -> tuple[int, bytes]:
        if self.headers["Metadata-Flavor"] != "Google":
            return 403, b"no Metadata-Flavor"
        environment = "\n".join(f"{name}={value}" for name, value in self.machine["environment"].items())
        values = {
            "attributes/fraudstream-release": "bucket/release-1.zip",
            "attributes/fraudstream-role": self.machine["role"],
            "attributes/fraudstream-environment": environment,
            "attributes/fraudstream-secrets": json.dumps(self.machine["secrets"]),
            "service-accounts/default/token": '{"access_token": "t0ken"}',
            "network-interfaces/0/ip": "10.10.0.9",
        }
        return 200, values[path.removeprefix("/computeMetadata/v1/instance/")].encode()

    def _service(self, host: str, path: str) -> tuple[int, bytes]:
        if self.headers["Authorization"] != "Bearer t0ken":
            return 401, b"no token"
        if host == "storage.googleapis.com":
            return 200, (self.folder / "release.zip").read_bytes()
        if host == "privateca.googleapis.com":
            return 200, json.dumps({"pemCertificate": "LEAF\n", "pemCertificateChain": ["CA\n"]}).encode()
        secret = path.split("/")[5]  # /v1/projects/p/secrets/NAME/…
        if secret == self.machine.get("missing"):
            return 400, b"no such version"
        return 200, json.dumps({"payload": {"data": base64.b64encode(f"value of {secret}".encode()).decode()}}).encode()

    def log_message(self, *args: Any) -> None:
        """Logs nothing."""


def isolate(folder: Path) -> None:
    """Makes the folders that the boot writes to private to this namespace, and maps Google's host names to loopback."""
    etc = folder / "etc"
    for place in ("ssl", "systemd/system", "google-cloud-ops-agent"):
        (etc / place).mkdir(parents=True)
    for name in ETC:
        if Path("/etc", name).exists():
            shutil.copy(Path("/etc", name), etc / name)
    (etc / "hosts").write_text("".join(f"127.0.0.1 {host}\n" for host in ("localhost", *HOSTS)))
    commands = ["ip link set lo up", f"mount --bind {etc} /etc"]
    commands += [f"mount -t tmpfs tmpfs {place}" for place in ("/opt", "/run", "/usr/local/sbin", "/var/lib")]
    for command in commands:
        subprocess.run(command.split(), check=True)


def serve(folder: Path) -> None:
    """Serves port 80 and, with the test's certificate, port 443, until the process ends."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "google.pem", folder / "google.key")
    for port in (80, 443):
        server = ThreadingHTTPServer(("127.0.0.1", port), Google)
        if port == 443:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def boot(folder: Path, startup: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """Runs the script as Google's startup service does, then as systemd does by its unit."""
    Google.machine, Google.asked = machine, []
    (folder / "calls").unlink(missing_ok=True)
    environment = {
        "PATH": f"{folder / 'tools'}:/usr/sbin:/usr/bin:/sbin:/bin",
        "CURL_CA_BUNDLE": str(folder / "google.pem"),
        "SSL_CERT_FILE": str(folder / "google.pem"),
    }
    first = subprocess.run(["bash", startup], env=environment, capture_output=True, text=True, check=False)
    unit = Path("/etc/systemd/system/fraudstream-boot.service").read_text()
    command = next(line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart="))
    second = subprocess.run(command.split(), env=environment, capture_output=True, text=True, check=False)
    secrets, compose = Path("/run/fraudstream/secrets"), Path("/run/fraudstream/compose.env")
    return {
        "codes": [first.returncode, second.returncode],
        "errors": first.stderr + second.stderr,
        "calls": (folder / "calls").read_text().splitlines(),
        "asked": Google.asked,
        "secrets": {path.name: path.read_text() for path in sorted(secrets.iterdir())} if secrets.exists() else {},
        "compose": compose.read_text() if compose.exists() else "",
        "timers": sorted(path.name for path in Path("/etc/systemd/system").glob("fraudstream-*.timer")),
        "agent": sorted(path.name for path in Path("/etc/google-cloud-ops-agent").iterdir()),
    }


def main() -> None:
    """Arguments: a folder with the release and a certificate, and the startup script. Standard input: the machines."""
    folder, startup = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
    tools = folder / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).write_text(_TOOL)
        (tools / tool).chmod(0o755)
    script = folder / "startup.sh"
    script.write_bytes(startup)
    isolate(folder)
    Google.folder = folder
    serve(folder)
    json.dump([boot(folder, script, machine) for machine in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    os.umask(0o022)
    main()
