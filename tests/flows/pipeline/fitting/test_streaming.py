"""`dagmm train --set fit.streaming=true`: the same chain on rows that are never all in memory."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.common.config import TrainConfig
from flows.pipeline import split as split_stage
from flows.pipeline.fitting import training_rows
from flows.pipeline.split import positions
from flows.stages.records import SplitRecord
from tests.flows.conftest import FAST

STREAMED = (*FAST, "--set", "fit.streaming=true")


def test_a_streamed_training_registers_a_model(dagmm, home, registry, monkeypatch):
    monkeypatch.setattr(training_rows, "GROUP_ROWS", 50)
    done = dagmm("train", "wdbc", "--json", *STREAMED, "--set", "split.group_duplicates=true")
    assert done.code == 0, done.err
    evidence = done.json["evidence"]
    assert evidence["evaluate"]["deployment"]["roc_auc"]["value"] > 0.9
    (run,) = home.glob("workspace/runs/*")
    written = pq.ParquetFile(run / training_rows.TRAIN)
    assert written.metadata.num_row_groups > 3
    assert written.metadata.num_rows == evidence["split"]["train_rows"]
    # The training rows, each once, in another order: nothing of the other parts.
    table = pq.read_table(evidence["validation"]["path"])
    rows = positions(SplitRecord.model_validate(evidence["split"]), "train")
    name = written.schema_arrow.names[0]
    there, wanted = written.read().column(name).to_numpy(), table.column(name).to_numpy()[rows]
    assert (np.sort(there) == np.sort(wanted)).all()
    assert (there != wanted).any()
    assert len(registry.search_model_versions("name='dagmm-wdbc'")) == 1


def test_what_cannot_be_streamed_is_refused_before_anything_is_read(dagmm, home):
    refused = dagmm("train", "wdbc", "--detector", "knn", "--set", "fit.streaming=true")
    assert refused.code == 2
    assert "'knn' needs all rows in memory" in refused.err
    assert not (home / "workspace").exists()


@pytest.mark.parametrize(("rows", "held"), [(10_000, 2_000), (4_000_000, 100_000)])
def test_no_more_rows_are_held_out_than_are_needed(rows, held):
    train, validation, test = split_stage.held_out((0.6, 0.2, 0.2), rows)
    assert round(validation * rows) == round(test * rows) == held
    assert train + validation + test == pytest.approx(1.0)


def test_streaming_is_part_of_what_decides_a_run():
    plain, streamed = TrainConfig(), TrainConfig.model_validate({"fit": {"streaming": True}})
    assert plain.digest != streamed.digest
