"""What one node is asked in one round: a training, waited for until it ends or the round does."""

import contextlib
import secrets
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from gridward.client import training
from gridward.client.federation.gathering import Parameters
from gridward.client.federation.terms import Deadline
from gridward.client.parcels import Sent, take_back
from gridward.client.place import Place
from gridward.core.errors import GridError, NodeUnreachableError, TrainingError
from gridward.core.schemas.trainings import TrainingIn, TrainingOut, TrainingState

_START_S: Final = 120.0
_WAIT_S: Final = 20.0
_SLACK_S: Final = 30.0
_LEAST_S: Final = 1.0
_LOST_POLLS: Final = 3


@dataclass(slots=True)
class Traffic:
    """Bytes of messages' bodies to and from one node in one round."""

    sent_bytes: int = 0
    received_bytes: int = 0


class Errand:
    """A training at one node. A lost connection is taken up again; the node trains on meanwhile.

    ``sent``: how its parameters reached the node.
    """

    def __init__(self, node: Place, deadline: Deadline, sent: Sent) -> None:
        self._node = node
        self._deadline = deadline
        self.traffic = Traffic(sent.uploaded_bytes)

    def perform(self, body: TrainingIn) -> tuple[TrainingOut, Parameters]:
        """Start it and wait for its end and its parameters; ``forget`` it when no more is wanted of it.

        What was uploaded for it and not used is taken back; what failed or was too late is forgotten.
        Raises ``TrainingError`` with the node's reason if it failed there, or was cancelled as too late.
        """
        body = body.model_copy(update={"id": f"trn-{secrets.token_hex(12)}"})
        state = self._start(body)
        try:
            return self._ended(body, state)
        except BaseException:
            self.forget(state.id)
            raise

    def forget(self, training_id: str) -> None:
        """Let the node drop it, running or not; whether it does changes nothing here."""
        with contextlib.suppress(GridError):
            self._node.transport.send("DELETE", f"/v1/trainings/{training_id}", timeout_s=_START_S)

    def _ended(self, body: TrainingIn, state: TrainingOut) -> tuple[TrainingOut, Parameters]:
        lost = 0
        while state.state is TrainingState.RUNNING:
            if self._deadline.passed:
                raise TrainingError(
                    f"{self._node.name!r} was late: {state.epochs_done} of {body.epochs} epochs were done "
                    "when the round ended"
                )
            wait_s = self._deadline.left_s(_WAIT_S)
            try:
                state = self._call("GET", f"/v1/trainings/{state.id}?wait_s={wait_s:.3f}", wait_s + _SLACK_S)
                lost = 0
            except NodeUnreachableError:
                lost += 1
                if lost == _LOST_POLLS:
                    raise
        if state.state is TrainingState.FAILED:
            raise TrainingError(f"training on {self._node.name!r} failed: {state.detail}")
        found = training.trained(self._node, state, self._deadline.call_s)
        self.traffic.received_bytes += state.content_bytes
        return state, found

    def _start(self, body: TrainingIn) -> TrainingOut:
        try:
            return self._call("POST", "/v1/trainings", _START_S, body)
        except GridError as why:
            if isinstance(why, NodeUnreachableError) and body.id is not None:
                self.forget(body.id)  # it may run: perhaps only the answer was lost
            if body.parameters_upload is not None:
                take_back(self._node.transport, body.parameters_upload)
            raise

    def _call(self, method: str, path: str, timeout_s: float, body: TrainingIn | None = None) -> TrainingOut:
        limit_s = max(_LEAST_S, self._deadline.left_s(timeout_s))
        answer = self._node.transport.send(method, path, body=body, timeout_s=limit_s)
        self.traffic.sent_bytes += len(answer.request.content)
        self.traffic.received_bytes += len(answer.content)
        try:
            return TrainingOut.model_validate_json(answer.content)
        except ValidationError as why:
            raise NodeUnreachableError(
                f"{self._node.name!r} answered with something that is not a training; is its version ours?"
            ) from why
