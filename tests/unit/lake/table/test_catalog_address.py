"""An unusable address of the catalog is a SettingsError, whose message has no part of the password."""

import pytest
from fraudstream.errors import SettingsError
from fraudstream.lake.table.catalog import Tables
from fraudstream.settings import Settings


@pytest.mark.parametrize(
    "address",
    [
        "postgresql//u:hidden-word@127.0.0.1/db",
        "u:hidden-word@127.0.0.1/db",
        "postgres://u:hidden-word@127.0.0.1/db",
        "postgresql+psycopg://u:hidden-word@127.0.0.1:port/db",
        "postgresql+psycopg://u:p@hidden-word@127.0.0.1:9/db",
    ],
)
def test_an_address_that_no_retry_heals_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(SettingsError, match="FRAUDSTREAM_LAKE_CATALOG_URI") as raised:
        Tables.connect(Settings(lake_catalog_uri=address), "bucket")
    assert "hidden" not in str(raised.value)
