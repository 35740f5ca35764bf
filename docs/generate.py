"""Writes the pages of docs/ that follow from the code: `make docs`.

`configuration.md` from the settings models, `commands.md` from the command line, the index of the
decisions from their titles, the drafted contract in `first-table.md`. `tests/docs` fails while a
page is not what this writes.
"""

import re
import runpy
import tempfile
from pathlib import Path

from keys import HEAD, keys, kind_of, row, settings_rows, shown

from flows.common.value_types import field_texts

DOCS = Path(__file__).parent
NOTICE = "<!-- Written by docs/generate.py (`make docs`). Change the code instead. -->"
LIBRARIES = {
    "MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD": "Login at MLflow's server",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "Names under which MLflow's server may be reached (a proxy's)",
    "PREFECT_API_AUTH_STRING": "Login at Prefect's server, `USER:PASSWORD`",
    "PREFECT_UI_API_URL": "Address of Prefect's API for its pages, behind a proxy",
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL": "`s3://` tables",
    "GOOGLE_APPLICATION_CREDENTIALS": "`gs://` tables",
    "PGPASSWORD": "Password of a PostgreSQL source or result",
    "PGHOST, MYSQL_HOST": "Host that a contract's own `url` may have that password sent to",
    "JAVA_HOME, PYSPARK_PYTHON": "Java and Python of Spark",
    "OMP_NUM_THREADS": "Threads of training and scoring",
    "NUMBA_CACHE_DIR": "Where compiled loops are kept; beside the code unless set",
    "CUDA_VISIBLE_DEVICES": "GPUs that are seen; empty for none",
    "XDG_CACHE_HOME": "The user's cache folder",
    "RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT": "Set by torchrun for each rank",
}
OWN = {
    "DAGMM_API_TOKEN": (
        "",
        "What callers of `dagmm api` send as `Authorization: Bearer TOKEN`; required off loopback",
    ),
    "DAGMM_MLFLOW_LOGIN": ("", "Set by `dagmm ui` for the MLflow server that it starts"),
    "DAGMM_PROGRESS": ("on", "`off` for no progress on stderr, as `--quiet`"),
    "DAGMM_SIGNING_PASSWORD": ("", "Password of the key in `DAGMM_SIGNING_KEY`, if it has one"),
    "DO_NOT_TRACK": ("1", "No telemetry of the libraries"),
}
EXIT_CODES = {
    0: "done",
    1: "the answer is no: data failed its contract, drift, a candidate was rejected",
    2: "wrong usage or input; the message names what and the remedy",
    3: "a service is unreachable or a disk is full; the same command resumes",
    70: "a bug in dagmm: repeat with `--debug` and report it",
    129: "the terminal is gone (SIGHUP); the same command resumes",
    130: "Ctrl-C; the same command resumes",
    143: "SIGTERM; the same command resumes",
}


def detectors() -> str:
    """The settings of every detector of the catalogue."""
    from dagmm_model.detectors.catalogue import CATALOGUE
    from dagmm_model.networks.presets import PRESETS
    from dagmm_model.networks.settings import DagmmSettings

    text = (
        "### `detector.settings.*` of DAGMM and its ablations\n\n"
        f"Presets: {', '.join(f'`{name}`' for name in PRESETS)}. The defaults below are those of "
        "`paper-kddcup`; `recommended`, the default preset, derives them from the table's shape "
        "([decision 8](decisions/0008-recommended-settings.md)). `dagmm train` logs the resolved "
        "values as `resolved.*`.\n\n" + HEAD + "".join(settings_rows(DagmmSettings))
    )
    for name, entry in CATALOGUE.items():
        detector = entry.load()
        settings = getattr(detector, "settings_type", None)
        if settings is None:
            continue
        lines = "".join(settings_rows(settings))
        presets = ", ".join(f"`{preset}`" for preset in detector.presets)
        text += f"\n### `detector.settings.*` of `{name}`\n\n{entry.about}. Presets: {presets}.\n\n"
        text += HEAD + lines if lines else "Nothing to set.\n"
    return text


def environment() -> str:
    """Every variable that is read, ours and the libraries'."""
    from flows.common.settings import Settings
    from flows.services.team.settings import SECRETS, TeamSettings

    rows = {}
    for model in (TeamSettings, Settings):
        meanings = field_texts(model)
        for name, field in model.model_fields.items():
            variable, kind = str(field.validation_alias), kind_of(field.annotation)
            rows[variable] = row(variable, kind, shown(field.default), meanings[name])
    secret = ("", "Secret of `dagmm services`; generated on loopback")
    for name, texts in (dict.fromkeys(SECRETS, secret) | OWN).items():
        rows[name] = row(name, "text", *texts)
    text = HEAD + "".join(rows[name] for name in sorted(rows, key=lambda n: (n[:5] != "DAGMM", n)))
    text += "\nOf the libraries, where they matter here:\n\n| variable | meaning |\n|---|---|\n"
    for names, meaning in LIBRARIES.items():
        quoted = ", ".join(f"`{name}`" for name in names.split(", "))
        text += f"| {quoted} | {meaning} |\n"
    return text


def configuration() -> str:
    """The page of every key."""
    from data_checks.contract.model import Contract
    from flows.common.config import TrainConfig
    from flows.drift.comparison import MonitorPolicy
    from flows.notify.config import NotifyConfig
    from flows.orchestration.monitor_flow import Retraining

    meanings = field_texts(Retraining)
    retraining = "".join(
        row(f"retraining.{name}", kind_of(f.annotation), shown(f.default), meanings[name])
        for name, f in Retraining.model_fields.items()
    )
    return f"""{NOTICE}
# Configuration

Three places: what a *run* does is set by `--set` or `--config`, what a *table* must look like by
its contract, where things *are* by environment variables. Values are read as YAML. An unknown key
or a value out of range is refused before anything starts, and the nearest known key is named.

## `dagmm train`: `--set key=value`, or the same keys in a `--config` file

The command's arguments win over `--set`, `--set` over the file, and the file over the defaults.
`promotion.*` may also stand in the contract; what `--set` or the file says wins over it. Schedules
in `flows/prefect.yaml` take the same keys under `config`.

{HEAD}{"".join(keys(TrainConfig))}
{detectors()}
## `dagmm monitor`: `--set key=value`

{HEAD}{"".join(keys(MonitorPolicy))}
The flow `monitor` takes these under `policy`, and:

{HEAD}{retraining}
## Who is notified: `notify:` in `notify.yaml`

In `DAGMM_HOME`, or in the file that `DAGMM_NOTIFY` names; `dagmm notify --test` tries it
([after promotion](after-promotion.md#who-is-notified-notify)).

{HEAD}{"".join(keys(NotifyConfig, "notify."))}
## Keys of a contract

`dagmm contract FILE` drafts one, `dagmm contract --schema` prints the JSON Schema for editors;
what the keys do together: [contracts](contracts.md). `columns[]` and `rules[]` are lists; the keys
of a source depend on its kind.

{HEAD}{"".join(keys(Contract))}
## Environment variables

{environment()}"""


def commands() -> str:
    """The page of every command."""
    import typer
    from typer.cli import get_docs_for_click

    from flows.cli.commands import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="dagmm")
    text = text.split("**Commands**:", 1)[1].split("\n\n", 2)[2]  # the overview is the README's
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    return f"""{NOTICE}
# Commands

`dagmm --help` groups them, `dagmm COMMAND --help` explains one, `dagmm --version` prints the
version.
`--json` prints one JSON document on stdout, `--debug` tracebacks and all log lines, `--quiet` no
progress.

| exit code | means |
|---|---|
{codes}

Shell completion for Bash, Zsh, Fish and PowerShell: `dagmm --install-completion` once, then open
a new shell; `dagmm --show-completion` prints it instead. It completes commands, options, shipped
contracts and detectors.

{text}
"""


def decisions() -> str:
    """The index of the decisions."""
    lines = ""
    for file in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title = re.sub(r"^# *\d+\.? *", "", file.read_text(encoding="utf-8").splitlines()[0])
        lines += f"| {int(file.name[:4])} | [{title}]({file.name}) |\n"
    return f"""{NOTICE}
# Decisions

One short record for each decision with a trade-off: what was decided, what it costs, what was
measured. Newest last. A new one takes the next number; `make docs` adds it here.

| | decision |
|---|---|
{lines}"""


def first_table() -> str:
    """The page of the first table, with the contract that is drafted for its example today."""
    from data_checks.drafting.drafting import draft_contract

    page = (DOCS / "first-table.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        runpy.run_path(str(DOCS / "examples" / "pumps.py"))["main"](folder)
        text = draft_contract(folder / "pumps.csv", label="state").text
    text = text.replace(str(folder), "/home/ann/pumps")
    before, _, rest = page.partition("<!-- drafted -->\n```yaml\n")
    _, _, after = rest.partition("```\n")
    return f"{before}<!-- drafted -->\n```yaml\n{text.rstrip()}\n```\n{after}"


PAGES = {
    "configuration.md": configuration,
    "commands.md": commands,
    "decisions/README.md": decisions,
    "first-table.md": first_table,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
