"""Addresses of databases, which have a password in them."""

from fraudstream.errors import SettingsError


def require_one_host(uri: str, setting: str) -> None:
    """Passes if it is clear where the host begins.

    :raises SettingsError: an @ of a password is written as it is: drivers take what follows it for the host, and show
        it in their messages
    """
    if uri.partition("?")[0].count("@") > 1:
        raise SettingsError(f"{setting} has more than one @: write an @ that belongs to user or password as %40")
