"""MkDocs hooks for pages outside docs/, decisions in the navigation, links to source files, and Mermaid."""

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
#: Pages whose files are in the root of the repository, by their path in the site.
ROOT_PAGES = {"changelog.md": ROOT / "CHANGELOG.md", "contributing.md": ROOT / "CONTRIBUTING.md"}

#: Path of Mermaid, which `make docs` writes to MkDocs' environment, and its URL in the site.
MERMAID = Path(sys.prefix) / "mermaid.min.js"
MERMAID_URL = "assets/mermaid.min.js"

# A child of MkDocs' logger, so that its warnings fail a strict build.
log = logging.getLogger("mkdocs.hooks.site")
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds all decisions and the pages of the repository's root to the navigation."""
    decisions = [f"decisions/{file.name}" for file in sorted((DOCS / "decisions").glob("*.md"))]
    sections: dict[str, list[Any]] = {name: pages for entry in config.nav or [] for name, pages in entry.items()}
    sections["Explanation"].append({"Decisions": decisions})
    sections["Reference"].append({"Changes": "changelog.md"})
    sections["How-to"].append({"Contribute": "contributing.md"})
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages of the repository's root, and Mermaid, to the site's files."""
    for place, source in ROOT_PAGES.items():
        files.append(File.generated(config, place, content=source.read_text()))
    if not MERMAID.exists():
        log.warning("%s is missing, so pages would load Mermaid from a CDN; run: make docs", MERMAID)
    else:
        files.append(File.generated(config, MERMAID_URL, abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replaces links to files outside docs/ by links to the repository; without a repo_url, by their text.

    Logs a warning for a link to a file that doesn't exist, which fails a strict build.
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
    """Lets a page with a diagram load Mermaid from the site. Otherwise Material would load it from a CDN."""
    if 'class="mermaid"' not in output:
        return output
    url = posixpath.relpath(MERMAID_URL, posixpath.dirname(page.url) or ".")
    return output.replace("</head>", f'<script src="{url}"></script></head>', 1)
