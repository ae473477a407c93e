"""Which source of customers the settings choose."""

from fraudstream.lake.store.cloud_storage import Store
from fraudstream.mail.customers.customer import Customers
from fraudstream.mail.customers.directory import DirectoryCustomers
from fraudstream.mail.customers.file_table import FileTable
from fraudstream.mail.customers.postgres_table import PREFIX, PostgresTable
from fraudstream.mail.customers.template import TemplateCustomers
from fraudstream.settings import Settings


def customers(settings: Settings) -> Customers:
    """The customers of the source that `customer_directory` names; without one, of the template.

    :raises SettingsError: the source's settings are unusable, or it can't be read
    :raises DirectoryUnavailable: it doesn't answer
    """
    directory = settings.customer_directory
    if not directory:
        return TemplateCustomers(settings)
    if directory.startswith(PREFIX):
        return DirectoryCustomers(PostgresTable(directory, settings.customer_database_uri))
    return DirectoryCustomers(FileTable(directory, Store.connect))
