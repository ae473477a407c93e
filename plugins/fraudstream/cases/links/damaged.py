"""What is left of a link after mail clients, filters and people have handled it: the token, and the answer if whole."""

import re
from collections.abc import Iterator
from html import unescape
from itertools import islice
from urllib.parse import unquote

#: What a link proposes and a button says is spelled as the links' paths have it.
_ANSWER = re.compile(r"[._-]*(not-fraud|fraud)", re.IGNORECASE)
#: The case's id, the time of 4 bytes and the SHA-256 in Base64: where a token ends doesn't depend on what follows it.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,440}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{43}")
_WHOLE = re.compile(rf"/confirm/({_TOKEN.pattern})/(not-fraud|fraud)")
_BEFORE_TOKEN = re.compile(r"confirm[.]*", re.IGNORECASE)
_NEVER_IN_A_LINK = re.compile(r"[^A-Za-z0-9._-]+")

#: A target is looked at up to here: a token comes before anything that was appended to its link.
LONGEST_LOOK = 8_192
#: A link inside a link is percent-encoded once more by each that wraps it.
_MOST_WRAPPINGS = 4
#: Places where a token may begin; each costs a signature.
_MOST_TOKENS = 4


def tokens_in(target: str) -> Iterator[tuple[str, str | None]]:
    """Each text of the form of a token in a request's path and query, with the answer that follows it, if one does.

    Most links arrive as they were sent and are read as such, before:

    1. Percent-encodings and HTML's character references are undone, as often as the link was wrapped.
    2. What no link of ours contains is dropped, wherever it stands: blanks, line breaks, brackets, quotes, slashes,
       zero-width characters, the ``=`` of quoted-printable.
    3. A token begins after ``confirm`` and has a known end, so nothing that was appended to it belongs to it.
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
