"""Run by tests as a program: score on a cluster, where one task is slow.

The first attempt at task 0 writes its part and then hangs, so that Spark starts a second one, which
writes the same part again. Classes of a program's main module travel to executors by value.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.common.settings import Settings
from flows.scoring import run as scoring
from flows.scoring.filling import spark as spark_scoring

HANGS_SECONDS = 900
ATTEMPTS = "attempts"


@dataclass(frozen=True)
class Hanging(spark_scoring.ScoreTask):
    def __call__(self, task):
        from pyspark import TaskContext

        attempt = TaskContext.get().attemptNumber()
        notes = self.folder.parent / ATTEMPTS
        answer = super().__call__(task)
        (notes / f"{task.number}-{attempt}").touch()
        if task.number == 0 and attempt == 0:
            time.sleep(HANGS_SECONDS)
        return answer


if __name__ == "__main__":
    source, output, model, *settings = sys.argv[1:]
    Path(output).with_name(ATTEMPTS).mkdir()
    spark_scoring.ScoreTask = Hanging
    report = scoring.score(
        source,
        output,
        model,
        Settings(),
        engine="spark",
        spark=dict(pair.split("=") for pair in settings),
    )
    print(json.dumps(asdict(report)))
