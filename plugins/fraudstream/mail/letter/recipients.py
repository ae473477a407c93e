"""Mail addresses, and the addresses that safe mode allows."""

import re
from fnmatch import translate
from functools import lru_cache

import idna

from fraudstream.settings import Settings

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@)(?=.{{3,254}}\Z){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def is_address(text: str) -> bool:
    """Whether `text` is one plain ASCII address (RFC 5321, no quoted local part, no address literal)."""
    return _ADDRESS.fullmatch(text) is not None


def to_ascii(address: str) -> str:
    """Returns the address with its domain in ASCII (IDNA, RFC 5891); the same address if the domain isn't valid."""
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{_ascii_domain(domain)}"
    except idna.IDNAError:
        return address


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str:
    return idna.encode(domain, uts46=True).decode()


def _ascii_pattern(pattern: str) -> str:
    local, at, domain = pattern.rpartition("@")
    return f"{local}{at}" + ".".join(to_ascii(f"@{label}")[1:] for label in domain.split("."))


class SafeMode:
    """Decides which addresses may receive mail: `mail_safe_mode` and `mail_allowed_recipients`."""

    def __init__(self, settings: Settings) -> None:
        patterns = [translate(_ascii_pattern(pattern.lower())) for pattern in settings.mail_allowed_recipients]
        self._allowed = re.compile("|".join(patterns) or r"(?!)") if settings.mail_safe_mode else None

    def allows(self, address: str) -> bool:
        """Whether safe mode is off or one of its patterns matches; case-insensitive."""
        return self._allowed is None or self._allowed.match(address.lower()) is not None
