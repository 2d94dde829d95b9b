"""Protos compiled for one test run, and a service whose RPCs do what a test tells them."""

import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from protos import generate
from services.kit.caller import Caller
from services.kit.database import Database
from services.kit.errors import Violation
from services.kit.interceptor import also_wrong
from services.kit.parts import Parts, Service
from services.kit.settings import ServiceSettings
from tests.harness import Running

PROTOS = Path(__file__).resolve().parent / "protos"


def compile_protos(sources: Path, target: Path) -> None:
    """Python modules, below `target`, of the proto files below `sources`; those may import the project's own."""
    validate = target / "validate.binpb"
    validate.write_bytes(generate.validate_descriptors())
    names = sorted(str(path.relative_to(sources)) for path in sources.rglob("*.proto"))
    generate.run(
        *(f"-I{folder}" for folder in (sources, generate.ROOT, *generate.INCLUDES)),
        f"--descriptor_set_in={validate}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        *names,
    )


@contextmanager
def importable(directory: Path) -> Iterator[None]:
    """The modules below `directory` can be imported, beside those of the same package elsewhere."""
    sys.path.append(str(directory))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(directory))


def write_protos(directory: Path, sources: Mapping[str, str]) -> Path:
    """Writes proto files given as text by their path."""
    for name, text in sources.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


class Probes:
    """What the RPCs of `ProbesService` do; a test sets the one it is about."""

    def __init__(self, pb: ModuleType, database: Database) -> None:
        self.pb: Any = pb
        self.database = database
        self.handlers: dict[str, Callable[[Any, Any], Any]] = {}

    def unary(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            if handler := self.handlers.get(name):
                return await handler(request, context)
            return getattr(self.pb, f"{name}Response")()

        return answer

    async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for response in self.handlers["Watch"](request, context):
            yield response

    async def send(self, requests: AsyncIterator[Any], context: Any) -> Any:
        if handler := self.handlers.get("Send"):
            return await handler(requests, context)
        return self.pb.SendResponse(received=len([request async for request in requests]))


def probe_service(pb: ModuleType, pb_grpc: ModuleType) -> Service[ServiceSettings]:
    """A service `probe` around `Probes`, which is its only servicer's implementation."""

    def build(settings: ServiceSettings, database: Database) -> Parts:
        probes = Probes(pb, database)

        class ProbesServicer(pb_grpc.ProbesServiceServicer):  # type: ignore[misc, name-defined]
            async def _wrong(self, request: Any) -> list[Violation]:
                find = self.probes.handlers.get("wrong with Ask")
                return await find(self, request) if find else []

            @also_wrong(_wrong)
            async def Ask(self, request: Any, context: Any) -> Any:
                return await self.probes.unary("Ask")(request, context)

            AskPublic = staticmethod(probes.unary("AskPublic"))
            AskAdmin = staticmethod(probes.unary("AskAdmin"))
            AskInternal = staticmethod(probes.unary("AskInternal"))
            AskGateway = staticmethod(probes.unary("AskGateway"))
            AskShared = staticmethod(probes.unary("AskShared"))
            AskReviewed = staticmethod(probes.unary("AskReviewed"))
            AskOwn = staticmethod(probes.unary("AskOwn"))
            GetMood = staticmethod(probes.unary("GetMood"))
            Watch = staticmethod(probes.watch)
            Send = staticmethod(probes.send)

            def __init__(self) -> None:
                self.probes = probes

        return Parts([ProbesServicer()])

    return Service("probe", ServiceSettings, build)


class Probe:
    """The running service: `await probe.call("Ask", request, caller)`."""

    def __init__(self, running: Running, pb: ModuleType, pb_grpc: ModuleType) -> None:
        self.running = running
        self.pb: Any = pb
        self.stub: Any = pb_grpc.ProbesServiceStub(running.channel)
        servicer: Any = running.parts.servicers[0]
        self.probes: Probes = servicer.probes

    def on(self, name: str, handler: Callable[[Any, Any], Any]) -> None:
        """Makes the RPC do this: `async (request or requests, context) -> response`, an iterator for Watch."""
        self.probes.handlers[name] = handler

    def call(self, name: str, request: Any, caller: Any, timeout: float | None = 30) -> Any:
        return getattr(self.stub, name)(request, metadata=self.running.metadata(caller), timeout=timeout)


def ask(probe: Probe, caller: Caller, timeout: float | None = 30, **fields: Any) -> Any:
    """The RPC `Ask` about the caller, unless `fields` say otherwise."""
    return probe.call("Ask", probe.pb.AskRequest(**{"user_id": caller.subject, **fields}), caller, timeout)
