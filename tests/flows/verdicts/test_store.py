"""What is kept is kept once and for ever, in real databases, whatever happens on the way."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from data_checks.base.errors import DataError, SourceError
from flows.common.errors import UsageError
from flows.verdicts import store
from flows.verdicts.database import reading, writing
from flows.verdicts.tables import METADATA, SUBMISSIONS, VERSION_TABLE
from tests.flows.forked import processes
from tests.flows.verdicts.made import MODEL, add, add_and_die, add_together, row_verdict

REVIEW = store.Review("r1", MODEL, 1, "rows.csv", 0.0, 3.5, 10, 390)


def submissions(database: str) -> list:
    with reading(database) as connection:
        return connection.execute(sa.select(SUBMISSIONS)).all()


def test_what_is_added_is_read_again_in_its_order(database):
    given = [
        row_verdict(2, "anomaly", time=5.0, note="leak"),
        row_verdict(1, "unsure", who="bob", time=7.0),
    ]
    assert store.read_verdicts(database, MODEL) == ()
    assert add(database, given) == 2
    actual = store.read_verdicts(database, MODEL)
    assert [each.id for each in actual] == [1, 2]
    assert [store.replace(each, id=0) for each in actual] == given
    assert store.read_verdicts(database, "another") == ()


def test_repeating_a_file_adds_nothing(database):
    given = [row_verdict(1, time=5.0), row_verdict(2, "anomaly"), row_verdict(3, note="as ever")]
    assert [add(database, given) for _ in range(3)] == [3, 0, 0]
    assert len(submissions(database)) == 3


def test_who_changes_their_mind_and_back_is_heard_each_time(database):
    for word in ("normal", "anomaly", "normal"):
        assert add(database, [row_verdict(1, word)]) == 1
    assert [v.verdict for v in store.read_verdicts(database, MODEL)][-1] == "normal"


def test_a_later_note_is_kept_and_an_older_time_too(database):
    add(database, [row_verdict(1, time=9.0)])
    assert add(database, [row_verdict(1, note="seen again")]) == 1
    assert add(database, [row_verdict(1, "anomaly", time=3.0)]) == 1


def test_the_database_itself_refuses_to_change_or_delete(database):
    add(database, [row_verdict(1)])
    store.add_review(database, REVIEW, [store.ReviewRow("r1", 0, "0" * 64, "{}", 4.0, True)])
    for table in ("dagmm_verdicts", "dagmm_verdict_submissions", "dagmm_reviews"):
        for change in (f"UPDATE {table} SET model = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(SourceError, match="append-only"), writing(database) as connection:
                connection.execute(sa.text(change))
    assert len(store.read_verdicts(database, MODEL)) == 1


def test_the_migrations_make_the_tables_that_the_code_uses(database):
    with writing(database) as connection:
        ours = {*METADATA.tables, VERSION_TABLE}
        options = {"include_name": lambda name, kind, _: kind != "table" or name in ours}
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, **options}
        )
        assert compare_metadata(context, METADATA) == []


def test_tables_of_a_newer_program_are_left_alone(database):
    with writing(database) as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(UsageError, match="newer version"):
        add(database, [row_verdict(1)])


def test_two_at_once_lose_nothing_and_duplicate_nothing(database):
    rows, people = 60, ("ann", "bob", "eve")
    barrier = processes.Barrier(len(people))
    workers = [
        processes.Process(target=add_together, args=(database, who, rows, barrier))
        for who in people
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
        assert worker.exitcode == 0
    actual = store.read_verdicts(database, MODEL)
    for who in people:
        assert len([v for v in actual if v.who == who]) == rows
    assert len([v for v in actual if v.who == "everybody"]) == rows


@pytest.mark.parametrize("step", ["submission written", "verdicts written"])
def test_a_process_killed_in_the_middle_leaves_nothing_and_the_next_adds_all(database, step):
    add(database, [row_verdict(1, who="before")])
    worker = processes.Process(target=add_and_die, args=(database, 1_200, step))
    worker.start()
    worker.join(240)
    assert worker.exitcode == -9
    assert len(store.read_verdicts(database, MODEL)) == 1
    assert len(submissions(database)) == 1
    assert add(database, [row_verdict(row) for row in range(1_200)]) == 1_200
    assert len(store.read_verdicts(database, MODEL)) == 1_201


def test_a_review_is_kept_once(database):
    rows = [store.ReviewRow("r1", 7, "a" * 64, "{}", 4.0, True)]
    for _ in range(2):
        store.add_review(database, REVIEW, rows)
    assert store.read_reviews(database, MODEL, 1) == ((REVIEW,), tuple(rows))
    assert store.read_reviews(database, MODEL, 2) == ((), ())


def test_reading_makes_no_file_and_no_tables(tmp_path):
    file = tmp_path / "none.db"
    assert store.read_verdicts(f"sqlite:///{file}", MODEL) == ()
    assert not file.exists()
    sa.create_engine(f"sqlite:///{file}").connect().close()
    file.touch()
    assert store.read_verdicts(f"sqlite:///{file}", MODEL) == ()
    assert sa.inspect(sa.create_engine(f"sqlite:///{file}")).get_table_names() == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mssql+pyodbc://host/db", "in SQLite or PostgreSQL, not in mssql"),
        ("postgresql+psycopg://nobody:secret@127.0.0.1:1/db", "127.0.0.1:1/db"),
        ("nonsense", "SQLAlchemy URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_error_without_its_password(url, why):
    with pytest.raises((DataError, UsageError), match=why) as said_so:
        add(url, [row_verdict(1)])
    assert "secret" not in str(said_so.value)
