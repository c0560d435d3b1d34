"""Setting one's own second factor up, and taking it away. Secret and recovery codes are shown once."""

from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

import segno
from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from gridward.core.schemas.accounts import CodeIn, SecondFactorIn, SecondFactorRemoval
from gridward.server import second_factor, sessions, users
from gridward.server.pages.forms import posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.shell import done, page
from gridward.server.state import AccountsOf, Address

router = APIRouter(prefix="/account/second-factor", include_in_schema=False)
_GROUP: Final = 4


@router.get("")
def show_second_factor(request: Request, caller: PageCaller, accounts: AccountsOf) -> Response:
    """Show where one sets a second factor up, or takes it away."""
    return page(
        request,
        "second_factor.html",
        caller,
        user=users.get_own(accounts, caller),
        has_password=sessions.has_password(accounts, caller),
    )


@router.post("")
def begin(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    address: Address,
    body: Annotated[SecondFactorIn, posted(SecondFactorIn)],
) -> Response:
    """Show what the app on the phone needs, and ask for a first code."""
    made = second_factor.begin(accounts, caller, body.password.get_secret_value(), address)
    return page(
        request, "second_factor_code.html", caller, code=drawn(made.address), secret=secret_of(made.address)
    )


@router.post("/confirm")
def confirm(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    address: Address,
    body: Annotated[CodeIn, posted(CodeIn)],
) -> Response:
    """Switch it on, and show the recovery codes once."""
    made = second_factor.confirm(accounts, caller, body.code.get_secret_value(), address)
    return page(request, "recovery_codes.html", caller, codes=made.codes)


@router.post("/removal")
def remove(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    address: Address,
    body: Annotated[SecondFactorRemoval, posted(SecondFactorRemoval)],
) -> Response:
    """Take it away."""
    password, code = body.password.get_secret_value(), body.code.get_secret_value()
    second_factor.remove_own(accounts, caller, password, code, address)
    return done(request, "/account", "saved")


def drawn(address: str) -> Markup:
    """Draw an address as a QR code: an SVG without style or script, dark on white in either scheme."""
    code = segno.make(address, error="m", micro=False)
    return Markup(code.svg_inline(scale=5, border=4, light="#fff", omitsize=True, svgclass="qr"))  # noqa: S704


def secret_of(address: str) -> str:
    """Return the secret of an `otpauth://` address in groups of four, to be typed."""
    secret = parse_qs(urlsplit(address).query)["secret"][0]
    return " ".join(secret[at : at + _GROUP] for at in range(0, len(secret), _GROUP))
