"""What callers pass, checked; every error names the argument."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def numbers(name: str, values: ArrayLike) -> Floats:
    """A copy as float64. Raises ValueError for what is no array of finite numbers and NaN."""
    try:
        out = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: not an array of numbers ({error})") from None
    if np.isinf(out).any():
        at: Any = np.argwhere(np.isinf(out))[0].tolist()
        raise ValueError(f"{name}: infinite at {at}; NaN is how a missing value is written")
    return out
