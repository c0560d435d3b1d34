"""What pages load besides themselves: from their own server, named by its content, kept for good."""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from gridward.core.errors import ObjectNotFoundError

_MEDIA_TYPES: Final = {
    "style.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HEADERS: Final = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that never changes under its address."""

    address: str
    content: bytes
    zipped: bytes
    media_type: str


def _load(name: str) -> Asset:
    content = files("gridward.server.pages").joinpath("static", name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(f"/static/{digest}/{name}", content, gzip.compress(content, mtime=0), _MEDIA_TYPES[name])


ASSETS: Final = {name: _load(name) for name in _MEDIA_TYPES}
_BY_ADDRESS: Final = {asset.address: asset for asset in ASSETS.values()}


@router.get("/static/{digest}/{name}")
def get_asset(
    request: Request, digest: Annotated[str, Path(max_length=16)], name: Annotated[str, Path(max_length=64)]
) -> Response:
    """Return a file of the pages."""
    asset = _BY_ADDRESS.get(f"/static/{digest}/{name}")
    if asset is None:
        raise ObjectNotFoundError("there is nothing at this path")
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            asset.zipped, headers=_HEADERS | {"Content-Encoding": "gzip"}, media_type=asset.media_type
        )
    return Response(asset.content, headers=_HEADERS, media_type=asset.media_type)
