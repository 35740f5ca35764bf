"""Where the processor time of one request of 1,000 rows goes, in the process that scores it.

The parts in turns, in one thread with one thread of the BLAS library, medians of processor time:
what else the machine does hardly counts. What is left of a request, HTTP and the way to that
process, is the difference to what `serving.py` measures.

    DAGMM_HOME=mlruns python benchmarks/speed/request_parts.py dagmm-wdbc
"""

import argparse

from measuring import in_turns
from pydantic_core import from_json
from serving import body_of, registered

from dagmm_model.base.processors import blas_threads
from flows.api.answers import Asked, answer, as_mlflow
from flows.api.bodies import JSON, request_columns
from flows.api.loading import load_verified
from flows.common.features import as_columns


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="NAME, NAME@alias or NAME/VERSION")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--rows", type=int, default=1000)
    asked = parser.parse_args()
    client, version, canary = registered(asked.model)
    body = body_of(canary, asked.rows)
    model, most = load_verified(client, version), asked.rows
    with blas_threads().limit(limits=1):
        columns, _ = request_columns(body, JSON, model.names, most)
        checked, scores = model.judge(columns, "none")
        features = as_columns(checked.features)
        kernel = {each.get("architecture") for each in blas_threads().info()}
        parts = {
            "read JSON": lambda: from_json(body, cache_strings="keys"),
            "read JSON, shape and names checked, to columns": lambda: request_columns(
                body, JSON, model.names, most
            ),
            "check, score": lambda: model.judge(columns, "none"),
            "score": lambda: model.bundle.score(features),
            "answer in JSON": lambda: as_mlflow(model, scores),
            "all": lambda: answer(model, Asked(JSON, most, in_full=False), body),
        }
        print(f"{model.uri}, {len(body):,} bytes, BLAS kernels {kernel}")
        spent = in_turns(parts, asked.rounds)["processor"].groupby(level=0, sort=False).median()
        for name, seconds in spent.items():
            print(f"{name:<48}{seconds * 1000:8.2f} ms")


if __name__ == "__main__":
    main()
