"""Identity tokens: the gateway's word to one node on who is calling. They carry no right."""

from sqlmodel import Session

from gridward.core.errors import AuthorizationError, ObjectNotFoundError
from gridward.core.schemas.gateway import TokenOut
from gridward.gateway.state import Gateway
from gridward.gateway.tables import ACCOUNT_TABLES, Node, Standing
from gridward.server import audit, tokens
from gridward.server.principals import Principal


def issue(gateway: Gateway, db: Session, caller: Principal, node_id: str) -> TokenOut:
    """Sign who the caller is, for one member of the grid, for a few minutes.

    Security: only that node accepts it, so no node can pose as the caller elsewhere. A user who is disabled
    here keeps tokens that were issued before until they expire. Raises `ObjectNotFoundError` for strangers.
    """
    if caller.limited_to is not None:  # the identity would carry the whole role to the node
        raise AuthorizationError(
            "only who signed in, with the second factor if it is needed, gets an identity"
        )
    node = db.get(Node, node_id)
    if node is None or node.standing != Standing.APPROVED:
        raise ObjectNotFoundError(f"no node '{node_id}' belongs to this grid")
    now = gateway.clock()
    lifetime_s = gateway.settings.identity_token_s
    token = tokens.issue(
        tokens.Kind.IDENTITY,
        gateway.keys.sign_key,
        issuer=gateway.keys.id,
        subject=caller.name,
        audience=node_id,
        now=now,
        lifetime_s=lifetime_s,
    )
    audit.record(db, ACCOUNT_TABLES.audit, caller, now, "issue_identity", node_id)
    return TokenOut(token=token, expires_in_s=int(lifetime_s))
