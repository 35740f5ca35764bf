"""A registry of the test's own, with versions whose files a test may alter."""

from tests.flows.conftest import empty_store, home  # noqa: F401  fixtures
