"""A person's audit trail over real services: one list, whole, in order, page by page."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.caller import Caller
from tests.databases import ServiceDatabase
from tests.harness import Running, forged, make_trust, person, reason
from tests.services import serving
from vitalis.identity.v1 import audit_pb2 as pb
from vitalis.identity.v1 import audit_pb2_grpc
from vitalis.tracking.v1 import wearables_pb2, wearables_pb2_grpc


class Both:
    """Identity and tracking, of which tracking can be stopped."""

    def __init__(self, directory: Path, databases: dict[str, ServiceDatabase]) -> None:
        self._directory = directory
        self._trust = make_trust(directory)
        self._databases = databases
        self._identity = AsyncExitStack()
        self._tracking = AsyncExitStack()
        self._listen = "127.0.0.1:0"
        self.newest = datetime.now(UTC) - timedelta(minutes=1)
        self.identity: Running
        self.tracking: Running
        for name in databases:
            self.run(name, "SELECT make_audit_quarters(current_date - 1, current_date)")

    async def start_tracking(self) -> None:
        """Where it was before, if it was."""
        service = serving("tracking", self._directory, self._databases["tracking"], self._trust, listen=self._listen)
        self.tracking = await self._tracking.enter_async_context(service)
        self._listen = self.tracking.target

    async def stop_tracking(self) -> None:
        await self._tracking.aclose()

    async def start_identity(self) -> None:
        services = {"tracking": self._listen}
        service = serving("identity", self._directory, self._databases["identity"], self._trust, services=services)
        self.identity = await self._identity.enter_async_context(service)

    async def stop_identity(self) -> None:
        await self._identity.aclose()

    def run(self, service: str, statement: str, *parameters: object) -> None:
        with psycopg.connect(self._databases[service].migrator_url) as connection:
            connection.execute(statement.encode(), parameters or None)

    async def trail(self, caller: Caller, **fields: Any) -> pb.ListAuditTrailResponse:
        stub = audit_pb2_grpc.AuditServiceStub(self.identity.channel)
        request = pb.ListAuditTrailRequest(user_id=caller.subject, **fields)
        return await stub.ListAuditTrail(request, metadata=self.identity.metadata(caller), timeout=30)

    def enter(
        self,
        service: str,
        owner: Caller,
        seconds_ago: int,
        count: int = 1,
        *,
        action: str = "UPDATE",
        table: str = "things",
    ) -> None:
        """Entries as they were that long ago, each a second further back."""
        self.run(
            service,
            "INSERT INTO audit_log (audit_id, user_id, action_by, action, table_name, created_at)"
            " SELECT gen_random_uuid(), %s, 'x', %s, %s, %s - n * interval '1 second' FROM generate_series(0, %s) n",
            owner.subject, action, table, self.newest - timedelta(seconds=seconds_ago), count - 1,
        )  # fmt: skip

    async def walk(self, caller: Caller, page_size: int, **fields: Any) -> list[Any]:
        entries: list[Any] = []
        token = ""
        while True:
            page = await self.trail(caller, page_size=page_size, page_token=token, **fields)
            assert page.unavailable_services == []
            assert len(page.entries) == page_size or not page.next_page_token
            entries += page.entries
            token = page.next_page_token
            if not token:
                return entries


@pytest.fixture
async def both(tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Both]:
    both = Both(tmp_path, {name: clone_database(name) for name in ("identity", "tracking")})
    await both.start_tracking()
    await both.start_identity()
    yield both
    await both.stop_identity()
    await both.stop_tracking()


def key(entry: Any) -> tuple[int, int, str]:
    return entry.created_at.seconds, entry.created_at.nanos, entry.id


@pytest.mark.parametrize("page_size", [1, 3, 7, 100])
async def test_pages_over_services_hold_every_entry_once_and_in_order(both: Both, page_size: int) -> None:
    ada = person()
    both.enter("identity", ada, 0, 3)
    both.enter("tracking", ada, 1, 10)
    both.enter("identity", ada, 8, 6)
    both.enter("identity", person(), 0, 3)
    entries = await both.walk(ada, page_size)
    assert len({entry.id for entry in entries}) == len(entries) == 19
    assert entries == sorted(entries, key=key, reverse=True)
    assert [entry.service for entry in entries].count("tracking") == 10


async def test_many_entries_of_one_instant_are_told_apart(both: Both) -> None:
    ada = person()
    for _ in range(4):
        both.enter("identity", ada, 0)
        both.enter("tracking", ada, 0)
    entries = await both.walk(ada, 3)
    assert len({entry.id for entry in entries}) == len(entries) == 8


async def test_what_happens_during_the_walk_is_on_none_of_its_pages(both: Both) -> None:
    ada = person()
    both.enter("identity", ada, 0, 4)
    first = await both.trail(ada, page_size=2)
    await write_activity(both, ada)
    rest = await both.trail(ada, page_size=10, page_token=first.next_page_token)
    assert len(rest.entries) == 2
    assert (await both.trail(ada)).entries[0].service == "tracking"


async def test_filters_hold_for_every_service(both: Both) -> None:
    ada = person()
    for service in ("identity", "tracking"):
        both.enter(service, ada, 0, 2, action="LOGIN")
        both.enter(service, ada, 10, 2, table="sessions")
    assert {entry.action for entry in await both.walk(ada, 3, action="LOGIN")} == {"LOGIN"}
    assert len(await both.walk(ada, 3, action="LOGIN")) == 4
    assert len(await both.walk(ada, 3, table_name="sessions")) == 4
    moment = Timestamp()
    moment.FromDatetime(both.newest - timedelta(seconds=5))
    assert {entry.table_name for entry in await both.walk(ada, 3, start_time=moment)} == {"things"}
    assert {entry.table_name for entry in await both.walk(ada, 3, end_time=moment)} == {"sessions"}
    edge = Timestamp()
    edge.FromDatetime(both.newest - timedelta(seconds=10))
    assert len(await both.walk(ada, 3, start_time=edge)) == 6
    assert len(await both.walk(ada, 3, end_time=edge)) == 2


async def test_a_service_that_is_away_is_named_and_caught_up_with(both: Both) -> None:
    ada = person()
    both.enter("identity", ada, 0, 6)
    both.enter("tracking", ada, 0, 3)
    await both.stop_tracking()
    page = await both.trail(ada, page_size=2)
    assert page.unavailable_services == ["tracking"]
    assert [entry.service for entry in page.entries] == ["identity"] * 2
    # What is there is listed to its end.
    rest = await both.trail(ada, page_size=10, page_token=page.next_page_token)
    assert (len(rest.entries), rest.next_page_token, list(rest.unavailable_services)) == (4, "", ["tracking"])
    await both.start_tracking()
    (channel,) = both.identity.parts.channels
    await channel.channel_ready()
    rest = await both.trail(ada, page_size=10, page_token=page.next_page_token)
    assert rest.unavailable_services == []
    services = [entry.service for entry in rest.entries]
    assert (services.count("tracking"), services.count("identity")) == (3, 4)


async def test_nobody_but_the_person_reads_it(both: Both) -> None:
    ada = person()
    both.enter("identity", ada, 0)
    for stranger in (person(), Caller(person().subject, ada.subject, "coach", frozenset({"profile.read"}))):
        stub = audit_pb2_grpc.AuditServiceStub(both.identity.channel)
        request = pb.ListAuditTrailRequest(user_id=ada.subject)
        call = stub.ListAuditTrail(request, metadata=both.identity.metadata(stranger), timeout=30)
        assert await reason(call) in ("SUBJECT_MISMATCH", "SCOPE_MISSING")


async def test_a_token_is_of_one_list(both: Both) -> None:
    ada = person()
    both.enter("identity", ada, 0, 4)
    token = (await both.trail(ada, page_size=2)).next_page_token
    assert await reason(both.trail(ada, page_token=token, action="LOGIN")) == "INVALID_PAGE_TOKEN"
    for wrong in (token[:-4], forged(token, "now", "{}"), forged(token, "9" * 30, "{}"), forged(token, "0", "[")):
        assert await reason(both.trail(ada, page_token=wrong)) == "INVALID_PAGE_TOKEN"


async def test_an_instant_that_no_calendar_has_is_refused(both: Both) -> None:
    assert await reason(both.trail(person(), start_time=Timestamp(seconds=10**14))) == "INVALID_FIELD"
    assert await reason(both.trail(person(), end_time=Timestamp(seconds=-(10**14)))) == "INVALID_FIELD"


async def write_activity(both: Both, owner: Caller) -> None:
    """As the person, through tracking itself."""
    stub = wearables_pb2_grpc.WearablesServiceStub(both.tracking.channel)
    activity = wearables_pb2.WearableActivity(activity_date="2026-01-15", source="manual", activity_type="yoga")
    request = wearables_pb2.CreateWearableActivityRequest(user_id=owner.subject, wearable_activity=activity)
    await stub.CreateWearableActivity(request, metadata=both.tracking.metadata(owner), timeout=30)


async def test_what_a_person_does_is_in_their_trail_with_its_values(both: Both) -> None:
    ada = person()
    await write_activity(both, ada)
    (entry,) = (await both.trail(ada)).entries
    assert (entry.service, entry.action, entry.table_name) == ("tracking", "INSERT", "wearable_activities")
    assert (entry.action_by, entry.actor_role, entry.request_id) == (ada.subject, "user", "request-1")
    assert entry.new_values["activity_type"] == "yoga"
    assert not entry.HasField("old_values")
    assert not entry.HasField("grant_id")
