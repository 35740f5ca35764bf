"""Where a data set comes from, as its contract states it."""

from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from data_checks.base.locations import file_location
from data_checks.contract.columns import ContractPart

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
_PASSWORDS = ("password", "passwd", "pwd", "sslpassword")
MISSING_MARKERS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")


def _readable(file: str) -> str:
    """Refuse an address that is not read with the line it stands on, not when it is used."""
    file_location(file)
    return file


class FileSource(ContractPart):
    """What all files have in common.

    `file` is relative to the data folder and, while `confined`, may not leave it. It may be the
    URL of an object store (`s3://...`). `url` is where the file can be downloaded; `sha256` pins
    its content.
    """

    file: Annotated[str, AfterValidator(_readable)] | None = Field(
        None, description="Path in the data folder, or URL of an object store"
    )
    publisher: str = Field("", description="Who publishes the data")
    licence: str = Field("", description="Under which licence")
    url: str | None = Field(None, description="Where --download fetches the file")
    sha256: Sha256 | None = Field(None, description="Digest that the file must have")
    confined: bool = Field(True, description="Whether the file may not leave the data folder")


class CsvSource(FileSource):
    """Delimited text; `.gz`, `.bz2`, `.zst` by the file's ending."""

    kind: Literal["csv"]
    header: bool = Field(True, description="Whether the first line names the columns")
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = Field(
        ",", description="Character between two values"
    )
    quote: Annotated[str, StringConstraints(min_length=1, max_length=1)] = Field(
        '"', description="Character around a value"
    )
    encoding: str = Field("utf-8", description="Encoding of the text")
    missing: tuple[str, ...] = Field(MISSING_MARKERS, description="Texts that mean no value")
    decimal: Literal[".", ","] = Field(".", description="Character before the decimals")
    thousands: Literal["", ",", ".", " ", "'", "_"] = Field(
        "", description="Character between groups of three digits"
    )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(f"{self.decimal!r} cannot be both decimal and thousands")
        return self


class ParquetSource(FileSource):
    """A Parquet file, a folder of them, or a glob."""

    kind: Literal["parquet"]


class MatSource(FileSource):
    """A MATLAB file (format 5): a matrix of features and a vector of labels."""

    kind: Literal["mat"]
    features: str = Field("X", description="Variable with the matrix of features")
    labels: str = Field("y", description="Variable with the labels")


class SqlSource(ContractPart):
    """A query on any SQLAlchemy URL.

    Credentials never stand in a contract: `url` holds none (drivers read PGPASSWORD and the like),
    or `url_variable` names the environment variable with the whole URL.
    """

    kind: Literal["sql"]
    query: str = Field(description="One SELECT")
    url: str | None = Field(None, description="SQLAlchemy URL without a password")
    url_variable: str | None = Field(
        None, description="Environment variable with the whole URL, instead of url"
    )
    publisher: str = Field("", description="Who publishes the data")
    licence: str = Field("", description="Under which licence")

    @model_validator(mode="after")
    def _no_credentials(self) -> Self:
        if (self.url is None) == (self.url_variable is None):
            raise ValueError("give either url or url_variable")
        if self.url is not None and has_credentials(self.url):
            raise ValueError(
                "url holds a password; remove it and use url_variable or the driver's own variables"
            )
        return self


class SklearnSource(ContractPart):
    """A table that ships inside scikit-learn, with its class names as label."""

    kind: Literal["sklearn"]
    dataset: Literal["breast_cancer", "wine", "iris", "digits"] = Field(
        description="Table inside scikit-learn"
    )
    publisher: str = Field("", description="Who publishes the data")
    licence: str = Field("", description="Under which licence")


Source = Annotated[
    CsvSource | ParquetSource | MatSource | SqlSource | SklearnSource, Field(discriminator="kind")
]


def has_credentials(url: str) -> bool:
    """Whether a URL holds a password: `scheme://user:password@host` or `?password=...`."""
    _, _, rest = url.partition("://")
    authority = rest.split("/", 1)[0].split("?", 1)[0]
    login, at, _ = authority.rpartition("@")
    options = {name.lower() for name, _ in parse_qsl(rest.partition("?")[2])}
    return (bool(at) and ":" in login) or not options.isdisjoint(_PASSWORDS)
