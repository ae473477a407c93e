"""Clients made from Airflow's connections: the object store and the mail server."""

from typing import cast

from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.sdk import BaseHook
from google.cloud import storage

from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.table.catalog import Tables
from fraudstream.lake.table.lake import Lake
from fraudstream.mail.smtp.server import SmtpServer, server_from_connection
from fraudstream.settings import Settings, get_settings

GOOGLE = "google_cloud_default"
SMTP = "smtp_default"


def storage_client() -> storage.Client:
    """A client with the credentials of connection ``google_cloud_default``."""
    return cast(storage.Client, GCSHook(gcp_conn_id=GOOGLE).get_conn())


def lake(settings: Settings) -> Store:
    """The lake's bucket, with the credentials of connection ``google_cloud_default``."""
    return Store(storage_client(), settings.lake_bucket)


def lake_with_tables(settings: Settings) -> Lake:
    """The lake's bucket, and the catalog of its tables, which is configured as pyiceberg's catalogs are.

    :raises SettingsError: the catalog can't be opened
    """
    return Lake(lake(settings), Tables.connect(settings, settings.lake_bucket))


def smtp_server() -> SmtpServer:
    """The mail server of connection ``smtp_default``.

    :raises SettingsError: the connection is incomplete or contradicts itself
    """
    connection = BaseHook.get_connection(SMTP)
    return server_from_connection(
        host=connection.host,
        port=connection.port,
        login=connection.login,
        password=connection.password,
        extra=connection.extra_dejson,
        ehlo_name=get_settings().mail_ehlo_name,
    )
