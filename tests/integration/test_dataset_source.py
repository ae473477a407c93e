"""The behaviour of sources, with the running object store."""

import uuid
from collections.abc import Iterator, Mapping

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.unit.dataset.source.source_behaviour import SourceBehaviour
from tests.unit.dataset.source.source_stores import CloudStore

pytestmark = pytest.mark.integration


class TestObjectInStore(SourceBehaviour):
    @pytest.fixture
    def store(self, stack: Mapping[str, str]) -> Iterator[CloudStore]:
        client = storage.Client(
            project="fraudstream",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": stack["STORAGE_EMULATOR_HOST"]},
        )
        bucket = client.create_bucket(f"dataset-{uuid.uuid4().hex[:12]}")
        yield CloudStore(client, bucket.name)
        bucket.delete(force=True)
        client.close()
