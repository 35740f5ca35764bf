"""Several processes promote at once; the database itself writes down every move of the alias."""

import statistics

import pytest

from flows.common.settings import Settings
from flows.promotion import audit
from flows.tracking import registry, tracking
from tests.flows import promotion_store as made
from tests.flows.conftest import production
from tests.flows.forked import gather, processes


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def uri(request, home, monkeypatch):
    """A tracking store of its own, with its tables."""
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if request.param == "sqlite":
        return Settings().tracking_uri
    url = _fresh_database(request.getfixturevalue("postgres"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    return url


def _fresh_database(server: str) -> str:
    import uuid

    import sqlalchemy as sa

    name = f"mlflow_{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server.rpartition('/')[0]}/{name}"


@pytest.mark.parametrize(
    ("several", "rounds"),
    [(3, 1), pytest.param(8, 25, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])],
)
def test_one_winner_at_a_time_and_the_audit_is_the_alias_history(
    uri, home, parts, tmp_path, several, rounds
):
    client = tracking.connect(Settings())
    versions = []
    for number in range(several):
        folder = tmp_path / f"version{number}"
        folder.mkdir()
        versions.append(made.register(client, parts, folder))
    made.watch_alias(uri)
    barrier, results = processes.Barrier(several), processes.Queue()
    workers = [
        processes.Process(
            target=made.promote_when,
            # Every round each process promotes another version.
            args=(
                uri,
                str(home),
                [versions[(number + turn) % several] for turn in range(rounds)],
                barrier,
                results,
            ),
        )
        for number in range(several)
    ]
    for worker in workers:
        worker.start()
    actual = gather(workers, results, several * rounds)
    for worker in workers:
        worker.join(600)
    assert {decision for _, decision, _ in actual} <= {"promoted", "unchanged"}, actual

    decisions = audit.history(client, made.NAME)
    moves = [d.version for d in audit.switches(decisions)]
    assert moves == made.alias_moves(uri)
    assert len(moves) == sum(decision == "promoted" for _, decision, _ in actual)
    assert production(client) == moves[-1]
    assert all(d.complete for d in decisions)
    leases = [d.lease for d in audit.switches(decisions)]
    assert len(set(leases)) == len(leases)
    previous = [d.previous for d in audit.switches(decisions)]
    assert previous == [None, *moves[:-1]]
    assert registry.version_behind(client, made.NAME, "previous") == previous[-1]
    seconds = [spent for _, _, spent in actual]
    print(
        f"\n{rounds} rounds of {several}: {len(moves)} promotions, {len(actual) - len(moves)} "
        f"found it in production; median {statistics.median(seconds):.1f} s, "
        f"longest {max(seconds):.1f} s"
    )
