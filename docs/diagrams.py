"""``python -m docs.diagrams FILE``: writes Mermaid, the library that draws the site's diagrams, to FILE.

The library is downloaded from Maven Central and checked against a locked checksum. Without the file, pages load Mermaid
from a CDN.
"""

import sys
import zipfile
from pathlib import Path

from local.programs.artifacts import fetch

VERSION = "11.14.0"
SHA256 = "fcc17f377c0f657513a66735d41a3095cad37e8059d80e2d80d39f91458cfbed"


def main() -> None:
    """Downloads the library and writes it to the file in the first argument."""
    jar = fetch(f"org.webjars.npm:mermaid:{VERSION}", SHA256, lambda what: print(f"downloading {what}"))
    with zipfile.ZipFile(jar) as packed:
        library = packed.read(f"META-INF/resources/webjars/mermaid/{VERSION}/dist/mermaid.min.js")
    Path(sys.argv[1]).write_bytes(library)


if __name__ == "__main__":
    main()
