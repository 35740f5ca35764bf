"""Errors a user meets when a contract or a table is not what it must be."""


class DataError(ValueError):
    """Base of all errors about data: one message that says what, where, and what to do."""


class ContractError(DataError):
    """A contract cannot be read; the message names file, key and line."""


class SourceError(DataError):
    """A table cannot be read; the message names file, row and column where they are known."""


class MissingDataError(SourceError):
    """A data file is not there; the message says which, whose, and where to put it."""


class ChecksumError(SourceError):
    """A file's content is not the one that the contract pins."""


class TextEncodingError(SourceError):
    """Bytes that are not text in the stated encoding."""


class UnreachableError(SourceError, ConnectionError):
    """A database, object store or web server did not answer; trying again later may help."""


class EngineError(DataError):
    """An engine that was asked for is not installed, or cannot do what was asked of it."""


class ValidationDisagreementError(AssertionError):
    """Great Expectations and the row masks counted differently: a defect of this package."""
