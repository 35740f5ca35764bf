"""Processes that have imported everything already: an interpreter's start costs ten seconds each.

There is one server of forks in a process, so that what it imports is named here for all tests.
"""

import multiprocessing

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    [
        "tests.flows.promotion_store",
        "flows.orchestration.train_flow",
        "dagmm_model.detectors.dagmm",
        "torch.distributed",
        "mlflow.pyfunc",
        "mlflow.store.tracking.sqlalchemy_store",  # with alembic, when a store is opened
        "mlflow.store.model_registry.sqlalchemy_store",
        "flows.cli.commands",
        "great_expectations",
        "sklearn.ensemble",
        "sklearn.metrics",
        "pandas",
        "matplotlib.pyplot",
        "pytest",
        "tests.frozen",  # the last: what was imported before it is frozen
    ]
)
