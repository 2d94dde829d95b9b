"""What administrators do about onboardings: see who has left theirs, and where people do; have somebody begin anew.

Lists and counts come from functions in the database, which answer nothing of
what was answered and nobody but an administrator. A reset is done on the
person's own rows, as the transaction's subject.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.admin import refuse_others
from services.identity.coaching_profile.changes import archive
from services.identity.onboarding.definitions import Flow, Flows
from services.identity.onboarding.store import SUBJECT, lock, seal
from services.identity.onboarding.tables import onboarding_states
from services.identity.privacy.consents import given_consent
from services.identity.users import timestamp, users
from services.kit import audit
from services.kit.database import Database, changed_at, now, uuid7
from services.kit.errors import ServiceError, Violation, all_wrong, invalid, not_found
from services.kit.paging import (
    decode_token,
    encode_token,
    instant_of,
    instant_text,
    page_size,
    read_instant,
    read_position,
)
from vitalis.identity.v1 import onboarding_admin_pb2 as pb
from vitalis.identity.v1 import onboarding_admin_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
CONSENT = "onboarding_reset"
RESET = "ONBOARDING_RESET"
PERIOD = timedelta(days=29)
# In the order in which the functions answer.
COLUMNS = (
    onboarding_states.c.user_id,
    users.c.email,
    users.c.display_name,
    onboarding_states.c.flow_version,
    onboarding_states.c.current_step,
    onboarding_states.c.completed_steps,
    onboarding_states.c.started_at,
    onboarding_states.c.last_activity_at,
    onboarding_states.c.device_type,
)
MOMENTS = ("started_from", "started_until", "active_from", "active_until")
LIST = sa.select(
    sa.func.list_incomplete_onboardings(
        sa.bindparam("flow_version", type_=sa.Text),
        sa.bindparam("current_step", type_=sa.Integer),
        *(sa.bindparam(name, type_=sa.DateTime(timezone=True)) for name in MOMENTS),
        sa.bindparam("before", type_=sa.DateTime(timezone=True)),
        sa.bindparam("before_user", type_=sa.Uuid),
        sa.bindparam("most", type_=sa.Integer),
    ).table_valued(*(sa.column(column.name, column.type) for column in COLUMNS))
)
NOT_BEGUN = sa.select(
    sa.func.list_people_not_begun(
        sa.bindparam("before", type_=sa.Uuid), sa.bindparam("most", type_=sa.Integer)
    ).table_valued(*map(sa.column, ("user_id", "email", "display_name", "signed_up_at")))
)
PERSON = (
    sa.select(*COLUMNS)
    .select_from(onboarding_states.join(users, users.c.id == onboarding_states.c.user_id))
    .where(SUBJECT)
)


def _figures(function: Any, message: Any) -> sa.Select[Any]:
    columns: list[sa.ColumnClause[Any]] = [sa.column(field.name) for field in message.DESCRIPTOR.fields]
    return sa.select(
        function(
            sa.bindparam("flow_version", type_=sa.Text),
            sa.bindparam("since", type_=sa.DateTime(timezone=True)),
            sa.bindparam("until", type_=sa.DateTime(timezone=True)),
        ).table_valued(*columns)
    )


STEP_FIGURES = _figures(sa.func.onboarding_step_figures, pb.OnboardingStepFigures)
DAY_FIGURES = _figures(sa.func.onboarding_day_figures, pb.OnboardingDayFigures)


class OnboardingAdminServicer(onboarding_admin_pb2_grpc.OnboardingAdminServiceServicer):
    def __init__(self, database: Database, flows: Flows) -> None:
        self._database = database
        self._flows = flows

    async def ListIncompleteOnboardings(
        self, request: pb.ListIncompleteOnboardingsRequest, context: Context
    ) -> pb.ListIncompleteOnboardingsResponse:
        """A page of onboardings, or of people without one. Raises INVALID_PAGE_TOKEN."""
        if request.not_begun:
            return await self._not_begun(request)
        size = page_size(request.page_size)
        sent = {field.name: value for field, value in request.ListFields()}
        moments = {name: instant_of(name, sent[name]) if name in sent else None for name in MOMENTS}
        step = request.current_step if request.HasField("current_step") else None
        bound_to = (request.DESCRIPTOR.full_name, request.flow_version, *map(str, (step, *moments.values())))
        before, before_user = None, None
        if request.page_token:
            last_moment, last_user = decode_token(request.page_token, 2, *bound_to)
            before, before_user = read_instant(last_moment), read_position(UUID, last_user)
        asked = {"flow_version": request.flow_version, "current_step": step, **moments}
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            found = await connection.execute(
                LIST, {**asked, "before": before, "before_user": before_user, "most": size + 1}
            )
            rows = found.all()
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = encode_token([instant_text(last.last_activity_at), str(last.user_id)], *bound_to)
        return pb.ListIncompleteOnboardingsResponse(
            onboardings=[_onboarding(row) for row in rows[:size]], next_page_token=token
        )

    async def _not_begun(self, request: pb.ListIncompleteOnboardingsRequest) -> pb.ListIncompleteOnboardingsResponse:
        given = {field.name for field, _ in request.ListFields()}
        if senseless := [name for name in ("flow_version", "current_step", *MOMENTS) if name in given]:
            raise all_wrong(
                "INVALID_FIELD", [Violation(name, "is for onboardings that have begun") for name in senseless]
            )
        size = page_size(request.page_size)
        bound_to = (request.DESCRIPTOR.full_name, "not_begun")
        before = None
        if request.page_token:
            (last,) = decode_token(request.page_token, 1, *bound_to)
            before = read_position(UUID, last)
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            rows = (await connection.execute(NOT_BEGUN, {"before": before, "most": size + 1})).all()
        people = [
            pb.IncompleteOnboarding(
                user_id=str(row.user_id),
                email=row.email,
                display_name=row.display_name,
                signed_up_at=timestamp(row.signed_up_at),
            )
            for row in rows[:size]
        ]
        token = encode_token([people[-1].user_id], *bound_to) if len(rows) > size else ""
        return pb.ListIncompleteOnboardingsResponse(onboardings=people, next_page_token=token)

    async def ResetOnboarding(self, request: pb.ResetOnboardingRequest, context: Context) -> pb.ResetOnboardingResponse:
        """The onboarding at its beginning. Raises NOT_FOUND, CONSENT_REQUIRED."""
        flow = self._flows.get(request.flow_version) if request.flow_version else self._flows.default
        if flow is None:
            raise invalid("flow_version", "is none that there is")
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            onboarding = await lock(connection, request.user_id, self._flows)
            if onboarding.id is None:
                raise not_found("onboarding")
            consent_id = await _unused_consent(connection, request.user_id)
            await archive(connection, request.user_id)
            await _begin_anew(connection, request.user_id, flow, consent_id, request.reason)
            # Not why: the trail stays when its person goes, and is no place for what may be about their health.
            await audit.record(connection, RESET, {"flow_version": flow.version}, table=onboarding_states.name)
            row = (await connection.execute(PERSON, {"subject": request.user_id})).one()
        return pb.ResetOnboardingResponse(onboarding=_onboarding(row))

    async def GetOnboardingFunnel(
        self, request: pb.GetOnboardingFunnelRequest, context: Context
    ) -> pb.GetOnboardingFunnelResponse:
        """The figures of the period. Raises INVALID_FIELD if it ends before it begins."""
        last = date.fromisoformat(request.end_date) if request.end_date else now().date()
        first = date.fromisoformat(request.start_date) if request.start_date else max(last, date.min + PERIOD) - PERIOD
        if first > last:
            raise invalid("end_date", "must not be before start_date")
        asked = {
            "flow_version": request.flow_version,
            "since": datetime.combine(first, time(), UTC),
            "until": datetime.combine(last, time.max, UTC),
        }
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            steps = (await connection.execute(STEP_FIGURES, asked)).mappings().all()
            days = (await connection.execute(DAY_FIGURES, asked)).mappings().all()
        return pb.GetOnboardingFunnelResponse(
            steps=[pb.OnboardingStepFigures(**row) for row in steps],
            days=[pb.OnboardingDayFigures(**row) for row in days],
        )


async def _unused_consent(connection: AsyncConnection, user_id: str) -> UUID:
    """The consent that this reset uses up. Raises CONSENT_REQUIRED."""
    given = await given_consent(connection, user_id, CONSENT)
    # Consents are only ever added, so no reset but the last can have used the newest one.
    used = await connection.execute(
        sa.select(onboarding_states.c.reset_consent_id).where(SUBJECT), {"subject": user_id}
    )
    if given is None or given.id == used.scalar_one():
        raise ServiceError("CONSENT_REQUIRED", f"the person has to agree first, to the purpose {CONSENT}")
    return given.id


async def _begin_anew(connection: AsyncConnection, user_id: str, flow: Flow, consent_id: UUID, reason: str) -> None:
    row_id = uuid7()
    cleared = dict.fromkeys(("step_data", "completed_at", "session_id", "device_type", "user_agent"))
    await connection.execute(
        sa.update(onboarding_states)
        .where(SUBJECT)
        .values(
            **cleared,
            id=row_id,
            current_step=0,
            completed_steps=[],
            flow_version=flow.version,
            started_at=sa.func.now(),
            last_activity_at=sa.func.now(),
            updated_at=changed_at(onboarding_states),
            reset_consent_id=consent_id,
            reset_reason=await seal(connection, onboarding_states.c.reset_reason, row_id, reason),
        ),
        {"subject": user_id},
    )
    await connection.execute(
        sa.update(users).where(users.c.id == user_id).values(onboarding_completed_at=None, updated_at=changed_at(users))
    )


def _onboarding(row: Any) -> pb.IncompleteOnboarding:
    return pb.IncompleteOnboarding(
        user_id=str(row.user_id),
        email=row.email,
        display_name=row.display_name,
        flow_version=row.flow_version,
        current_step=row.current_step,
        completed_steps=row.completed_steps,
        started_at=timestamp(row.started_at),
        last_activity_at=timestamp(row.last_activity_at),
        device_type=row.device_type,
    )
