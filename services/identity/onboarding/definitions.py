"""Flows: which steps there are, in which order, and what they ask. They are data, in `flows/`, one file a version.

A file names its steps in their order, and describes those that are not as in the
version that it is based on. Everything is held against the contract when the
service starts: it does not start with a flow that nobody could finish.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.identity.onboarding.fields import Asked, describe
from services.identity.onboarding.outcome import Write, parse, refuse_incomplete
from services.kit.contract import ContractError
from vitalis.identity.v1 import onboarding_pb2 as pb

DIRECTORY = Path(__file__).parent / "flows"
DEFAULT_VERSION = "1.0"
ANSWERS: Any = pb.OnboardingAnswers.DESCRIPTOR
# ONB 6.2: steps 0 to 11.
MOST_STEPS = 12
# What a flow ends with: the profile is made of what was confirmed.
CONFIRMATION: Final = "confirmation"


class _StepData(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    text: str
    # Whether it can be saved without an answer.
    optional: bool = False
    # What becomes of the answers, see outcome.py.
    writes: list[str] = Field(default_factory=list)
    fields: list[Asked] = Field(min_length=1)


class _FlowData(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: str = Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")
    based_on: str = ""
    order: list[str] = Field(min_length=1, max_length=MOST_STEPS)
    steps: dict[str, _StepData] = Field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step: its number in its flow, its section of the answers, and what clients are told of it.

    `required` are the fields of the section that the flow requires besides the contract, `writes` what becomes of it.
    """

    number: int
    name: str
    definition: pb.OnboardingStep
    required: tuple[str, ...]
    writes: tuple[Write, ...]


@dataclass(frozen=True)
class Flow:
    """One version of the onboarding."""

    version: str
    steps: tuple[Step, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Step]:
        return {step.name: step for step in self.steps}

    def message(self, *, is_default: bool) -> pb.OnboardingFlow:
        return pb.OnboardingFlow(
            version=self.version, is_default=is_default, steps=[step.definition for step in self.steps]
        )


class Flows:
    """The versions there are, and the one for whoever begins now."""

    def __init__(self, flows: Mapping[str, Flow], default: str) -> None:
        """Raises ContractError if the default is none of them."""
        if default not in flows:
            raise ContractError(f"there is no onboarding flow {default}, only {', '.join(sorted(flows))}")
        self._flows = flows
        self.default = flows[default]

    def get(self, version: str) -> Flow | None:
        return self._flows.get(version)

    @cached_property
    def newest_first(self) -> list[Flow]:
        return sorted(self._flows.values(), key=lambda flow: tuple(map(int, flow.version.split("."))), reverse=True)


def load(default: str = DEFAULT_VERSION, directory: Path = DIRECTORY) -> Flows:
    """Every flow of the directory. Raises ContractError for one that does not fit the contract."""
    data = {path.stem: _read(path) for path in sorted(directory.glob("*.toml"))}
    return Flows({version: _build(version, data) for version in data}, default)


def _read(path: Path) -> _FlowData:
    try:
        data = _FlowData.model_validate(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ContractError(f"{path.name}: {error}") from None
    if data.version != path.stem:
        raise ContractError(f"{path.name} says that it is version {data.version}")
    return data


def _build(version: str, data: Mapping[str, _FlowData]) -> Flow:
    flow = data[version]
    described = _described(version, data, ())
    if len(set(flow.order)) < len(flow.order) or flow.order[-1] != CONFIRMATION:
        raise ContractError(f"flow {version} has a step twice, or does not end with {CONFIRMATION}")
    if unknown := [name for name in flow.order if name not in described or name not in ANSWERS.fields_by_name]:
        raise ContractError(f"flow {version}: {', '.join(unknown)} is no step that is described, and of the contract")
    if unused := sorted(flow.steps.keys() - set(flow.order)):
        raise ContractError(f"flow {version} describes {', '.join(unused)}, which it does not ask")
    steps = tuple(_step(number, name, described[name]) for number, name in enumerate(flow.order))
    refuse_incomplete(version, [write for step in steps for write in step.writes])
    return Flow(version, steps)


def _described(version: str, data: Mapping[str, _FlowData], based_on_it: tuple[str, ...]) -> dict[str, _StepData]:
    """The steps that a version describes itself or takes over."""
    if version not in data or version in based_on_it:
        raise ContractError(f"flow {based_on_it[-1]} is based on {version}, which is no flow, or based on it")
    base, own = data[version].based_on, data[version].steps
    return {**(_described(base, data, (*based_on_it, version)) if base else {}), **own}


def _step(number: int, name: str, data: _StepData) -> Step:
    section = ANSWERS.fields_by_name[name].message_type
    fields = list(describe(section, data.fields))
    known = {path for field in fields for path in _paths(field)}
    if lost := [asked.path for asked in data.fields if asked.path not in known]:
        raise ContractError(f"{name}: {', '.join(lost)} is in no group that is asked for")
    if len(known) < len(data.fields):
        raise ContractError(f"{name} asks for something twice")
    if inner := [asked.path for asked in data.fields if asked.required and "." in asked.path]:
        raise ContractError(f"{name}: {', '.join(inner)} is inside a group; the contract says what a group needs")
    if data.optional and any(field.required for field in fields):
        raise ContractError(f"{name} is optional, and something in it is required")
    definition = pb.OnboardingStep(
        step=number,
        name=name,
        title=data.title,
        text=data.text,
        optional=data.optional,
        fields=fields,
    )
    required = tuple(asked.path for asked in data.fields if asked.required)
    return Step(number, name, definition, required, tuple(parse(name, section, data.writes)))


def _paths(field: pb.OnboardingField) -> set[str]:
    return {field.path, *(path for inner in field.fields for path in _paths(inner))}
