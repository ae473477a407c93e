"""What keeps a VM in its role between boots: run as root by systemd timers that docker/vm/boot.py makes.

heal:  restarts each container whose health check failed; Docker itself only restarts those that end.
renew: gives a broker a new certificate while it runs.

Each says what it did, or why it couldn't, in a line that an alert of terraform/alerts.tf looks for.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping

import boot


def heal() -> None:
    """Restarts unhealthy containers; the health checks' own retries decide when one is."""
    for name in boot.output("docker", "ps", "--filter", "health=unhealthy", "--format", "{{.Names}}").split():
        log(f"fraudstream container unhealthy: {name} is restarted")
        boot.output("docker", "restart", name)


def renew(google: boot.Google) -> None:
    """A new key and certificate into the file that the broker has, and the broker reads it again.

    The file is written in place: its container sees this file, not another one of the same name.
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
    """The serial console and Cloud Logging both get it."""
    subprocess.run(["logger", "--tag", "fraudstream", line], check=False)


COMMANDS: Mapping[str, Callable[[], None]] = {"heal": heal, "renew": lambda: renew(boot.Google())}

if __name__ == "__main__":
    task = sys.argv[1]
    try:
        COMMANDS[task]()
    except boot.BootError as reason:
        log(f"fraudstream upkeep failed: {task}: {reason}")
        sys.exit(1)
