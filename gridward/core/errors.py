"""Every expected refusal: a stable code and one short class each.

Core raises what happened. The server maps the code to a status (``server/problems.py``), the SDK turns the
code of a problem response back into the same class. Anything that is not a ``GridError`` is a bug.
"""

from enum import StrEnum
from typing import ClassVar, Final


class Code(StrEnum):
    """Stable names of refusals: part of the wire contract, never reused for another meaning."""

    # accounts, sessions, rights
    NOT_SIGNED_IN = "not_signed_in"
    WRONG_CREDENTIALS = "wrong_credentials"
    SECOND_FACTOR_REQUIRED = "second_factor_required"
    NOT_AUTHORIZED = "not_authorized"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    SETUP_REFUSED = "setup_refused"
    # objects and releases
    OBJECT_NOT_FOUND = "object_not_found"
    ALREADY_EXISTS = "already_exists"
    GET_NOT_PERMITTED = "get_not_permitted"
    SEND_NOT_PERMITTED = "send_not_permitted"
    RESULT_SUPPRESSED = "result_suppressed"
    NOT_AVAILABLE_YET = "not_available_yet"
    TENSORS_NOT_COLLOCATED = "tensors_not_collocated"
    NOT_ENOUGH_BUDGET = "not_enough_budget"
    DUPLICATE_REQUEST = "duplicate_request"
    REQUEST_PENDING = "request_pending"
    # input
    INVALID_INPUT = "invalid_input"
    UPLOAD_REFUSED = "upload_refused"
    TOO_LARGE = "too_large"
    CONFLICT = "conflict"
    # plans
    PLAN_REJECTED = "plan_rejected"
    PLAN_FAILED = "plan_failed"
    PLAN_LIMIT = "plan_limit"
    # encrypted computation
    EMPTY_CRYPTO_STORE = "empty_crypto_store"
    PROTOCOL_FAILED = "protocol_failed"
    DEPLOYMENT_REFUSED = "deployment_refused"
    OUT_OF_RANGE = "out_of_range"
    RANGE_VIOLATION = "range_violation"
    # federation
    TRAINING_FAILED = "training_failed"
    # grid
    NODE_UNREACHABLE = "node_unreachable"
    NO_MATCH = "no_match"
    BUSY = "busy"
    # bugs
    INTERNAL = "internal"


class GridError(Exception):
    """Base of all expected refusals. ``detail`` says what happened and what to do next.

    ``retry_after_s`` is set where coming back later may help; it travels as the header `Retry-After`.
    """

    code: ClassVar[Code] = Code.INVALID_INPUT

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class NotSignedInError(GridError):
    """No session, or an expired or revoked one: sign in again."""

    code = Code.NOT_SIGNED_IN


class WrongCredentialsError(GridError):
    """User name and password do not fit; the message never says which."""

    code = Code.WRONG_CREDENTIALS


class SecondFactorRequiredError(GridError):
    """The password fits, and the account has a second factor whose code is missing."""

    code = Code.SECOND_FACTOR_REQUIRED


class AuthorizationError(GridError):
    """The caller is known but lacks the capability."""

    code = Code.NOT_AUTHORIZED


class TooManyAttemptsError(GridError):
    """Sign-in is rate-limited; the message says when to come back."""

    code = Code.TOO_MANY_ATTEMPTS


class SetupRefusedError(GridError):
    """The owner's one-time token is wrong, used or absent."""

    code = Code.SETUP_REFUSED


class ObjectNotFoundError(GridError):
    """The object does not exist, or the caller may not know that it does."""

    code = Code.OBJECT_NOT_FOUND


class AlreadyExistsError(GridError):
    """The name is taken."""

    code = Code.ALREADY_EXISTS


class GetNotPermittedError(GridError):
    """The policy does not release this value to this caller."""

    code = Code.GET_NOT_PERMITTED


class SendNotPermittedError(GridError):
    """The caller may not store things on this node."""

    code = Code.SEND_NOT_PERMITTED


class ResultSuppressedError(GridError):
    """A disclosure check failed: too few rows behind a value."""

    code = Code.RESULT_SUPPRESSED


class NotAvailableYetError(GridError):
    """Promised, but not part of this version of Gridward."""

    code = Code.NOT_AVAILABLE_YET


class TensorsNotCollocatedError(GridError):
    """Pointers of different nodes meet in one operation."""

    code = Code.TENSORS_NOT_COLLOCATED


TensorsNotCollocatedException = TensorsNotCollocatedError


class NotEnoughBudgetError(GridError):
    """The privacy budget does not cover the question."""

    code = Code.NOT_ENOUGH_BUDGET


NotEnoughBudgetException = NotEnoughBudgetError


class DuplicateRequestError(GridError):
    """The same question is already open."""

    code = Code.DUPLICATE_REQUEST


DuplicateRequestException = DuplicateRequestError


class RequestPendingError(GetNotPermittedError):
    """The question waits for a person's decision; the message names the request."""

    code = Code.REQUEST_PENDING


class InvalidInputError(GridError):
    """The input is malformed; the message names the field."""

    code = Code.INVALID_INPUT


class UploadRefusedError(GridError):
    """The uploaded bytes are not what was announced, or not of a format that Gridward reads."""

    code = Code.UPLOAD_REFUSED


class TooLargeError(GridError):
    """Larger than this node accepts; the message names the limit."""

    code = Code.TOO_LARGE


class ConflictError(GridError):
    """The thing is in a state that does not allow this now."""

    code = Code.CONFLICT


class PlanRejectedError(GridError):
    """The plan is malformed or not allowed; the message names every offending step."""

    code = Code.PLAN_REJECTED


class PlanFailedError(GridError):
    """The plan is well-formed but failed on these inputs; the message names the step."""

    code = Code.PLAN_FAILED


class PlanLimitError(GridError):
    """The plan exceeded the node's limit on time, memory or operations and was ended."""

    code = Code.PLAN_LIMIT


class EmptyCryptoPrimitiveStoreError(GridError):
    """No unspent bundle is left and none may be made on demand."""

    code = Code.EMPTY_CRYPTO_STORE


class ProtocolError(GridError):
    """A joint computation ended early; the message names the peer and the cause."""

    code = Code.PROTOCOL_FAILED


class DeploymentRefusedError(GridError):
    """A node does not take the role it was asked to take."""

    code = Code.DEPLOYMENT_REFUSED


class OutOfRangeError(GridError):
    """A real number does not fit the fixed-point range."""

    code = Code.OUT_OF_RANGE


class RangeViolationError(GridError):
    """A value inside an encrypted query left the bits that it was given; the message names where."""

    code = Code.RANGE_VIOLATION


class TrainingError(GridError):
    """A federated run cannot go on; the message names nodes and causes."""

    code = Code.TRAINING_FAILED


class NodeUnreachableError(GridError):
    """A node or gateway does not answer."""

    code = Code.NODE_UNREACHABLE


class NoMatchError(GridError):
    """The gateway knows no set of nodes that fits."""

    code = Code.NO_MATCH


class BusyError(GridError):
    """The node is at its admission limit; retry later."""

    code = Code.BUSY


class InternalError(GridError):
    """The server failed on something that it did not expect; its log knows more under the request's id."""

    code = Code.INTERNAL


ERRORS: Final[dict[Code, type[GridError]]] = {
    kind.code: kind
    for kind in (
        NotSignedInError,
        WrongCredentialsError,
        SecondFactorRequiredError,
        AuthorizationError,
        TooManyAttemptsError,
        SetupRefusedError,
        ObjectNotFoundError,
        AlreadyExistsError,
        GetNotPermittedError,
        SendNotPermittedError,
        ResultSuppressedError,
        NotAvailableYetError,
        TensorsNotCollocatedError,
        NotEnoughBudgetError,
        DuplicateRequestError,
        RequestPendingError,
        InvalidInputError,
        UploadRefusedError,
        TooLargeError,
        ConflictError,
        PlanRejectedError,
        PlanFailedError,
        PlanLimitError,
        EmptyCryptoPrimitiveStoreError,
        ProtocolError,
        DeploymentRefusedError,
        OutOfRangeError,
        RangeViolationError,
        TrainingError,
        NodeUnreachableError,
        NoMatchError,
        BusyError,
        InternalError,
    )
}
