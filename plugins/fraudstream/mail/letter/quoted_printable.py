"""Quoted-printable (RFC 2045) in pieces: static text is encoded once, and the values of each mail are put in between.

No line is longer than 76 characters, for any values: there is a soft line break before and after each value.
"""

import binascii
import re
from collections.abc import Callable

_SOFT_BREAK = b"=\r\n"
_PLAIN = re.compile(r"[ -<>-~]{0,74}[!-<>-~]", re.ASCII)


def encode_value(value: str) -> bytes:
    """Encodes a value in lines of at most 76 characters. It decodes to the value in UTF-8, line breaks included."""
    if _PLAIN.fullmatch(value):
        return value.encode("ascii")
    return _encoded(value.encode(), istext=False)


def encode_template(text: str, hole: re.Pattern[str], reference: Callable[[str], bytes]) -> bytes:
    """Encodes `text` as a ``%`` format of bytes.

    Each match of `hole` becomes ``reference(first group)``, to be replaced with a result of :func:`encode_value`.
    Newlines become CRLF. All other text decodes to itself.
    """
    pieces = hole.split(text)
    encoded = []
    for static, name in zip(pieces[::2], [*pieces[1::2], None], strict=True):
        encoded.append(_encoded(static.replace("\n", "\r\n").encode(), istext=True).replace(b"%", b"%%"))
        if name is not None:
            encoded.append(_SOFT_BREAK + reference(name) + _SOFT_BREAK)
    return b"".join(encoded)


def _encoded(data: bytes, *, istext: bool) -> bytes:
    # The "=" of a soft line break may follow, and must fit in the last line: a letter reserves its place.
    encoded = binascii.b2a_qp(data + b"A", quotetabs=not istext, istext=istext)[:-1]
    return encoded.replace(b"=\n", _SOFT_BREAK)
