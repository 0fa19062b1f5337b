"""Names of parametrized tests."""

from __future__ import annotations

import re


def name_without_address(value: object) -> str:
    """Return `repr(value)` without addresses: the same in all processes."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
