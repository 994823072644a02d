"""MATLAB files, through SciPy."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.places.paths import DataPath


def mat_variable(path: DataPath, name: str) -> NDArray[Any]:
    """A variable of a MATLAB file of version 4 to 7.2, with dimensions of one taken out.

    Raises DataError when the file is missing or damaged, or holds no such variable.
    """
    from scipy.io import loadmat

    try:
        content = path.read_bytes()
        variables = loadmat(io.BytesIO(content), variable_names=[name], squeeze_me=True)
    except Exception as error:  # On damaged files SciPy's reader raises whatever its parts raise.
        raise DataError(f"{path}: cannot be read as a MATLAB file ({error}). Fetch the file again.") from error
    if name not in variables:
        raise DataError(f"{path}: holds no variable {name!r}. Fetch the file again.")
    return np.atleast_1d(np.asarray(variables[name]))
