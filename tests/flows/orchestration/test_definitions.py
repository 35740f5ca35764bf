"""A `prefect.yaml` is read once, for both commands: what Prefect takes, or a reason."""

import pytest
import yaml

from flows.common.errors import UsageError
from flows.orchestration.definitions import DEFINITIONS, FLOWS, KEYS, flow_behind, read_definitions

NIGHTLY = {
    "name": "nightly",
    "entrypoint": "flows/training.py:train",
    "parameters": {"config": {"dataset": "wdbc"}},
    "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
    "work_pool": {"name": "dagmm"},
    "schedules": [{"cron": "0 2 * * *", "timezone": "UTC"}],
}


@pytest.fixture
def read(tmp_path):
    def write_and_read(**changes):
        file = tmp_path / "prefect.yaml"
        entry = {k: v for k, v in (NIGHTLY | changes).items() if v != "left out"}
        file.write_text(yaml.safe_dump({"deployments": [entry]}))
        (actual,) = read_definitions(file)
        return actual

    return write_and_read


def test_the_shipped_file_is_read():
    names = [
        "train/nightly",
        "promote/by-hand",
        "score/hourly",
        "monitor/daily",
        "benchmark/weekly",
    ]
    assert [one.full_name for one in read_definitions(None)] == names
    assert all(one.pool == "dagmm" for one in read_definitions(DEFINITIONS))


@pytest.mark.parametrize(
    ("entrypoint", "name"),
    [
        ("flows/training.py:train", "train"),
        ("flows/scheduled.py:score", "score"),
        ("flows/monitoring.py:monitor", "monitor"),
        ("flows/benchmark.py:benchmark", "benchmark"),
        ("flows.training.train", "train"),
        *((entrypoint, entrypoint.rpartition(":")[2]) for entrypoint in FLOWS),
    ],
)
def test_entry_points_old_and_new_lead_to_their_flow(entrypoint, name):
    assert flow_behind(entrypoint).name == name


@pytest.mark.parametrize(
    "entrypoint",
    [
        "flows/training.py:nothing",
        "flows/nothing.py:train",
        "flows/cli/train.py:train",
        "../flows/training.py:train",
        "os.py:system",
        "train",
        "",
        None,
        7,
    ],
)
def test_an_entry_point_that_is_no_flow_is_refused_with_those_that_are(read, entrypoint):
    with pytest.raises(UsageError, match=r"deployment nightly: no flow at .*train_flow\.py:train"):
        read(entrypoint=entrypoint)


@pytest.mark.parametrize(
    ("schedule", "kind", "values"),
    [
        ({"cron": "0 2 * * *", "day_or": False}, "CronSchedule", {"day_or": False}),
        ({"interval": 90}, "IntervalSchedule", {}),
        ({"interval": "PT15M", "anchor_date": "2026-01-01T00:00:00Z"}, "IntervalSchedule", {}),
        ({"rrule": "FREQ=DAILY", "timezone": "UTC"}, "RRuleSchedule", {"timezone": "UTC"}),
        ({"rrule": '{"rrule": "FREQ=DAILY"}'}, "RRuleSchedule", {"timezone": "UTC"}),
    ],
)
def test_every_kind_of_schedule_is_read(read, schedule, kind, values):
    (actual,) = read(schedules=[schedule | {"slug": "s", "active": False}]).schedules
    assert type(actual.schedule).__name__ == kind
    assert (actual.slug, actual.active) == ("s", False)
    assert values.items() <= actual.schedule.model_dump().items()


@pytest.mark.parametrize("limit", [1, "left out", None, {"limit": 2}])
def test_every_kind_of_limit_is_read(read, limit):
    read(concurrency_limit=limit)


@pytest.mark.parametrize("schedules", [[], None, "left out"])
def test_no_schedule_is_none(read, schedules):
    assert read(schedules=schedules).schedules == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schedules": [{"cron": "0 25 * * *"}]}, "schedule 1: cron"),
        ({"schedules": [{"cron": "0 2 * * *", "timezone": "PST8"}]}, "schedule 1: timezone"),
        ({"schedules": [{"rrule": "FREQ=NEVER"}]}, "schedule 1: rrule"),
        ({"schedules": [{"interval": -5}]}, "schedule 1: interval"),
        ({"schedules": [{"interval": 60, "day_or": True}]}, "day_or means nothing beside interval"),
        ({"schedules": [{"crom": "0 2 * * *"}]}, "it needs one of cron, interval, rrule"),
        ({"schedules": [{"cron": "0 2 * * *", "interval": 60}]}, "it needs one of"),
        ({"schedules": ["daily"]}, "it needs one of"),
        ({"schedules": {"cron": "0 2 * * *"}}, "`schedules` is no list"),
        ({"schedules": 5, "schedule": {"cron": "0 2 * * *"}}, "`schedules` is no list"),
        ({"schedules": [{"interval": float("inf")}]}, "schedule 1: interval"),
        ({"schedules": [{"interval": 1e20}]}, "schedule 1: interval"),
        ({"schedules": [{"rrule": {"rrule": "FREQ=DAILY"}}]}, "schedule 1: rrule"),
        ({"schedules": [{"cron": "0 2 * * *", 1: 2}]}, "1 means nothing beside cron"),
        ({"schedules": [{"cron": "@daily", "slug": "a"}] * 2}, "schedule 2: slug a is that of"),
        ({"schedules": [{"cron": "@daily", "parameters": {"confg": 1}}]}, "no parameter confg"),
        ({"parameters": {1: 2, "a": 1}}, "no parameter 1, a"),
        ({"concurrency_limit": {"limit": 1, 2: 3, "x": 4}}, "2, x means nothing"),
        ({"triggers": [{"expect": ["a"], 1: 2, "b": 3}]}, "trigger 1: 1, b means nothing"),
        ({"version": 1.0}, "version: Input should be a valid string"),
        ({"description": ["a"]}, "description: Input should be a valid string"),
        ({"paused": "maybe"}, "paused: Input should be a valid boolean"),
        ({"enforce_parameter_schema": "maybe"}, "enforce_parameter_schema: Input should"),
        ({"name": "a&b"}, "'a&b' contains an invalid character"),
        ({"tags": "nightly"}, "`tags` is no list"),
        ({"triggers": {"expect": ["a"]}}, "`triggers` is no list"),
        ({"triggers": ["drift"]}, "trigger 1: it is no mapping"),
        ({"triggers": [{"expects": ["a"]}]}, "trigger 1: expects means nothing"),
        ({"triggers": [{"expect": ["a"], "within": "soon"}]}, "trigger 1: "),
        ({"concurrency_limit": "one"}, "concurrency_limit 'one'"),
        ({"concurrency_limit": 0}, "concurrency_limit 0"),
        ({"concurrency_limit": {"limit": 1, "strategy": "QUEUE"}}, "strategy"),
        ({"concurrency_limit": {"limit": 0}}, "concurrency_limit 0"),
        ({"concurrency_limit": {}}, "concurrency_limit None"),
        ({"concurency_limit": 1}, "concurency_limit means nothing to Prefect; is it concurrency_"),
        ({"job_variables": {}}, "job_variables means nothing to Prefect; it knows build, conc"),
        ({"parameters": {"confg": {}}}, "no parameter confg; the flow takes config"),
        ({"parameters": ["config"]}, "`parameters` is not a mapping"),
        ({"work_pool": "dagmm"}, "`work_pool` needs a `name`"),
        ({"name": None}, "it needs a `name`"),
        ({"name": "a/b"}, "without a slash"),
    ],
)
def test_a_mistake_is_said_with_its_place(read, changes, reason):
    with pytest.raises(UsageError) as refused:
        read(**changes)
    assert reason in str(refused.value)
    assert "prefect.yaml: deployment" in str(refused.value)
    assert "pydantic" not in str(refused.value)
    assert "Value error" not in str(refused.value)


def test_the_keys_of_a_deployment_are_prefects():
    from prefect.cli.deploy._models import DeploymentConfig

    assert set(DeploymentConfig.model_fields) == KEYS


@pytest.mark.parametrize(
    "text", ["", "[]", "deployments:", "deployments: 3", "a: [", "\x00", "[" * 3000]
)
def test_a_file_that_defines_nothing_is_refused(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"p\.yaml"):
        read_definitions(tmp_path / "p.yaml")
    with pytest.raises(UsageError, match=r"none\.yaml"):
        read_definitions(tmp_path / "none.yaml")
