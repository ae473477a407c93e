"""Brokers as docker/ and terraform/ configure them: TLS everywhere, SCRAM users, and the ACLs of docker/kafka/acls.

Two more listeners behave as other clusters may: one requires a client certificate, one accepts OAuth tokens.
The configuration is docker/kafka/server.properties and the template for VMs, with other ports and folders. Users and
ACLs are created through the internal listener, as docker/kafka/access.sh does.
"""

import datetime
import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fraudstream.settings import ROOT, Settings
from pydantic import SecretStr

from local.programs import artifacts
from local.stack.ports import is_free
from local.stack.services import broker, java_command
from local.supervisor.control import Control
from local.supervisor.part import Part
from tests.unit.deploy.container_files import Right, boot_module, rights

#: The host name of the brokers, for clients and in certificates.
HOST = "localhost"
_BROKER_PASSWORD = "the-brokers-own"
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.BROKER,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}


class Authority:
    """A certificate authority, in place of Google's for the VMs."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fraudstream test authority")])
        is_authority = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = self._signed(self._name, self._key.public_key(), is_authority)

    def pem(self) -> str:
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def keystore(self, host: str) -> str:
        """A key and its certificate chain for `host`, as docker/vm/boot.py gives them to a broker."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "fraudstream")])
        certificate = self._signed(name, key.public_key(), x509.SubjectAlternativeName([x509.DNSName(host)]))
        return private.decode() + certificate.public_bytes(serialization.Encoding.PEM).decode() + self.pem()

    def client(self, user: str, folder: Path, password: str) -> tuple[Path, Path]:
        """Files with a user's certificate and its key, which is encrypted with the password."""
        key = ec.generate_private_key(ec.SECP256R1())
        encryption = serialization.BestAvailableEncryption(password.encode())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)])
        certificate = self._signed(name, key.public_key(), x509.BasicConstraints(ca=False, path_length=None))
        files = (folder / f"{user}.pem", folder / f"{user}.key")
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(private)
        return files

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


@dataclass(frozen=True)
class Secured:
    """Three brokers that require authentication."""

    #: host:port of each broker's listeners: for clients with a password, with a certificate, with a token
    bootstrap_servers: str
    mutual_servers: str
    token_servers: str
    #: host:port of the first broker's internal listener, for the administrator
    internal: str
    #: file with the authority's certificate
    authority: Path
    signer: Authority
    admin: AdminClient
    settings: Settings

    def settings_of(self, user: str, **changes: object) -> Settings:
        """The settings of a role's process; `changes` replace some of them."""
        return self.settings.model_copy(
            update={
                "kafka_bootstrap_servers": self.bootstrap_servers,
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "SCRAM-SHA-512",
                "kafka_sasl_username": user,
                "kafka_sasl_password": SecretStr(password_of(user)),
                "kafka_ssl_ca_location": str(self.authority),
                **changes,
            }
        )

    def admin_of(self, user: str) -> AdminClient:
        """An admin client that logs in as a role."""
        return AdminClient(self.settings_of(user).kafka_config())

    def grant(self, bindings: list[AclBinding]) -> None:
        """Creates ACLs."""
        for future in self.admin.create_acls(bindings).values():
            future.result(60)

    def revoke(self, bindings: list[AclBinding]) -> None:
        """Deletes ACLs."""
        fields = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
        filters = [AclBindingFilter(*(getattr(binding, field) for field in fields)) for binding in bindings]
        for future in self.admin.delete_acls(filters).values():
            future.result(60)


def run_access_script(secured: Secured, folder: Path, passwords: Mapping[str, str], acls: str, text: str) -> str:
    """Runs docker/kafka/access.sh (`text`) as its container does, with Kafka's own tools; returns all its output.

    :raises subprocess.CalledProcessError: the script failed
    """
    classes = {"kafka-configs.sh": "ConfigCommand", "kafka-acls.sh": "AclCommand"}
    files = artifacts.fetch_all(print)
    for tool, name in classes.items():
        write_tool(folder / tool, files, f"org.apache.kafka.tools.{name}")
    (folder / "acls").write_text(acls)
    (folder / "kafka_ca.pem").write_text(secured.authority.read_text())
    template = (ROOT / "docker/vm/templates/kafka/kafka_admin.properties").read_text()
    filled = boot_module(ROOT).fill(template, {"kafka_broker_password": _BROKER_PASSWORD}, "kafka_admin.properties")
    (folder / "kafka_admin.properties").write_text(filled.replace("/run/secrets", str(folder)))
    for user, password in passwords.items():
        (folder / f"kafka_{user}_password").write_text(password)
    for path in ("/tmp", "/opt/kafka/bin", "/run/secrets", "/etc/fraudstream"):  # noqa: S108 - the container's
        text = text.replace(path, str(folder))
    host, port = secured.internal.split(":")
    text = text.replace("${KAFKA_HOST}:9094", f"${{KAFKA_HOST}}:{port}")
    done = subprocess.run(
        ["bash", "-c", text],
        env={"PATH": "/usr/bin:/bin", "KAFKA_HOST": host},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def write_tool(path: Path, files: dict[str, Path], main: str) -> None:
    """Writes a script that runs a class of Kafka's jars, like the scripts in Kafka's image."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(java_command(files, main))} "$@"\n')
    path.chmod(0o755)


def password_of(user: str) -> str:
    """A role's password."""
    return f"password of {user}"


def acl_bindings(right: Right) -> list[AclBinding]:
    """The ACL bindings for a line of docker/kafka/acls."""
    return [
        AclBinding(
            _RESOURCES[right.resource],
            right.name,
            ResourcePatternType.PREFIXED if right.pattern == "prefixed" else ResourcePatternType.LITERAL,
            f"User:{right.user}",
            "*",
            AclOperation[re.sub(r"(?<!^)([A-Z])", r"_\1", operation).upper()],
            AclPermissionType.ALLOW,
        )
        for operation in right.operations
    ]


@contextmanager
def secured_brokers(folder: Path, settings: Settings) -> Iterator[Secured]:
    """Starts the brokers and creates users and ACLs; stops the brokers at the end."""
    authority = Authority()
    certificate = folder / "kafka_ca.pem"
    certificate.write_text(authority.pem())
    control = Control(folder / "stack", folder / "log")
    starts = (26_000, 27_000, 28_000, 29_000, 30_000)
    clients, internals, controllers, mutuals, tokens = map(_free_ports, starts)
    files = artifacts.fetch_all(print)
    parts: list[Part] = []
    for number in range(3):
        home = folder / f"kafka-{number + 1}"
        home.mkdir()
        keystore = home / "keystore.pem"
        keystore.write_text(authority.keystore(HOST))
        properties = _properties() | {
            "node.id": number + 1,
            "controller.quorum.voters": ",".join(f"{n + 1}@{HOST}:{port}" for n, port in enumerate(controllers)),
            "listeners": (
                f"CLIENT://{HOST}:{clients[number]},CONTROLLER://{HOST}:{controllers[number]},"
                f"INTERNAL://{HOST}:{internals[number]},MUTUAL://{HOST}:{mutuals[number]},TOKEN://{HOST}:{tokens[number]}"
            ),
            "advertised.listeners": (
                f"CLIENT://{HOST}:{clients[number]},INTERNAL://{HOST}:{internals[number]},"
                f"MUTUAL://{HOST}:{mutuals[number]},TOKEN://{HOST}:{tokens[number]}"
            ),
            "ssl.keystore.location": keystore,
            "ssl.truststore.location": certificate,
            "log.dirs": home / "data",
            "group.initial.rebalance.delay.ms": 0,
        }
        ports = [clients[number], controllers[number], internals[number], mutuals[number], tokens[number]]
        parts += broker(f"kafka-{number + 1}", home, properties, files, ports)
    for part in parts:
        part.stop_within = 1  # their state isn't needed any more
    try:
        control.up(parts, lambda _: None)
        admin_config = {
            "bootstrap.servers": ",".join(f"{HOST}:{port}" for port in internals),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "broker",
            "sasl.password": _BROKER_PASSWORD,
            "ssl.ca.location": str(certificate),
        }
        with AdminClient(admin_config) as admin:
            servers = [",".join(f"{HOST}:{port}" for port in ports) for ports in (clients, mutuals, tokens)]
            secured = Secured(
                servers[0], servers[1], servers[2], f"{HOST}:{internals[0]}", certificate, authority, admin, settings
            )
            _make_users(admin)
            secured.grant([binding for right in rights(ROOT) for binding in acl_bindings(right)])
            yield secured
    finally:
        control.down()


def _make_users(admin: AdminClient) -> None:
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    users = sorted({right.user for right in rights(ROOT)})
    made = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(user, credential, password_of(user).encode()) for user in users]
    )
    for future in made.values():
        future.result(60)


def _properties() -> dict[str, object]:
    """The configuration of every broker on a VM, as boot.py fills it, with the two further listeners."""
    boot = boot_module(ROOT)
    template = (ROOT / "docker/vm/templates/kafka/kafka.properties").read_text()
    filled = boot.fill(template, {"kafka_broker_password": _BROKER_PASSWORD}, "kafka.properties")
    lines = [*(ROOT / "docker/kafka/server.properties").read_text().splitlines(), *filled.splitlines()]
    properties: dict[str, object] = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return properties | {
        "listener.security.protocol.map": f"{properties['listener.security.protocol.map']},MUTUAL:SSL,TOKEN:SASL_SSL",
        "listener.name.mutual.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/,DEFAULT",
        "listener.name.token.sasl.enabled.mechanisms": "OAUTHBEARER",
        # Kafka's module for tests, which accepts unsigned tokens.
        "listener.name.token.oauthbearer.sasl.jaas.config": (
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";'
        ),
    }


def _free_ports(start: int) -> list[int]:
    return list(itertools.islice(filter(is_free, range(start, start + 1_000)), 3))
