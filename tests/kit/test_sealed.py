"""A resource with encrypted columns: its methods work as any other's, and its table tells nothing."""

import importlib
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any, NamedTuple

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from psycopg.rows import dict_row

from services.kit.caller import Caller
from services.kit.contract import ContractError
from services.kit.database import Database, new_metadata, owned
from services.kit.idempotency import idempotency_keys
from services.kit.parts import Parts, Service
from services.kit.personal import PersonalData
from services.kit.resources import Resource, create, delete, get, list_, undelete, update
from services.kit.server import Server
from services.kit.settings import ServiceSettings
from services.kit.vault import ENCRYPTED, GENERAL, MENTAL_WELLNESS, destroy_keys
from tests.databases import ServiceDatabase
from tests.harness import Running, Trust, person, reason, running, write_keyset

NOTES = "I could not sleep, and thought of K."
SECRET = "Ω: nobody knows"


def diaries(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "diaries",
        metadata,
        *owned(),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("mood", sa.Integer),
        sa.Column("notes", sa.LargeBinary),
        sa.Column("secret", sa.LargeBinary),
        sa.PrimaryKeyConstraint("user_id", "id"),
    )


class Diaries(NamedTuple):
    """The running service and what its tests ask of it."""

    running: Running
    pb: Any
    stub: Any

    async def call(self, name: str, caller: Caller, **given: Any) -> Any:
        request = getattr(self.pb, f"{name}Request")(user_id=caller.subject, **given)
        return await getattr(self.stub, name)(request, metadata=self.running.metadata(caller), timeout=30)

    async def create(self, caller: Caller, request_id: str = "", **fields: Any) -> Any:
        diary = self.pb.Diary(**{"date": "2026-03-29", **fields})
        return (await self.call("CreateDiary", caller, diary=diary, request_id=request_id)).diary

    async def get(self, caller: Caller, row_id: str) -> Any:
        return (await self.call("GetDiary", caller, id=row_id)).diary

    def stored(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.running.database.migrator_url, row_factory=dict_row) as owner:
            cursor = owner.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def modules(probe_modules: tuple[ModuleType, ModuleType]) -> tuple[Any, Any]:
    package = "vitalis.probe.v1"
    return importlib.import_module(f"{package}.diaries_pb2"), importlib.import_module(f"{package}.diaries_pb2_grpc")


@pytest.fixture
def database(clone_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
    """Identity's, for its keys, and a table."""
    database = clone_database("identity")
    metadata = new_metadata()
    diaries(metadata)
    engine = sa.create_engine(database.migrator_url.replace("postgresql:", "postgresql+psycopg:", 1))
    metadata.create_all(engine)
    engine.dispose()
    mine = "user_id = (SELECT nullif(current_setting('app.subject_id', true), '')::uuid)"
    with psycopg.connect(database.migrator_url) as owner:
        owner.execute("ALTER TABLE diaries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        owner.execute(f"CREATE POLICY owner ON diaries USING ({mine}) WITH CHECK ({mine})".encode())
        owner.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON diaries TO vitalis_app")
    return database


def diary_service(pb: Any, pb_grpc: Any) -> Service[ServiceSettings]:
    metadata = new_metadata()
    resource = Resource(
        pb.Diary,
        diaries(metadata),
        what="diary",
        order_by=("date", "id"),
        idempotency_keys=idempotency_keys(metadata),
        encrypted=("notes", "secret"),
        purpose=MENTAL_WELLNESS,
    )

    class DiariesServicer(pb_grpc.DiariesServiceServicer):  # type: ignore[misc]
        CreateDiary = create(resource)
        GetDiary = get(resource)
        ListDiaries = list_(resource)
        UpdateDiary = update(resource)
        DeleteDiary = delete(resource)
        UndeleteDiary = undelete(resource)

        def __init__(self, database: Database) -> None:
            self.database = database

    def build(settings: ServiceSettings, database: Database) -> Parts:
        return Parts([DiariesServicer(database)])

    return Service("probe", ServiceSettings, build)


@pytest.fixture
async def service(
    modules: tuple[Any, Any], settings: ServiceSettings, database: ServiceDatabase, trust: Trust
) -> AsyncIterator[Diaries]:
    keyset = write_keyset(trust.caller_key_file.with_name("vault.json"))
    with_keyset = settings.model_copy(update={"vault_keyset_file": keyset})
    async with running(diary_service(*modules), with_keyset, database, trust) as one:
        yield Diaries(one, modules[0], modules[1].DiariesServiceStub(one.channel))


async def test_text_comes_back_and_the_database_holds_none_of_it(service: Diaries) -> None:
    ada = person()
    made = await service.create(ada, request_id="once", notes=NOTES, secret=SECRET, mood=3)
    assert (made.notes, made.secret, made.mood) == (NOTES, SECRET, 3)
    assert await service.get(ada, made.id) == made
    page = await service.call("ListDiaries", ada)
    assert list(page.diaries) == [made]
    tables = service.stored(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    )
    for table in tables:
        with psycopg.connect(service.running.database.migrator_url) as owner:
            rows = owner.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table["relname"]))).fetchall()
        assert not [row for row in rows if b"thought of K" in str(row).encode() or b"nobody knows" in str(row).encode()]


async def test_a_row_without_text_needs_no_key(service: Diaries) -> None:
    ada = person()
    made = await service.create(ada, mood=3)
    assert (made.notes, made.HasField("secret")) == ("", False)
    assert await service.get(ada, made.id) == made
    assert list((await service.call("ListDiaries", ada)).diaries) == [made]
    assert service.stored("SELECT user_id FROM data_keys WHERE user_id = %s", ada.subject) == []
    changed = await service.call("UpdateDiary", ada, id=made.id, diary=service.pb.Diary(notes=NOTES))
    assert changed.diary.notes == NOTES
    empty = await service.create(ada, secret="")
    assert (await service.get(ada, empty.id)).HasField("secret")


async def test_changes_keep_what_they_do_not_name(service: Diaries) -> None:
    ada = person()
    made = await service.create(ada, notes=NOTES, secret=SECRET)
    before = service.stored("SELECT notes, secret FROM diaries")[0]
    mask = {"paths": ["notes"]}
    change = service.pb.Diary(notes="better", etag=made.etag)
    changed = await service.call("UpdateDiary", ada, id=made.id.upper(), diary=change, update_mask=mask)
    assert (changed.diary.notes, changed.diary.secret) == ("better", SECRET)
    after = service.stored("SELECT notes, secret FROM diaries")[0]
    assert (after["secret"], after["notes"] != before["notes"]) == (before["secret"], True)
    mask = {"paths": ["notes", "secret"]}
    cleared = await service.call("UpdateDiary", ada, id=made.id, diary=service.pb.Diary(), update_mask=mask)
    assert (cleared.diary.notes, cleared.diary.HasField("secret")) == ("", False)
    assert service.stored("SELECT notes, secret FROM diaries") == [{"notes": None, "secret": None}]


async def test_what_is_deleted_is_shown_to_who_asks_and_comes_back(service: Diaries) -> None:
    ada = person()
    made = await service.create(ada, notes=NOTES)
    await service.call("DeleteDiary", ada, id=made.id)
    assert not (await service.call("ListDiaries", ada)).diaries
    assert (await service.call("ListDiaries", ada, show_deleted=True)).diaries[0].notes == NOTES
    assert (await service.call("UndeleteDiary", ada, id=made.id)).diary.notes == NOTES


async def test_pages_go_through_all_rows(service: Diaries) -> None:
    ada = person()
    for day in range(1, 6):
        await service.create(ada, date=f"2026-03-0{day}", notes=f"day {day}")
    seen: list[str] = []
    token = ""
    while token or not seen:
        page = await service.call("ListDiaries", ada, page_size=2, page_token=token)
        seen += [diary.notes for diary in page.diaries]
        token = page.next_page_token
    assert seen == [f"day {day}" for day in (5, 4, 3, 2, 1)]


async def test_a_repeated_request_answers_as_the_first(service: Diaries) -> None:
    ada = person()
    made = await service.create(ada, request_id="once", notes=NOTES)
    assert await service.create(ada, request_id="once", notes=NOTES) == made
    assert await reason(service.create(ada, request_id="once", notes="other")) == "REQUEST_ID_REUSED"
    assert service.stored("SELECT count(*) FROM diaries") == [{"count": 1}]
    # One that was used for something that is not encrypted.
    service.stored("UPDATE idempotency_keys SET method = 'other', request_sha256 = '' RETURNING 1")
    assert await reason(service.create(ada, request_id="once", notes=NOTES)) == "REQUEST_ID_REUSED"


MOVES = {
    "another column": "UPDATE diaries SET secret = notes WHERE id = %(first)s",
    "another row": "UPDATE diaries SET notes = (SELECT notes FROM diaries WHERE id = %(second)s) WHERE id = %(first)s",
    "another person": "UPDATE diaries SET notes = (SELECT notes FROM diaries WHERE id = %(hers)s) WHERE id = %(first)s",
    "another person's row": "UPDATE diaries SET user_id = %(ada)s, id = %(new)s WHERE id = %(hers)s",
    "another purpose": "UPDATE data_keys SET purpose = 'general' WHERE user_id = %(ada)s",
    "another person's key": "UPDATE data_keys SET wrapped_key = (SELECT wrapped_key FROM data_keys"
    " WHERE user_id = %(eve)s) WHERE user_id = %(ada)s",
    "damage": "UPDATE diaries SET notes = set_byte(notes, 20, get_byte(notes, 20) # 1) WHERE id = %(first)s",
    "clear text": "UPDATE diaries SET notes = 'put in by hand' WHERE id = %(first)s",
}


@pytest.mark.parametrize("move", MOVES)
async def test_ciphertext_that_was_moved_is_refused(service: Diaries, move: str) -> None:
    ada, eve = person(), person()
    first, second = await service.create(ada, notes=NOTES), await service.create(ada, notes="second")
    hers = await service.create(eve, notes="hers")
    places = {"ada": ada.subject, "eve": eve.subject, "new": person().subject}
    places |= {"first": first.id, "second": second.id, "hers": hers.id}
    with psycopg.connect(service.running.database.migrator_url) as owner:
        assert owner.execute(MOVES[move].encode(), places).rowcount == 1
    row_id = places["new"] if move == "another person's row" else first.id
    assert await reason(service.get(ada, row_id)) == "INTERNAL"
    assert await reason(service.call("ListDiaries", ada)) == "INTERNAL"
    assert await reason(service.call("DeleteDiary", ada, id=row_id)) == "INTERNAL"


async def test_nothing_is_read_once_the_keys_are_destroyed(service: Diaries) -> None:
    ada = person()
    made = await service.create(ada, notes=NOTES)
    async with service.running.pool.transaction(ada) as connection:
        await destroy_keys(connection, MENTAL_WELLNESS)
    assert await reason(service.get(ada, made.id)) == "INTERNAL"
    # A new key does not open what the old one closed.
    again = await service.create(ada, notes="a new life")
    assert await reason(service.get(ada, made.id)) == "INTERNAL"
    assert (await service.get(ada, again.id)).notes == "a new life"


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"encrypted": ("mood",)}, "diaries.mood is encrypted, so its column must be LargeBinary"),
        ({"encrypted": ("notes",), "filters": ("notes",)}, "notes is encrypted, and cannot be looked up"),
        ({"encrypted": ("notes",), "natural_key": ("date",)}, "a batch upsert writes nothing that is encrypted"),
    ],
)
def test_what_cannot_work_is_refused_at_start(modules: tuple[Any, Any], declared: dict[str, Any], why: str) -> None:
    with pytest.raises(ContractError, match=why):
        Resource(modules[0].Diary, diaries(new_metadata()), what="diary", order_by=("date", "id"), **declared)


def test_a_service_with_encrypted_columns_does_not_start_without_its_keys(
    settings: ServiceSettings, database: ServiceDatabase
) -> None:
    metadata = new_metadata()
    sa.Table("diaries", metadata, *owned(), sa.Column("notes", sa.LargeBinary, info={ENCRYPTED: GENERAL}))
    parts = Parts([], personal=PersonalData(metadata))
    with pytest.raises(ContractError, match=r"diaries\.notes: .* needs the setting vault_keyset_file"):
        Server("probe", settings, Database(database.app_url), parts)
