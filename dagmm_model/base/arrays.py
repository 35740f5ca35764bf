"""The types of arrays that all rooms speak of."""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

Array = NDArray[np.floating]
"""Of one precision or the other: networks are trained in single, rows are given in either."""

Rows = Array
"""A table's rows ``(n, D)``, or those of a layer."""
