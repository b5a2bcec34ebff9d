"""Independent normals in compiled code: noise, and the density of what was drawn."""

from __future__ import annotations

from inscape.envs.compile.kernel_cache import helper_jit

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from inscape.envs.compile.switch import kernel_math
from inscape.envs.law import tools as lawtools

math = kernel_math()

HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)

inline = helper_jit(nogil=True, error_model="numpy", forceinline=True)
standard_normal = inline(lawtools.gaussian)
"""The standard normal quantile of a uniform number."""


@inline
def log_density(action, mean, log_std):
    """Returns the log-density of `action [D]` under normals with `mean [D]` and deviation exp(`log_std [D]`)."""
    total = 0.0
    for d in range(len(mean)):
        standard = (action[d] - mean[d]) * math.exp(-log_std[d])
        total -= 0.5 * standard * standard + log_std[d] + HALF_LOG_2_PI
    return total
