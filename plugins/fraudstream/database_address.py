"""Checks the addresses of databases, which contain a password."""

from fraudstream.errors import SettingsError


def require_one_host(uri: str, setting: str) -> None:
    """Checks that an address has at most one @, so that it is clear where the host begins.

    :param setting: name of the setting, for the message
    :raises SettingsError: the user or password has an @ that isn't escaped. Drivers would take the rest of the password
        for the host, and show it in their messages
    """
    if uri.partition("?")[0].count("@") > 1:
        raise SettingsError(f"{setting} has more than one @: write an @ that belongs to user or password as %40")
