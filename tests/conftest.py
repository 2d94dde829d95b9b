"""The database server of a test run and its databases.

The process that a person starts owns the server, and pytest-xdist's workers
are told of it. VITALIS_TEST_DATABASE_URL names another server to use, as its
administrator; it must be there for tests only.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import outcomes
from tests.databases import DatabaseServer, ServiceDatabase, embedded_server, external_server

# Programs that tests start are no forks that call gRPC; its handlers of fork()
# would only disturb them.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# How long an example takes says something of the machine, and of what else it does.
settings.register_profile("vitalis", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vitalis")
SERVER = pytest.StashKey[DatabaseServer]()
INPUT = "vitalis_database_server"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(outcomes)
    if config.option.collectonly:
        return
    given = getattr(config, "workerinput", {}).get(INPUT)
    if given:
        config.stash[SERVER] = DatabaseServer(*given)
        return
    stack = ExitStack()
    url = os.environ.get("VITALIS_TEST_DATABASE_URL")
    config.stash[SERVER] = stack.enter_context(external_server(url) if url else embedded_server())
    config.add_cleanup(stack.close)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    server = node.config.stash[SERVER]
    node.workerinput[INPUT] = (server.admin_url, server.run, server.password)


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> DatabaseServer:
    """The server that all tests of the run share."""
    return pytestconfig.stash[SERVER]


@pytest.fixture
def clone_database(postgres_server: DatabaseServer) -> Iterator[Callable[[str], ServiceDatabase]]:
    """`clone_database("tracking")` is a migrated database of the test's own; call it as often as needed."""
    with ExitStack() as databases:
        yield lambda service: databases.enter_context(postgres_server.clone(service))
