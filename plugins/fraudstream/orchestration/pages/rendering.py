"""What the pages in Airflow's UI have in common: the layout, its style and script, and headers that permit no more.

The templates are in ``include/templates/airflow``. A page is HTML that the server renders; plots are SVG in it. The
policy allows one style and one script by their hashes, and nothing else: no source can be loaded, no text that a
template shows can run.
"""

import base64
import hashlib
from typing import Any, Literal

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fraudstream.settings import TEMPLATES

#: The pages of Airflow's navigation; a tab is on none of them.
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
    """A page from a template that extends ``layout.html``.

    :param nav: the page's entry in the navigation. Only such a page follows the theme that is chosen in Airflow and may
        send forms to this server: Airflow embeds tabs in a sandbox that runs no script.
    """
    html = templates.get_template(template).render(
        title=title,
        nav=nav,
        style=Markup(_style),  # noqa: S704 - our own file, and the policy's hash holds it to that
        script=Markup(_script),  # noqa: S704
        **values,
    )
    policy = _POLICY + (f"'self'; script-src {_hash(_script)}" if nav else "'none'")
    return HTMLResponse(html, status, headers=_HEADERS | {"Content-Security-Policy": policy})
