"""Examples of thresholds, and of reports on the audit log."""

from typing import Final

DISCLOSURE: Final = {
    "entities": None,
    "largest_two": 0.9,
    "p_ratio": 0.1,
    "residual_degrees": 10,
    "parameter_share": 0.33,
    "round_counts": 1,
}
