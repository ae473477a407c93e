"""Finds the token and the answer of a confirmation link that mail clients, filters or people may have damaged."""

import re
from collections.abc import Iterator
from html import unescape
from itertools import islice
from urllib.parse import unquote

#: The answer in a link's path, which follows the token.
_ANSWER = re.compile(r"[._-]*(not-fraud|fraud)", re.IGNORECASE)
#: The case's id, the time (4 bytes) and the signature (SHA-256), each in Base64. The last two have fixed lengths, so a
#: token's end doesn't depend on the text after it.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,440}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{43}")
_WHOLE = re.compile(rf"/confirm/({_TOKEN.pattern})/(not-fraud|fraud)")
_BEFORE_TOKEN = re.compile(r"confirm[.]*", re.IGNORECASE)
_NEVER_IN_A_LINK = re.compile(r"[^A-Za-z0-9._-]+")

#: Characters of a target that are searched: a token comes before any parameters that were appended to its link.
LONGEST_LOOK = 8_192
#: Levels of percent-encoding that are undone: a link inside other links is encoded once more by each of them.
_MOST_WRAPPINGS = 4
#: Places that are searched for a token; each may cost a check of a signature.
_MOST_TOKENS = 4


def tokens_in(target: str) -> Iterator[tuple[str, str | None]]:
    """Yields each text in a request's path and query that may be a token, with the answer that follows it, or None.

    Most links arrive as they were sent, so the unchanged text is tried first. The other candidates are found so:

    1. Decode percent-encodings and HTML's character references, as often as the link was wrapped.
    2. Remove characters that the site's links don't have, wherever they are: blanks, line breaks, brackets, quotes,
       slashes, zero-width characters, the ``=`` of quoted-printable.
    3. Take the tokens that begin after ``confirm``. The end of a token is known, whatever was appended to it.
    """
    whole = _WHOLE.match(target)
    if whole is not None:
        yield whole[1], whole[2]
    # 1
    text = target[:LONGEST_LOOK]
    for _ in range(_MOST_WRAPPINGS):
        decoded = unescape(unquote(text))
        if decoded == text:
            break
        text = decoded
    # 2
    text = _NEVER_IN_A_LINK.sub("", text)
    # 3
    for before in islice(_BEFORE_TOKEN.finditer(text), _MOST_TOKENS):
        token = _TOKEN.match(text, before.end())
        if token is not None:
            answer = _ANSWER.match(text, token.end())
            yield token[0], None if answer is None else answer[1].lower()
