"""Tables that ship inside scikit-learn: real data without any download."""

from collections.abc import Iterator

import pyarrow as pa

from data_checks.contract.source_settings import SklearnSource


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
