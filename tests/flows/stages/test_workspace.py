"""Run folders: resumed, locked, finished, pruned."""

import json
from contextlib import suppress

import pytest

from flows.stages.records import StageRecord
from flows.stages.workspace import KEEP_FINISHED, open_run, run_stage, sha256_of, write_atomic
from tests.forkserver import processes

KEY = {"config": "a"}


class Counted(StageRecord):
    value: int = 0


def test_an_unfinished_run_is_resumed_and_a_finished_one_is_not(tmp_path):
    with pytest.raises(OSError, match="disk"), open_run(tmp_path, KEY) as run:
        raise OSError("disk full")
    with open_run(tmp_path, KEY) as again:
        assert again == run
    with open_run(tmp_path, KEY) as fresh:
        assert fresh != run


def test_an_answer_that_cannot_change_ends_the_run(tmp_path):
    with pytest.raises(ValueError, match="no"), open_run(tmp_path, KEY) as run:
        raise ValueError("no")
    with open_run(tmp_path, KEY) as fresh:
        assert fresh != run


def test_other_inputs_never_resume(tmp_path):
    with pytest.raises(OSError, match="x"), open_run(tmp_path, KEY) as run:
        raise OSError("x")
    with open_run(tmp_path, {"config": "b"}) as other:
        assert other != run


def test_a_stage_with_a_record_is_not_done_again(tmp_path):
    done = []
    with open_run(tmp_path, KEY) as run:
        for _ in range(2):
            record = run_stage(run, "fit", Counted, lambda: done.append(1) or Counted(value=7))
            assert record.value == 7
            assert record.seconds >= 0
    assert len(done) == 1


class Wrote(StageRecord):
    path: str


def _stages(folder, done: list[str]):
    """Two stages, each with a file, in a run that does not end."""

    def work(run, name):
        def do() -> Wrote:
            done.append(name)
            (run / f"{name}.rows").write_bytes(bytes(range(100)))
            return Wrote(path=str(run / f"{name}.rows"))

        return do

    with suppress(OSError), open_run(folder, KEY) as run:
        run_stage(run, "split", Wrote, work(run, "split"), later=("fit",))
        run_stage(run, "fit", Wrote, work(run, "fit"))
        raise OSError("killed")
    return run


@pytest.mark.parametrize("file", ["split.json", "split.rows"])
def test_a_flipped_bit_anywhere_is_said_and_the_stage_done_again(tmp_path, capsys, file):
    run = _stages(tmp_path, [])
    length = len((run / file).read_bytes())
    for place in range(0, length, max(1, length // 12)):
        path, done = run / file, []
        content = bytearray(path.read_bytes())
        if content[place : place + 1].isspace():
            continue  # between two values of a JSON document it says nothing
        content[place] ^= 1
        path.write_bytes(content)
        assert _stages(tmp_path, done) == run
        assert done == ["split", "fit"], f"byte {place}"
        assert str(path) in capsys.readouterr().err


def test_what_is_gone_is_made_again_and_what_came_before_is_kept(tmp_path):
    run = _stages(tmp_path, [])
    (run / "fit.rows").unlink()
    done = []
    _stages(tmp_path, done)
    assert done == ["fit"]


def test_a_record_of_the_first_version_is_resumed(tmp_path):
    run = _stages(tmp_path, [])
    for name in ("split", "fit"):
        path = run / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text())["record"]))
    done = []
    _stages(tmp_path, done)
    assert done == []
    (run / "split.json").write_text('{"seconds": 1.0}')
    _stages(tmp_path, done)
    assert done == ["split", "fit"]


def _hold(folder, started, release):
    with open_run(folder, KEY) as run:
        started.put(run.name)
        release.wait(900)


def test_two_processes_with_the_same_inputs_work_side_by_side(tmp_path):
    started, release = processes.Queue(), processes.Event()
    other = processes.Process(target=_hold, args=(tmp_path, started, release))
    other.start()
    try:
        theirs = started.get(timeout=300)
        with open_run(tmp_path, KEY) as ours:
            assert ours.name != theirs
    finally:
        release.set()
        other.join()


def test_only_the_newest_finished_runs_are_kept(tmp_path):
    for _ in range(KEEP_FINISHED + 3):
        with open_run(tmp_path, KEY):
            pass
    assert len(list((tmp_path / "runs").iterdir())) == KEEP_FINISHED


def test_atomic_writing_leaves_no_partial_file(tmp_path):
    write_atomic(tmp_path / "a.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folders_digest_sees_names_and_every_byte(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    first = sha256_of(tmp_path)
    (tmp_path / "a").write_bytes(b"2")
    changed = sha256_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, changed, sha256_of(tmp_path)}) == 3
