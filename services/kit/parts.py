"""What a service is made of. Light on purpose: a worker imports it, and counts its memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import grpc

from services.kit.database import Database
from services.kit.jobs import Jobs
from services.kit.personal import PersonalData
from services.kit.settings import ServiceSettings

Settings = TypeVar("Settings", bound=ServiceSettings)


class Parts(NamedTuple):
    """What a service is made of.

    Its servicers, each derived from the class of its service in a *_pb2_grpc module; its jobs and what it holds about
    people (None if it has none), its channels to other services.
    """

    servicers: Sequence[object]
    jobs: Jobs | None = None
    personal: PersonalData | None = None
    channels: Sequence[grpc.aio.Channel] = ()


@dataclass(frozen=True)
class Service(Generic[Settings]):
    """One service: its name (settings prefix, token audience, database), its settings, and how it is put together.

    `commands` are what `python -m services.<name>` does besides, by its first
    argument; they get the others, and load the settings that they need.
    """

    name: str
    settings: type[Settings]
    build: Callable[[Settings, Database], Parts]
    commands: Mapping[str, Callable[[Sequence[str]], None]] = field(default_factory=dict)
