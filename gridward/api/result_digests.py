"""Names of results in the audit log: whoever has one can find its row, and nobody can guess it from there.

A plain hash of a count would tell it to whoever tries all counts. So the digest is keyed by a secret of the
node; it comes with the answer, and the log holds the same.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import torch
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gridward.core.plans import canonical
from gridward.core.plans.dtypes import NAMES
from gridward.server.keys import Keys

_INFO: Final = b"gridward.result.1"


def digest(keys: Keys, values: Mapping[str, torch.Tensor]) -> str:
    """HMAC-SHA-256 in hex over names, element types, shapes and bytes of everything that leaves together."""
    key = HKDF(SHA256(), 32, salt=None, info=_INFO).derive(keys.entity_secret)
    said = [
        {
            "name": name,
            "dtype": NAMES[value.dtype].value,
            "shape": list(value.shape),
            "sha256": hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest(),
        }
        for name, value in sorted(values.items())
    ]
    return hmac.new(key, canonical.dumps(said), hashlib.sha256).hexdigest()
