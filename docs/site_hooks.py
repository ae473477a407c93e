"""What mkdocs.yml can't do: pages from outside docs/, decisions in the navigation, links to source files, Mermaid."""

import logging
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
#: Pages of the site that lie in the root of the repository, by their place in the site.
ROOT_PAGES = {"changelog.md": ROOT / "CHANGELOG.md", "contributing.md": ROOT / "CONTRIBUTING.md"}

#: What draws the diagrams, which `make docs` puts beside MkDocs; and where pages load it from.
MERMAID = Path(sys.prefix) / "mermaid.min.js"
MERMAID_URL = "assets/mermaid.min.js"

# A child of MkDocs' logger: a warning of it fails a strict build.
log = logging.getLogger("mkdocs.hooks.site")
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds what needs no list by hand to the navigation: every decision, and the pages of the root."""
    decisions = [f"decisions/{file.name}" for file in sorted((DOCS / "decisions").glob("*.md"))]
    sections: dict[str, list[Any]] = {name: pages for entry in config.nav or [] for name, pages in entry.items()}
    sections["Explanation"].append({"Decisions": decisions})
    sections["Reference"].append({"Changes": "changelog.md"})
    sections["How-to"].append({"Contribute": "contributing.md"})
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages of the root, and Mermaid."""
    for place, source in ROOT_PAGES.items():
        files.append(File.generated(config, place, content=source.read_text()))
    if not MERMAID.exists():
        log.warning("%s is missing, without it pages load Mermaid from a CDN; run: make docs", MERMAID)
    else:
        files.append(File.generated(config, MERMAID_URL, abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links that leave docs/ to the repository, if its address is known; else only their text stays.

    A link to a file that doesn't exist is a warning, which fails the build.
    """
    place = page.file.src_uri
    origin = ROOT_PAGES.get(place, DOCS / place).parent
    site = {source: name for name, source in ROOT_PAGES.items()}

    def replaced(match: re.Match[str]) -> str:
        path, anchor = match["path"], match["anchor"] or ""
        if re.match(r"[a-z]+:", path):
            return match[0]
        target = (origin / path).resolve()
        if not target.exists():
            log.warning("%s links to %s, which does not exist", place, path)
            return match[0]
        if target in site or (target.suffix in {".md", ".png", ".svg"} and target.is_relative_to(DOCS)):
            name = site.get(target) or target.relative_to(DOCS).as_posix()
            return f"[{match['text']}]({posixpath.relpath(name, posixpath.dirname(place) or '.')}{anchor})"
        if not config.repo_url:
            return match["text"]
        return f"[{match['text']}]({config.repo_url.rstrip('/')}/blob/main/{target.relative_to(ROOT).as_posix()})"

    return _LINK.sub(replaced, markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Loads Mermaid from the site where a page has a diagram; Material loads its own only if there is none."""
    if 'class="mermaid"' not in output:
        return output
    url = posixpath.relpath(MERMAID_URL, posixpath.dirname(page.url) or ".")
    return output.replace("</head>", f'<script src="{url}"></script></head>', 1)
