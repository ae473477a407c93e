"""Credentials that can't be renewed for a moment are a temporary error, in every call that requests them."""

import pytest
from fraudstream.errors import LakeError
from fraudstream.lake.store.credentials import renewal_may_pass
from fraudstream.lake.table.catalog import translated
from google.auth import compute_engine
from google.auth import exceptions as auth
from google.auth.compute_engine import _metadata


def test_a_metadata_server_that_is_away_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise auth.TransportError("no route")

    monkeypatch.setattr(_metadata, "get_service_account_info", away)
    with pytest.raises(auth.RefreshError) as caught:
        compute_engine.Credentials().refresh(None)
    assert renewal_may_pass(caught.value)
    assert not renewal_may_pass(auth.RefreshError("invalid_grant"))


@pytest.mark.parametrize(
    ("raised", "retryable"),
    [
        (auth.TransportError("away"), True),
        (auth.RefreshError("later", retryable=True), True),
        (auth.RefreshError(), False),
    ],
)
def test_so_it_is_for_the_catalog(raised: Exception, retryable: bool) -> None:
    with (
        pytest.raises(LakeError, match="could not load the Iceberg catalog 'fraudstream'") as caught,
        translated("load"),
    ):
        raise raised
    assert caught.value.retryable is retryable
