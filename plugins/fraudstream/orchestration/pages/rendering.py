"""Shared by the pages in Airflow's UI: the layout, its style and script, and headers that allow nothing else.

The templates are in ``include/templates/airflow``. The server renders a page as HTML, with plots as SVG in it. The
content security policy allows one style and one script by their hashes and nothing else: a page can load no other
source, and no text in a template can run as a script.
"""

import base64
import hashlib
from typing import Any, Literal

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fraudstream.settings import TEMPLATES

#: The pages in Airflow's navigation. Tabs are not among them.
Nav = Literal["pipeline", "cases"]

_folder = TEMPLATES / "airflow"
templates = Environment(
    loader=FileSystemLoader(_folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_style = (_folder / "style.css").read_text(encoding="utf-8")
_script = (_folder / "embedded.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY = f"default-src 'none'; style-src {_hash(_style)}; frame-ancestors 'self'; base-uri 'none'; form-action "
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}


def page(template: str, *, title: str, nav: Nav | None = None, status: int = 200, **values: Any) -> HTMLResponse:
    """Renders a page from a template that extends ``layout.html``.

    :param nav: the page's entry in the navigation; None for a tab. Only a page of the navigation follows Airflow's
        theme and may send forms to this server, because Airflow embeds tabs in a sandbox that runs no script.
    """
    html = templates.get_template(template).render(
        title=title,
        nav=nav,
        style=Markup(_style),  # noqa: S704 - the project's own file; the policy allows only its hash
        script=Markup(_script),  # noqa: S704
        **values,
    )
    policy = _POLICY + (f"'self'; script-src {_hash(_script)}" if nav else "'none'")
    return HTMLResponse(html, status, headers=_HEADERS | {"Content-Security-Policy": policy})
