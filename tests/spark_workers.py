"""Python of the Spark in tests: its workers are forked with everything imported and frozen.

Each worker would import it for itself, and after every task look through all of it for garbage.
"""

from pyspark.daemon import manager

import data_checks.spark.validation  # noqa: F401
import flows.scoring.filling.spark
import flows.scoring.run  # noqa: F401
import tests.frozen  # noqa: F401  the last: what was imported before it is frozen

if __name__ == "__main__":
    manager()
