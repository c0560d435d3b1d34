"""A place without a server: it answers from a list and keeps what was asked."""

from collections.abc import Callable

import httpx2

from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.transport import Transport
from gridward.core.schemas.tensor import TensorInfo


class RecordingPlace:
    """Satisfies the SDK's `Place`; `answer` is called for every request."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = f"{name}-id"
        self.requests: list[httpx2.Request] = []
        self.answer: Callable[[httpx2.Request], httpx2.Response] = lambda _: httpx2.Response(500)
        http = httpx2.Client(transport=httpx2.MockTransport(self._record))
        self.transport = Transport(f"http://{name}.test", http=http, sleep=lambda _: None)

    def _record(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.answer(request)

    def dataset(
        self, name: str = "births", *, tags: tuple[str, ...] = (), **shapes: tuple[str, list[int]]
    ) -> DatasetPointer:
        """A pointer to a dataset; by default the ward's weights and heights."""
        given = shapes or {"weight": ("float64", [5]), "height": ("float64", [5])}
        tensors = [
            TensorInfo.model_validate({"name": key, "dtype": dtype, "shape": shape})
            for key, (dtype, shape) in given.items()
        ]
        return DatasetPointer(
            self, f"ds-{name}", name, tensors, description="weight (kg), height (cm) <b>", tags=tags
        )
