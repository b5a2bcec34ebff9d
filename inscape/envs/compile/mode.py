"""The environment variable that says how kernels run."""

from __future__ import annotations

import os
from typing import Literal, cast

from inscape.errors import UsageError

VARIABLE = "INSCAPE_KERNELS"
MODES = ("auto", "plain", "compiled")
Mode = Literal["auto", "plain", "compiled"]


def kernels_mode() -> Mode:
    """Returns how kernels run, by `$INSCAPE_KERNELS`: `"auto"` (default), `"plain"` Python or `"compiled"`.

    With `"auto"`, work that is smaller than its compilation runs as plain Python (see `envs.compile.choice`).

    Raises:
        UsageError: the variable has another value.
    """
    mode = os.environ.get(VARIABLE) or "auto"
    if mode not in MODES:
        raise UsageError(f"{VARIABLE}={mode}", expected=" or ".join(MODES))
    return cast(Mode, mode)
