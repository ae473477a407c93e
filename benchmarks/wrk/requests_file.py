"""Writes files with requests to the confirmation site, in the format that load.lua reads."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from fraudstream.cases.links.signed import Links

from benchmarks.harness.stack import FOLDER


def requests_file(links: Links, method: str, cases: Sequence[str], name: str) -> Path:
    """Writes a file with a request for each case: GET of its page, or POST of its button "fraud"."""
    path = FOLDER / f"requests-{name}.tsv"
    with path.open("w") as file:
        for case in cases:
            target = "/" + links.url(case, "fraud").split("/", 3)[3]
            body = urlencode({"page": links.page_token(case), "answer": "fraud"}) if method == "POST" else ""
            file.write(f"{method}\t{target}\t{body}\n")
    return path
