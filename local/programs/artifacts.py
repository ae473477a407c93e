"""Files that the stack runs and PyPI doesn't have: downloaded from Maven Central once and cached outside the checkout.

``artifacts.lock`` names each file and its SHA-256; a file with another checksum is never used.
``python -m local.programs.artifacts`` resolves the versions below again and rewrites the lock.
"""

import hashlib
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jgo
import platformdirs
from fraudstream.errors import FraudstreamError
from jgo.maven import Artifact, MavenContext

KAFKA = "org.apache.kafka:kafka_2.13:4.4.0"
#: Kafka's command-line tools (kafka-configs, kafka-acls, kafka-producer-perf-test). The jars that they depend on are
#: among the broker's jars.
KAFKA_TOOLS = "org.apache.kafka:kafka-tools:4.4.0"
#: A binding for SLF4J: Kafka logs nothing without one.
KAFKA_LOGGING = "org.slf4j:slf4j-simple:1.7.36"
REGISTRY = "io.apicurio:apicurio-registry-app:2.6.13.Final:all:tar.gz"

LOCK = Path(__file__).with_name("artifacts.lock")


class ArtifactError(FraudstreamError):
    """A downloaded file hasn't the checksum that the lock names."""


def cache() -> Path:
    """The folder for downloads, which all checkouts of this user share."""
    return platformdirs.user_cache_path("fraudstream")


def locked() -> dict[str, str]:
    """The SHA-256 of each file of the lock, by coordinate: group:artifact:version[:classifier:packaging]."""
    lines = (line.split(" ", 1) for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return dict(lines)


def fetch_all(progress: Callable[[str], None]) -> dict[str, Path]:
    """Returns the path of each file of the lock by coordinate. Downloads files that aren't cached.

    :param progress: called with name and version before each download
    :raises ArtifactError: a file has another checksum; it is removed, so that the next try downloads it again
    """
    return fetch_files(locked(), progress)


def fetch_files(wanted: Mapping[str, str], progress: Callable[[str], None]) -> dict[str, Path]:
    """As :func:`fetch_all`, for the files in `wanted`.

    :param wanted: the SHA-256 of each file, by coordinate
    :raises ArtifactError: a file has another checksum; it is removed, so that the next try downloads it again
    """
    context = MavenContext(repo_cache=cache() / "maven", timeout=60)
    with ThreadPoolExecutor(8) as pool:
        items = wanted.items()
        paths = pool.map(lambda item: _fetch(context, item[0], item[1], progress), items)
        return dict(zip((coordinate for coordinate, _ in items), paths, strict=True))


def fetch(coordinate: str, checksum: str, progress: Callable[[str], None]) -> Path:
    """Returns the path of one file that isn't in the lock. Downloads it if it isn't cached.

    :raises ArtifactError: the file has another checksum; it is removed, so that the next try downloads it again
    """
    return _fetch(MavenContext(repo_cache=cache() / "maven", timeout=60), coordinate, checksum, progress)


def unpacked(archive: Path, checksum: str) -> Path:
    """Returns the folder with the files of a tar archive. An archive is unpacked once for each checksum."""
    folder = cache() / "unpacked" / f"{archive.name}-{checksum[:16]}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):  # since Python 3.11.4; without it, the known checksum is enough
                tar.extraction_filter = staticmethod(tarfile.data_filter)
            tar.extractall(partial)  # noqa: S202 - see above
        partial.rename(folder)
    return folder


def _fetch(context: MavenContext, coordinate: str, checksum: str, progress: Callable[[str], None]) -> Path:
    file = _artifact(context, coordinate)
    verified = file.cached_path.with_suffix(".sha256-ok")
    if verified.exists() and verified.read_text() == checksum:
        return Path(file.cached_path)
    progress(f"{file.artifactId} {file.version}")
    path = Path(file.resolve())
    found = _sha256(path)
    if found != checksum:
        path.unlink()
        raise ArtifactError(
            f"{coordinate} has SHA-256 {found}, expected {checksum}: the download was damaged or replaced; "
            "it is removed, try again"
        )
    verified.write_text(checksum)
    return path


def _artifact(context: MavenContext, coordinate: str) -> Artifact:
    group, artifact, version, *rest = coordinate.split(":")
    classifier, packaging = rest or ("", "jar")
    return context.project(group, artifact).at_version(version).artifact(classifier=classifier, packaging=packaging)


def checksums(coordinates: Iterable[str]) -> dict[str, str]:
    """Downloads these files from Maven Central and returns the SHA-256 of each, by coordinate."""
    context = MavenContext(repo_cache=cache() / "maven", timeout=60)
    return {coordinate: _sha256(_artifact(context, coordinate).resolve()) for coordinate in coordinates}


def resolved(roots: Iterable[str]) -> dict[str, str]:
    """As :func:`checksums`, for these jars and all their dependencies."""
    return {_coordinate(jar): _sha256(jar.resolve()) for jar in sorted(jgo.resolve("+".join(roots)), key=str)}


def _coordinate(jar: Artifact) -> str:
    coordinate = f"{jar.groupId}:{jar.artifactId}:{jar.version}"
    return f"{coordinate}:{jar.classifier}:{jar.packaging}" if jar.classifier else coordinate


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _relock() -> None:
    found = checksums((REGISTRY, KAFKA_TOOLS)) | resolved((KAFKA, KAFKA_LOGGING))
    lines = [f"{coordinate} {checksum}" for coordinate, checksum in found.items()]
    header = "# coordinate and SHA-256 of each file; written by python -m local.programs.artifacts\n"
    LOCK.write_text(header + "\n".join(lines) + "\n")
    sys.stdout.write(f"{len(lines)} files locked in {LOCK.name}\n")


if __name__ == "__main__":
    _relock()
