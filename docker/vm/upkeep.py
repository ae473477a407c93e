"""Maintains a VM between boots. systemd timers, which docker/vm/boot.py creates, run it as root.

heal:  restarts each container whose health check failed; Docker itself only restarts containers that end.
renew: gives a running broker a new certificate.

Both log what they did, or why they failed. Alerts of terraform/alerts.tf match these lines.
"""

import http.client
import subprocess
import sys
from collections.abc import Callable, Mapping

import boot


def heal() -> None:
    """Restarts unhealthy containers. The retries of a health check decide when its container is unhealthy.

    :raises BootError: containers couldn't be restarted; the others were
    """
    failed = []
    for name in boot.output("docker", "ps", "--filter", "health=unhealthy", "--format", "{{.Names}}").split():
        log(f"fraudstream container unhealthy: {name} is restarted")
        try:
            boot.output("docker", "restart", name)
        except boot.BootError as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise boot.BootError("; ".join(failed))


def renew(google: boot.Google) -> None:
    """Writes a new key and certificate to the broker's file, and makes the broker reload the file.

    The file is overwritten in place: the container has this file mounted and wouldn't see a new file of the same name.
    """
    environment = boot.parse_environment(google.metadata("attributes/fraudstream-environment"))
    text = boot.keystore(environment["KAFKA_HOST"], environment["CA_POOL"], google)
    file = boot.RUN / "secrets" / "kafka_keystore.pem"
    file.chmod(0o600)
    file.write_text(text)
    file.chmod(0o444)
    compose = (
        "docker",
        "compose",
        "--project-directory",
        str(boot.DOCKER),
        "--env-file",
        str(boot.RUN / "compose.env"),
    )
    container = ("run", "--rm", "--no-deps", "--entrypoint", "bash", "kafka-access", "/etc/fraudstream/renew.sh")
    boot.output(*compose, "--profile", "kafka", *container)
    log("fraudstream certificate renewed")


def log(line: str) -> None:
    """Logs a line to Cloud Logging and to the serial console."""
    subprocess.run(["logger", "--tag", "fraudstream", line], check=False)


COMMANDS: Mapping[str, Callable[[], None]] = {"heal": heal, "renew": lambda: renew(boot.Google())}


def main(task: str) -> int:
    """Runs a command and returns its exit code. A failure is logged with the line that an alert looks for."""
    try:
        COMMANDS[task]()
    except (boot.BootError, OSError, LookupError, ValueError, http.client.HTTPException) as reason:
        log(f"fraudstream upkeep failed: {task}: {reason!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
