"""Quoted-printable (RFC 2045) in pieces: static text encoded once, values put between the pieces for each mail.

Every line stays within 76 characters whatever the values are, since a soft line break surrounds each of them.
"""

import binascii
import re
from collections.abc import Callable

_SOFT_BREAK = b"=\r\n"
_PLAIN = re.compile(r"[ -<>-~]{0,74}[!-<>-~]", re.ASCII)


def encode_value(value: str) -> bytes:
    """A value in lines of at most 76 characters, line breaks inside it kept as data; decodes to its UTF-8."""
    if _PLAIN.fullmatch(value):
        return value.encode("ascii")
    return _encoded(value.encode(), istext=False)


def encode_template(text: str, hole: re.Pattern[str], reference: Callable[[str], bytes]) -> bytes:
    """Encodes `text` into a ``%`` format of bytes.

    What `hole` matches becomes ``reference(its first group)``, to be filled with :func:`encode_value`; newlines become
    CRLF; everything else decodes to itself.
    """
    pieces = hole.split(text)
    encoded = []
    for static, name in zip(pieces[::2], [*pieces[1::2], None], strict=True):
        encoded.append(_encoded(static.replace("\n", "\r\n").encode(), istext=True).replace(b"%", b"%%"))
        if name is not None:
            encoded.append(_SOFT_BREAK + reference(name) + _SOFT_BREAK)
    return b"".join(encoded)


def _encoded(data: bytes, *, istext: bool) -> bytes:
    # The "=" of a soft line break may follow, and must still fit into the last line: a letter holds its place.
    encoded = binascii.b2a_qp(data + b"A", quotetabs=not istext, istext=istext)[:-1]
    return encoded.replace(b"=\n", _SOFT_BREAK)
