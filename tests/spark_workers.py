"""Python of the Spark in tests: its workers are forked with everything imported and frozen.

Each worker would import it for itself, and after every task look through all of it for garbage.
Before every task PySpark has the archives that were imported from read again, one time for each of
their folders: that takes longer than most of these tasks.
"""

import sys
from zipimport import zipimporter

from pyspark.daemon import manager

import dagmm_model.detectors.dagmm  # noqa: F401
import data_checks.spark.validation  # noqa: F401
import flows.scoring.filling.spark
import flows.scoring.run  # noqa: F401
import tests.frozen  # noqa: F401  the last: what was imported before it is frozen

for place, finder in list(sys.path_importer_cache.items()):
    if isinstance(finder, zipimporter):
        del sys.path_importer_cache[place]
        sys.path[:] = [other for other in sys.path if other != place]

if __name__ == "__main__":
    manager()
