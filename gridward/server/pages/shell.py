"""The frame of all pages of a service: templates, the menu, headers, and where a form leads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gridward.core.schemas.accounts import SHORTEST_PASSWORD
from gridward.server.browser import FORM_TOKEN, form_token
from gridward.server.pages.assets import ASSETS
from gridward.server.pages.charts import curve
from gridward.server.principals import Capability, Principal
from gridward.server.state import server_of

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
_SAID: Final = {
    "saved": "Saved.",
    "ended": "Ended.",
    "deleted": "Deleted.",
    "sent": "Sent.",
    "mailed": "A letter is on its way.",
    "asked": "If there is such an account, a letter is on its way.",
}
_IN_ADDRESS: Final = ":/%#?=@[]!$&'()*+,;~"
"""What is left of an address as it is, as redirects do: a header takes no other letters than ASCII."""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the menu, for those who have one of the capabilities; without any, for everyone.

    ``also`` names other places that belong to it.
    """

    label: str
    path: str
    capabilities: frozenset[Capability] = frozenset()
    also: tuple[str, ...] = ()

    def is_for(self, caller: Principal | None) -> bool:
        """Say whether the menu shows it to this caller."""
        return caller is not None and (not self.capabilities or bool(self.capabilities & caller.capabilities))

    def leads_to(self, path: str) -> bool:
        """Say whether a page is this entry's, or below it."""
        places = (self.path, *self.also)
        return path in places or any(path.startswith(f"{place}/") for place in places if place != "/")


@dataclass(frozen=True, slots=True)
class Shell:
    """What all pages of one service share; `kind` is "node" or "gateway", `name` what its owner calls it."""

    kind: str
    name: str
    links: tuple[Link, ...]
    templates: Environment

    @classmethod
    def make(cls, kind: str, name: str, links: Sequence[Link], package: str) -> "Shell":
        """Load the templates that both services share, and those of `package`."""
        templates = Environment(
            loader=ChoiceLoader([PackageLoader(package), PackageLoader("gridward.server.pages")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters |= {"moment": moment, "size": size, "words": words}
        templates.globals |= {
            "assets": {name: asset.address for name, asset in ASSETS.items()},
            "shortest": SHORTEST_PASSWORD,
            "link": link,
            "curve": curve,
        }
        return cls(kind, name, tuple(links), templates)


def shell_of(request: Request) -> Shell:
    """Return the frame of the service that handles this request."""
    shell = request.app.state.shell
    if not isinstance(shell, Shell):
        raise TypeError("the app was built without pages")
    return shell


def page(
    request: Request, template: str, caller: Principal | None = None, *, status: int = 200, **values: object
) -> Response:
    """Render a template for a caller, or for somebody who is not signed in."""
    shell = shell_of(request)
    frame = {
        "shell": shell,
        "caller": caller,
        "capabilities": caller.capabilities if caller else frozenset(),
        "links": [link for link in shell.links if link.is_for(caller)],
        "path": request.url.path,
        "form_field": _form_field(request, caller) if caller else "",
        "said": _SAID.get(request.query_params.get("said", ""), ""),
        "frame": "part.html" if is_fragment(request) else "base.html",
    }
    text = shell.templates.get_template(template).render(frame | values)
    return HTMLResponse(text, status, {"Content-Security-Policy": _POLICY})


def _form_field(request: Request, caller: Principal) -> Markup:
    token = form_token(server_of(request).keys, caller.session_id)
    return Markup('<input type="hidden" name="{}" value="{}">').format(FORM_TOKEN, token)


def is_fragment(request: Request) -> bool:
    """Say whether htmx asks, which puts the answer into a page that is there already."""
    return request.headers.get("hx-request") == "true"


def done(request: Request, path: str, said: str = "") -> Response:
    """Lead on to a page after a form did its work; `said` is a key of what the page then says."""
    target = f"{path}{'&' if '?' in path else '?'}said={said}" if said else path
    if is_fragment(request):
        return Response(status_code=204, headers={"HX-Redirect": quote(target, safe=_IN_ADDRESS)})
    return RedirectResponse(target, 303)


def own_path(wanted: str) -> str:
    """Return a path of this server, whatever a link asked for: nobody is led to another host."""
    return wanted if _OWN_PATH.fullmatch(wanted) else "/"


def link(path: str, **query: object) -> str:
    """Return a path with what is given of its query; None and empty words are left out."""
    given = {name: value for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given)}" if given else path


def moment(at: datetime | None) -> str:
    """Write a time as people read it, in UTC."""
    return f"{at:%-d %b %Y, %H:%M} UTC" if at else "never"


def size(number: float) -> str:
    """Write bytes as people read them, in powers of a thousand."""
    for unit in _UNITS[:-1]:
        if abs(number) < 1000:
            return f"{number:.3g} {unit}" if unit != "B" else f"{number:.0f} B"
        number /= 1000
    return f"{number:.3g} {_UNITS[-1]}"


def words(name: str) -> str:
    """Write a stable name, such as `data_officer`, as people read it."""
    return str(name).replace("_", " ")
