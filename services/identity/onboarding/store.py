"""One person's onboarding: read, shown and written."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.onboarding.answers import assess, from_text, to_text
from services.identity.onboarding.definitions import CONFIRMATION, Flow, Flows, Step
from services.identity.onboarding.tables import onboarding_states
from services.identity.users import LIVING, timestamp, users
from services.kit.caller import current
from services.kit.database import Statement, changed_at, uuid7
from services.kit.errors import ServiceError, Violation, etag_mismatch, not_found
from services.kit.vault import GENERAL, Vault, unreadable, vault_of, wrapped_key
from vitalis.identity.v1 import onboarding_pb2 as pb

# In the order of _Row.
COLUMNS = (
    onboarding_states.c.id,
    onboarding_states.c.current_step,
    onboarding_states.c.completed_steps,
    onboarding_states.c.step_data,
    onboarding_states.c.flow_version,
    onboarding_states.c.started_at,
    onboarding_states.c.last_activity_at,
    onboarding_states.c.completed_at,
    onboarding_states.c.device_type,
    onboarding_states.c.reset_reason,
)
# A living person who has not begun has one of nulls here.
_READ = (
    sa.select(*COLUMNS, wrapped_key())
    .select_from(users.outerjoin(onboarding_states, onboarding_states.c.user_id == users.c.id))
    .where(*LIVING)
)
FIND = Statement(_READ)
LOCK_PERSON = sa.select(users.c.id).where(*LIVING).with_for_update(key_share=True)
SUBJECT = onboarding_states.c.user_id == sa.bindparam("subject", type_=sa.Uuid(as_uuid=False))
WRITTEN = (
    "current_step",
    "completed_steps",
    "step_data",
    "flow_version",
    "session_id",
    "device_type",
    "user_agent",
)
_INSERT = insert(onboarding_states).values(
    {name: sa.bindparam(name, type_=onboarding_states.c[name].type) for name in ("id", "user_id", *WRITTEN)}
)
# Made once, as making it takes longer than executing it.
UPSERT = _INSERT.on_conflict_do_update(
    index_elements=["user_id"],
    set_={
        **{name: _INSERT.excluded[name] for name in WRITTEN},
        # A transaction that waited for the person may be older than what it finds.
        "last_activity_at": sa.func.greatest(sa.func.now(), onboarding_states.c.started_at),
        "updated_at": changed_at(onboarding_states),
    },
).returning(onboarding_states.c.started_at, onboarding_states.c.last_activity_at, onboarding_states.c.device_type)
NOTE_STEPS = sa.text(
    "INSERT INTO onboarding_step_events"
    " (user_id, onboarding_id, flow_version, step, step_name, started_at, completed_at)"
    " SELECT CAST(:user_id AS uuid), :onboarding_id, :flow_version, step, name,"
    " CASE WHEN is_done THEN now() - make_interval(secs => :seconds_shown) ELSE now() END,"
    " CASE WHEN is_done THEN now() END"
    " FROM unnest(CAST(:steps AS smallint[]), CAST(:names AS text[]), CAST(:done AS boolean[]))"
    " AS come_to (step, name, is_done)"
    " ON CONFLICT (user_id, onboarding_id, flow_version, step) DO UPDATE"
    " SET completed_at = coalesce(onboarding_step_events.completed_at,"
    " CASE WHEN excluded.completed_at IS NOT NULL"
    " THEN greatest(excluded.completed_at, onboarding_step_events.started_at) END)"
)
LONGEST_USER_AGENT, LONGEST_SESSION_ID = 1000, 255


@dataclass(frozen=True)
class Onboarding:
    """How far somebody has come. `id` is None before they have begun; what is `missing` counts as not done.

    `chosen_step` is where they went back to.
    """

    user_id: str
    id: UUID | None
    flow: Flow
    answers: pb.OnboardingAnswers
    missing: Mapping[int, Sequence[Violation]]
    chosen_step: int | None = None
    started_at: datetime | None = None
    last_activity_at: datetime | None = None
    completed_at: datetime | None = None
    device_type: str | None = None
    reset_reason: str | None = None

    @property
    def next_step(self) -> Step | None:
        """The first step that is not done; None if all are."""
        return self.flow.steps[min(self.missing)] if self.missing else None

    @property
    def current_step(self) -> Step:
        """The step that the person is at: the next one, or an earlier one that they went back to."""
        following = self.next_step or self.flow.steps[-1]
        if self.chosen_step is not None and self.chosen_step < following.number:
            return self.flow.steps[self.chosen_step]
        return following

    @property
    def completed_steps(self) -> list[int]:
        return [step.number for step in self.flow.steps if step.number not in self.missing]

    def message(self) -> pb.OnboardingState:
        """What the person is shown. Its etag is a digest of all of it."""
        names = self.flow.steps
        state = pb.OnboardingState(
            user_id=self.user_id,
            flow_version=self.flow.version,
            current_step=self.current_step.number,
            current_step_name=self.current_step.name,
            completed_steps=self.completed_steps,
            missing=[
                pb.MissingStep(
                    step=number,
                    name=names[number].name,
                    fields=[pb.MissingAnswer(field=each.field, description=each.description) for each in lacks],
                )
                for number, lacks in self.missing.items()
            ],
            progress_pct=round(100 * len(self.completed_steps) / len(names), 1),
            answers=self.answers,
            started_at=_moment(self.started_at),
            last_activity_at=_moment(self.last_activity_at),
            completed_at=_moment(self.completed_at),
            device_type=self.device_type,
            reset_reason=self.reset_reason,
        )
        state.etag = hashlib.sha256(state.SerializeToString(deterministic=True)).hexdigest()[:32]
        return state


def _moment(value: datetime | None) -> Any:
    return timestamp(value) if value else None


def read(row: Sequence[Any], user_id: str, flows: Flows, vault: Vault) -> Onboarding:
    """A row of FIND.

    Whose flow is no longer there goes on in the default one: what they have
    answered stays, as far as that flow asks for it, and they are at its first
    step that is not done. The next thing that they save makes it so.
    """
    row_id, chosen, _, step_data, version, started_at, last_activity_at, completed_at, device_type, why, wrapped = row
    if row_id is None:
        answers = pb.OnboardingAnswers()
        return Onboarding(user_id, None, flows.default, answers, assess(flows.default, answers))
    flow = flows.get(version)
    known = flow is not None
    flow = flow or flows.default
    answers = pb.OnboardingAnswers()
    missing: Mapping[int, Sequence[Violation]] = {}
    if completed_at is None:
        if step_data is not None:
            answers = from_text(opened(onboarding_states.c.step_data, step_data, row_id, user_id, wrapped, vault))
        for name in {field.name for field, _ in answers.ListFields()} - flow.by_name.keys():
            answers.ClearField(name)  # type: ignore[arg-type]
        missing = assess(flow, answers)
    return Onboarding(
        user_id,
        row_id,
        flow,
        answers,
        missing,
        chosen if known else None,
        started_at,
        last_activity_at,
        completed_at,
        device_type,
        why and opened(onboarding_states.c.reset_reason, why, row_id, user_id, wrapped, vault),
    )


async def seal(connection: AsyncConnection, column: sa.Column[Any], row_id: UUID, text: str) -> bytes:
    """A text of the onboarding of that id, as the column stores it."""
    key = await vault_of(connection).key(connection)
    return key.encrypt(column.table.name, column.name, row_id, text)


def opened(
    column: sa.Column[Any], stored: bytes, row_id: UUID, user_id: str, wrapped: bytes | None, vault: Vault
) -> str:
    """What `seal` has stored, with the key that `wrapped_key` has selected."""
    if wrapped is None:
        raise unreadable(column.table.name, column.name)
    key = vault.open(str(UUID(user_id)), GENERAL, wrapped)
    return key.decrypt(column.table.name, column.name, row_id, stored)


async def lock(connection: AsyncConnection, user_id: str, flows: Flows, etag: str = "") -> Onboarding:
    """The person's onboarding, nobody else's to change until the transaction ends. Raises NOT_FOUND, ETAG_MISMATCH."""
    # The person is locked and not the row, which need not be there yet; and it is read after that, as it is then.
    if (await connection.execute(LOCK_PERSON, {"user_id": user_id})).first() is None:
        raise not_found("person")
    row = (await connection.execute(_READ, {"user_id": user_id})).one()
    onboarding = read(tuple(row), user_id, flows, vault_of(connection))
    if etag and etag != (present := onboarding.message().etag):
        raise etag_mismatch("onboarding", present)
    return onboarding


def refuse_completed(onboarding: Onboarding) -> None:
    """Raises ONBOARDING_COMPLETED."""
    if onboarding.completed_at:
        raise ServiceError("ONBOARDING_COMPLETED", "the onboarding is complete; change the profile instead")


async def write(
    connection: AsyncConnection,
    before: Onboarding,
    answers: pb.OnboardingAnswers,
    missing: Mapping[int, Sequence[Violation]],
    *,
    saved: Step | None = None,
    chosen_step: int | None = None,
    device_type: str | None = None,
    seconds_shown: int = 0,
) -> Onboarding:
    """Stores the answers of an onboarding that `lock` has locked, and what they leave `missing`.

    `saved` is the step that was saved, `seconds_shown` how long it was on the screen before.
    """
    row_id = before.id or uuid7()
    after = replace(before, id=row_id, answers=answers, missing=missing, chosen_step=chosen_step)
    caller = current()
    values = {
        "id": row_id,
        "user_id": UUID(before.user_id),
        "current_step": after.current_step.number,
        "completed_steps": after.completed_steps,
        "step_data": await seal(connection, onboarding_states.c.step_data, row_id, to_text(answers)),
        "flow_version": after.flow.version,
        "session_id": caller.session_id[:LONGEST_SESSION_ID] or None,
        "device_type": device_type or before.device_type,
        "user_agent": caller.user_agent[:LONGEST_USER_AGENT] or None,
    }
    stored = (await connection.execute(UPSERT, values)).one()
    # The confirmation is done when the profile is made.
    done = [(saved, True)] if saved and saved.name != CONFIRMATION else []
    come_to = [(after.current_step, False)] if after.current_step is not saved else []
    if steps := [*done, *come_to]:
        await note_steps(connection, after.user_id, row_id, after.flow, steps, seconds_shown=seconds_shown)
    return replace(
        after,
        started_at=stored.started_at,
        last_activity_at=stored.last_activity_at,
        device_type=stored.device_type,
    )


async def note_steps(
    connection: AsyncConnection,
    user_id: str,
    onboarding_id: UUID,
    flow: Flow,
    steps: Sequence[tuple[Step, bool]],
    *,
    seconds_shown: int = 0,
) -> None:
    """That steps were come to, and which of them are done now; what was noted before stays.

    One that is done and was not noted before, which is the first, was come to that many seconds ago.
    """
    values = {
        "user_id": user_id,
        "onboarding_id": onboarding_id,
        "flow_version": flow.version,
        "steps": [step.number for step, _ in steps],
        "names": [step.name for step, _ in steps],
        "done": [is_done for _, is_done in steps],
        "seconds_shown": seconds_shown,
    }
    await connection.execute(NOTE_STEPS, values)
