"""What the tests of the ratings store share: a real PostgreSQL, and an empty place on either engine."""

import pytest

from tests.trust import postgres


@pytest.fixture(scope="session")
def postgres_server():
    """One server for all tests; who stops it starts it again."""
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    with postgres.server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """Where an empty store may be made, on either engine."""
    if request.param == "sqlite":
        yield str(tmp_path / "ratings.db")
        return
    server = request.getfixturevalue("postgres_server")
    made = server.address()
    yield made
    server.clear(made)
