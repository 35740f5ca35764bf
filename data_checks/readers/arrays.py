"""Tables that are arrays: MATLAB's files, and what ships inside scikit-learn."""

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from data_checks.base.errors import SourceError
from data_checks.contract.source_settings import MatSource, SklearnSource
from data_checks.readers.opening import open_stream


def describe_mat(location: str) -> tuple[str, int, tuple[str, ...]]:
    """Find the matrix of features in a MATLAB file.

    Returns:
        Name and width of the largest matrix, and the names of vectors with as many rows.

    Raises:
        SourceError: not such a file, or no matrix of numbers in it.
    """
    variables = {
        name: value
        for name, value in _load(location, None).items()
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "biuf"
    }
    matrices = {name: value for name, value in variables.items() if min(value.shape) > 1}
    if not matrices:
        raise SourceError(f"{location}: there is no matrix of numbers in the file.")
    name, matrix = max(matrices.items(), key=lambda item: item[1].size)
    vectors = [n for n, v in variables.items() if v.size == len(matrix) and n != name]
    return name, matrix.shape[1], tuple(vectors)


def read_mat(
    location: str, source: MatSource, features: Sequence[str], label: str | None
) -> Iterator[pa.RecordBatch]:
    """Read a format-5 MATLAB file.

    Args:
        location: local path or URL of an object store.
        source: names of the two variables in the file.
        features: names for the columns of the matrix, in order.
        label: name for the label column, or None when it is not wanted.

    Yields:
        One batch: the features as float64 (n,), the label as float64 (n,).

    Raises:
        SourceError: not such a file, a variable is missing, or its shape does not fit.
    """
    wanted = [source.features, *([source.labels] if label else [])]
    variables = _load(location, wanted)
    for name in wanted:
        if name not in variables:
            raise SourceError(f"{location}: there is no variable '{name}' in the file.")
        if not np.issubdtype(variables[name].dtype, np.number):
            raise SourceError(f"{location}: variable '{name}' does not hold numbers.")
    matrix = variables[source.features]
    if matrix.ndim != 2 or matrix.shape[1] != len(features):
        raise SourceError(
            f"{location}: variable '{source.features}' has shape {matrix.shape}, the contract "
            f"names {len(features)} columns."
        )
    arrays = [np.ascontiguousarray(column, dtype=np.float64) for column in matrix.T]
    names = list(features)
    if label:
        vector = np.asarray(variables[source.labels], dtype=np.float64).ravel()
        if len(vector) != len(matrix):
            raise SourceError(
                f"{location}: {len(vector)} labels in '{source.labels}' for {len(matrix)} rows."
            )
        arrays.append(vector)
        names.append(label)
    yield pa.RecordBatch.from_arrays([pa.array(array) for array in arrays], names=names)


def _load(location: str, wanted: list[str] | None) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    with closing(open_stream(location)) as stream:
        content = io.BytesIO(stream.read())
    try:
        return loadmat(content, variable_names=wanted)  # type: ignore[arg-type]  # a file is allowed
    except NotImplementedError as error:
        raise SourceError(
            f"{location}: a MATLAB 7.3 file; save it with '-v7' or as Parquet."
        ) from error
    except (MatReadError, ValueError, TypeError, OSError, EOFError) as error:
        raise SourceError(f"{location}: not a readable MATLAB file: {error}.") from error


def read_bundled(source: SklearnSource, label: str | None) -> Iterator[pa.RecordBatch]:
    """Read a bundled table, its class names as the label column.

    Without a name for its column the label is left out.

    Yields:
        One batch: features as float64, the label as text.
    """
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{source.dataset}")()
    names = [str(name) for name in bunch.feature_names]
    arrays = [pa.array(bunch.data[:, i]) for i in range(len(names))]
    if label is not None:
        arrays.append(pa.array([str(bunch.target_names[i]) for i in bunch.target], pa.string()))
        names.append(label)
    yield pa.RecordBatch.from_arrays(arrays, names=names)
