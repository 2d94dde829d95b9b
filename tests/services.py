"""Every service by its name, in this process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.identity import __main__ as identity
from services.identity.settings import IdentitySettings
from services.kit.parts import Service
from services.kit.settings import ServiceSettings
from services.labs import __main__ as labs
from services.labs.settings import LabsSettings
from services.tracking import __main__ as tracking
from services.tracking.settings import TrackingSettings
from tests.databases import ServiceDatabase
from tests.harness import Running, Trust, make_trust, running, write_key, write_keyset

CloneDatabase = Callable[[str], ServiceDatabase]


def identity_settings(directory: Path, **common: Any) -> IdentitySettings:
    key = directory / "signing.pem"
    write_key(key)
    vault = write_keyset(directory / "vault.json")
    return IdentitySettings(
        signing_key_files=(key,),
        vault_keyset_file=vault,
        mailbox=directory / "mail",
        object_store_url=f"file://{directory}/exports",
        scratch_directory=directory,
        **common,
    )


def tracking_settings(directory: Path, **common: Any) -> TrackingSettings:
    return TrackingSettings(
        vault_keyset_file=write_keyset(directory / "tracking-vault.json"),
        object_store_url=f"file://{directory}/objects",
        scratch_directory=directory,
        upload_max_bytes=2**20,
        **common,
    )


def labs_settings(directory: Path, **common: Any) -> LabsSettings:
    small = {"document_max_bytes": 2**20, "import_max_bytes": 2**20}
    usual = {"object_store_url": f"file://{directory}/documents", **small}
    return LabsSettings(
        vault_keyset_file=write_keyset(directory / "labs-vault.json"),
        scratch_directory=directory,
        **{**usual, **common},
    )


SERVICES: dict[str, tuple[Service[Any], Callable[..., ServiceSettings]]] = {
    "identity": (identity.SERVICE, identity_settings),
    "tracking": (tracking.SERVICE, tracking_settings),
    "labs": (labs.SERVICE, labs_settings),
}


def settings_of(name: str, directory: Path, database: ServiceDatabase, trust: Trust, **given: Any) -> ServiceSettings:
    """Usual settings of one service, but those that are given."""
    usual = {
        "listen": "127.0.0.1:0",
        "database_url": SecretStr(database.app_url),
        "caller_key_file": trust.caller_key_file,
        "trusted_callers_file": trust.trusted_callers_file,
        "grace_seconds": 0,
    }
    return SERVICES[name][1](directory, **{**usual, **given})


@asynccontextmanager
async def serving(
    name: str, directory: Path, database: ServiceDatabase, trust: Trust, **given: Any
) -> AsyncIterator[Running]:
    """One service, with usual settings but those that are given."""
    settings = settings_of(name, directory, database, trust, **given)
    async with running(SERVICES[name][0], settings, database, trust) as one:
        yield one


@asynccontextmanager
async def start_on_demand(directory: Path, clone_database: CloneDatabase) -> AsyncIterator[Callable[[str], Any]]:
    """`await start("tracking")` is that service, the same one each time."""
    trust = make_trust(directory)
    started: dict[str, Running] = {}
    async with AsyncExitStack() as stack:

        async def start(name: str) -> Running:
            if name not in started:
                one = serving(name, directory, clone_database(name), trust)
                started[name] = await stack.enter_async_context(one)
            return started[name]

        yield start
