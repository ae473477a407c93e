"""Selects the source of customers from the settings."""

from fraudstream.lake.store.cloud_storage import Store
from fraudstream.mail.customers.customer import Customers
from fraudstream.mail.customers.directory import DirectoryCustomers
from fraudstream.mail.customers.file_table import FileTable
from fraudstream.mail.customers.postgres_table import PREFIX, PostgresTable
from fraudstream.mail.customers.template import TemplateCustomers
from fraudstream.settings import Settings


def customers(settings: Settings) -> Customers:
    """Returns the source that `customer_directory` names; if it is empty, the template.

    :raises SettingsError: the source's settings can't be used, or the source can't be read
    :raises DirectoryUnavailable: the source doesn't answer
    """
    directory = settings.customer_directory
    if not directory:
        return TemplateCustomers(settings)
    if directory.startswith(PREFIX):
        return DirectoryCustomers(PostgresTable(directory, settings.customer_database_uri))
    return DirectoryCustomers(FileTable(directory, Store.connect))
