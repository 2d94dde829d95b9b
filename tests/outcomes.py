"""What every RPC has answered during a run of the tests, held against what the contract says it may answer.

`recorders()` goes into the channels that tests call services through; this
module is a pytest plugin besides (see conftest.py). After a whole run that
passed, an RPC that no test called, and a documented error that no test
provoked, fail the run by name. A part of the tests is not held to it.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from services.kit.errors import from_rpc_error

OK = "OK"
WORKER_OUTPUT = "vitalis_outcomes"
PARTIAL = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "collectonly")
seen: set[tuple[str, str]] = set()


def _note(details: Any, outcome: str) -> None:
    method = details.method
    seen.add((method.decode() if isinstance(method, bytes) else method, outcome))


class _UnaryResponse:
    async def _intercept(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        call = await continuation(details, request)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            _note(details, from_rpc_error(error).reason.name)
        else:
            _note(details, OK)
        return call


class _UnaryUnary(_UnaryResponse, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _UnaryResponse._intercept


class _StreamUnary(_UnaryResponse, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _UnaryResponse._intercept


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)

        async def responses() -> AsyncIterator[Any]:
            try:
                async for response in call:
                    _note(client_call_details, OK)
                    yield response
            except grpc.aio.AioRpcError as error:
                _note(client_call_details, from_rpc_error(error).reason.name)
                raise

        return responses()


def recorders() -> list[grpc.aio.ClientInterceptor]:
    """Interceptors of a channel that note what its calls are answered."""
    return [_UnaryUnary(), _StreamUnary(), _UnaryStream()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    seen.update(map(tuple, getattr(node, "workeroutput", {}).get(WORKER_OUTPUT, ())))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[WORKER_OUTPUT] = sorted(seen)
    elif is_whole(session.config) and session.exitstatus == pytest.ExitCode.OK and missing():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    if is_whole(config) and terminalreporter.stats.get("passed") and not terminalreporter.stats.get("failed"):
        gaps = missing()
        if gaps:
            terminalreporter.section("the contract says more than the tests show", red=True)
            for gap in gaps:
                terminalreporter.write_line(gap)


def is_whole(config: pytest.Config) -> bool:
    """Whether all of the tests were asked for."""
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(
        config.getoption(name, None) for name in PARTIAL
    )


def missing() -> list[str]:
    """What no test has shown, a line each."""
    from tests.rpcs import rpcs

    expected = [(rpc.path, outcome) for rpc in rpcs() for outcome in (OK, *rpc.errors)]
    return [
        f"{path}: no test {'calls it with success' if outcome == OK else f'provokes {outcome}'}"
        for path, outcome in expected
        if (path, outcome) not in seen
    ]
