"""Which source of customers the settings choose."""

from fraudstream.mail.customers.customer import Customers
from fraudstream.mail.customers.template import TemplateCustomers
from fraudstream.settings import Settings


def customers(settings: Settings) -> Customers:
    """The customers of the source that `customer_directory` names; without one, of the template.

    :raises SettingsError: the source's settings are unusable
    """
    return TemplateCustomers(settings)
