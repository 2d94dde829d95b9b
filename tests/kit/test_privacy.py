"""Export and erasure of a person's rows and files, over tables made for the purpose."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import ProgrammingError

from services.kit.caller import Caller, calling, service_caller
from services.kit.database import Database, new_metadata, owned, uuid7
from services.kit.files import Files
from services.kit.migrate import SUBJECT
from services.kit.personal import CATEGORY, ENCRYPTED, Folder, PersonalData
from services.kit.privacy import PersonData
from services.kit.roles import APP_GROUP
from services.kit.vault import GENERAL, MENTAL_WELLNESS, Vault, data_keys
from tests.databases import ServiceDatabase
from tests.harness import person, write_keyset

metadata = new_metadata()
people = sa.Table("people", metadata, sa.Column("id", sa.Uuid, primary_key=True), sa.Column("hash", sa.LargeBinary))
moods = sa.Table(
    "moods",
    metadata,
    *owned(),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("people.id")),
    sa.Column("score", sa.Numeric(4, 2)),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("details", JSONB),
    sa.Column("notes", sa.LargeBinary, info={ENCRYPTED: "mental_wellness"}),
    sa.PrimaryKeyConstraint("user_id", "id"),
    info={CATEGORY: "mental_wellness"},
)
letters = sa.Table(
    "letters",
    metadata,
    *owned(),
    sa.Column("to_id", sa.Uuid),
    sa.Column("text", sa.Text),
    sa.Column("postscript", sa.LargeBinary, info={ENCRYPTED: "general"}),
    sa.PrimaryKeyConstraint("user_id", "id"),
)
drafts = sa.Table("drafts", metadata, *owned(), sa.PrimaryKeyConstraint("user_id", "id"))
data_keys(metadata)
words = sa.Table("words", metadata, sa.Column("word", sa.Text, primary_key=True))


def data_of(folders: list[Folder]) -> PersonalData:
    return PersonalData(
        metadata,
        owners={"people": "id"},
        mentions={"letters": "to_id"},
        left_out={"drafts": "nobody has seen them"},
        secret={"people": {"hash": "opens the door"}},
        folders=folders,
        locks=["moods:"],
    )


@dataclass
class Probe:
    """A database with the tables, a folder of files, and what exports and erases them."""

    pool: Database
    files: Files
    data: PersonData
    owner: psycopg.Connection[Any]
    database: ServiceDatabase

    async def add(self, table: sa.Table, who: Caller, **values: Any) -> str:
        row: dict[str, Any] = {"id": uuid7(), "user_id": UUID(who.subject), **values}
        row = {name: value for name, value in row.items() if name in table.c}
        async with self.pool.transaction(who) as connection:
            await connection.execute(sa.insert(table).values(**row))
        return str(row["id"])

    async def put(self, who: Caller, name: str, content: bytes) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await self.files.put(f"letters/{who.subject}/{name}", chunks())

    async def export(self, who: Caller) -> tuple[dict[str, list[dict[str, Any]]], dict[str, bytes]]:
        """Rows by table and contents by path."""
        tables: dict[str, list[dict[str, Any]]] = {}
        contents: dict[str, bytes] = {}
        with calling(working(who)):
            async for part in self.data.export():
                match part.WhichOneof("part"):
                    case "table" if part.table.left_out:
                        assert (part.table.name, part.table.left_out) == ("drafts", "nobody has seen them")
                    case "table":
                        columns = list(part.table.columns)
                        rows = tables[part.table.name] = []
                    case "rows":
                        rows += [json.loads(row) for row in part.rows.rows]
                        assert all(list(row) == columns for row in rows)
                    case "file":
                        path = part.file.path
                        contents[path] = b""
                    case "data":
                        contents[path] += part.data
        return tables, contents

    async def erase(self, who: Caller, category: str = "") -> tuple[dict[str, int], int]:
        with calling(working(who)):
            return await self.data.erase(category)

    def everything(self, who: Caller) -> list[str]:
        """The tables that mention the person, as their owner sees them."""
        names = [*metadata.tables, "procrastinate_jobs"]
        found = [
            name
            for name in names
            if self.owner.execute(
                f"SELECT 1 FROM {name} AS t WHERE to_jsonb(t)::text LIKE %s".encode(), [f"%{who.subject}%"]
            ).fetchone()
        ]
        self.owner.rollback()
        return found


def working(who: Caller) -> Caller:
    return service_caller("probe", who.subject)


@pytest.fixture
def owner(database: ServiceDatabase) -> Iterator[psycopg.Connection[Any]]:
    engine = sa.create_engine(sa.make_url(database.migrator_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        metadata.create_all(connection)
        for table in metadata.sorted_tables:
            column = "id" if table is people else "user_id"
            # The vault's table is there already, with its rights.
            if table.name == "data_keys":
                continue
            if column in table.c:
                connection.execute(
                    sa.text(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
                )
                connection.execute(sa.text(f"CREATE POLICY owner ON {table.name} USING ({column} = {SUBJECT})"))
            # No right to delete: erasure does without.
            connection.execute(sa.text(f"GRANT SELECT, INSERT, UPDATE ON {table.name} TO {APP_GROUP}"))
        # As audit_schema.audit_table does in a migration.
        for name in ("moods", "letters"):
            connection.execute(
                sa.text(
                    f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {name} FOR EACH ROW"
                    f" EXECUTE FUNCTION audit_row('{name}', 'user_id', '', '')"
                )
            )
    engine.dispose()
    with psycopg.connect(database.migrator_url) as connection:
        yield connection


@pytest.fixture
async def probe(tmp_path: Path, database: ServiceDatabase, owner: psycopg.Connection[Any]) -> AsyncIterator[Probe]:
    pool = Database(database.app_url, vault=Vault(write_keyset(tmp_path / "vault.json")))
    await pool.open()
    files = Files(f"file://{tmp_path}/objects")
    yield Probe(pool, files, PersonData(pool, data_of([Folder(files, "letters/")]), has_queue=True), owner, database)
    await pool.close()


@pytest.fixture
def ada() -> Caller:
    return person()


@pytest.fixture
def bert() -> Caller:
    return person()


async def fill(probe: Probe, who: Caller, other: Caller) -> None:
    mood, letter = uuid7(), uuid7()
    async with probe.pool.transaction(who) as connection:
        sealed = (await probe.pool.vault.key(connection, MENTAL_WELLNESS)).encrypt(
            "moods", "notes", mood, "a “good” day"
        )
        after = (await probe.pool.vault.key(connection, GENERAL)).encrypt("letters", "postscript", letter, "and:\n\\x")
    await probe.add(people, who, id=UUID(who.subject), hash=b"secret")
    values = {"score": "7.50", "details": {"b": 1, "a": [None]}, "notes": sealed}
    await probe.add(moods, who, id=mood, person_id=UUID(who.subject), **values)
    text = "dear '\n\"\u2028= you"
    await probe.add(letters, who, id=letter, to_id=UUID(other.subject), text=text, postscript=after)
    await probe.add(drafts, who)
    await probe.put(who, "1", b"content")
    await probe.put(who, "2", b"x" * 3_000_000)


async def test_an_export_has_all_tables_and_files_and_no_secret(probe: Probe, ada: Caller, bert: Caller) -> None:
    await fill(probe, ada, bert)
    await fill(probe, bert, ada)
    tables, contents = await probe.export(ada)
    assert set(tables) == {"people", "moods", "letters"}
    assert tables["people"] == [{"id": ada.subject}]
    (mood,), (letter,) = tables["moods"], tables["letters"]
    assert (mood["score"], mood["details"], mood["notes"]) == (7.5, {"b": 1, "a": [None]}, "a “good” day")
    assert (letter["text"], letter["postscript"]) == ("dear '\n\"\u2028= you", "and:\n\\x")
    assert all(row.get("user_id", ada.subject) == ada.subject for rows in tables.values() for row in rows)
    assert contents == {"letters/1": b"content", "letters/2": b"x" * 3_000_000}


async def test_instants_leave_in_utc_whatever_the_server_thinks(probe: Probe, ada: Caller) -> None:
    probe.owner.execute(
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET timezone = ''Asia/Tokyo'''; END $$"
    )
    probe.owner.commit()
    await probe.pool.pool.drain()
    await probe.add(moods, ada, at=sa.text("TIMESTAMPTZ '2026-03-01 09:00:00.25+01'"))
    tables, _ = await probe.export(ada)
    assert tables["moods"][0]["at"] == "2026-03-01T08:00:00.25+00:00"


async def test_many_rows_leave_once_each_in_bounded_pieces(probe: Probe, ada: Caller) -> None:
    async with probe.pool.transaction(ada) as connection:
        for text in (["x"] * 250, ["y" * 300_000] * 5):
            rows = [{"id": uuid7(), "user_id": UUID(ada.subject), "text": t} for t in text]
            await connection.execute(sa.insert(letters), rows)
    with calling(working(ada)):
        pieces = [part.rows.rows async for part in probe.data.export() if part.WhichOneof("part") == "rows"]
    assert max(len(rows) for rows in pieces) <= 100
    assert max(sum(map(len, rows)) for rows in pieces) < 2**20
    found = [json.loads(row)["id"] for rows in pieces for row in rows]
    assert len(found) == len(set(found)) == 255


async def test_erasure_leaves_nothing_of_the_person_and_everything_of_others(
    probe: Probe, ada: Caller, bert: Caller
) -> None:
    carl = person()
    await fill(probe, ada, bert)
    await fill(probe, bert, carl)
    about_ada = await probe.add(letters, bert, to_id=UUID(ada.subject))
    probe.owner.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES"
        " ('default', 'x', jsonb_build_object('user_id', %(ada)s::text), 'failed'),"
        " ('default', 'x', jsonb_build_object('user_id', %(bert)s::text), 'todo')",
        {"ada": ada.subject, "bert": bert.subject},
    )
    probe.owner.commit()
    broken = Path(str(probe.files._directory)) / "letters" / ada.subject / "3#1"
    broken.write_bytes(b"half a file")

    rows, files = await probe.erase(ada)
    assert rows == {"people": 1, "moods": 1, "letters": 2, "drafts": 1}
    assert files == 2
    assert probe.everything(ada) == []
    assert not broken.exists()
    assert await probe.erase(ada) == ({}, 0)

    assert set(probe.everything(bert)) == {*metadata.tables, "procrastinate_jobs"} - {"words"}
    tables, contents = await probe.export(bert)
    assert len(contents) == 2
    assert about_ada not in [row["id"] for row in tables["letters"]]


async def test_one_category_goes_alone(probe: Probe, ada: Caller, bert: Caller) -> None:
    await fill(probe, ada, bert)
    assert await probe.erase(ada, "mental_wellness") == ({"moods": 1}, 0)
    assert probe.owner.execute("SELECT user_id::text, purpose FROM data_keys").fetchall() == [(ada.subject, GENERAL)]
    tables, contents = await probe.export(ada)
    assert {name: len(rows) for name, rows in tables.items()} == {"people": 1, "moods": 0, "letters": 1}
    assert len(contents) == 2
    assert await probe.erase(ada, "mental_wellness") == ({}, 0)


@pytest.mark.parametrize("table", ["audit_log", "words", "procrastinate_jobs", "nothing", "pg_class", "moods; DROP"])
async def test_the_function_erases_from_tables_of_people_alone(probe: Probe, ada: Caller, table: str) -> None:
    erase = sa.text("SELECT erase_rows(:name, 'user_id')")
    with pytest.raises(ProgrammingError, match="not a table of people"):
        async with probe.pool.transaction(working(ada)) as connection:
            await connection.execute(erase, {"name": table})


async def test_nobody_but_a_service_erases_and_only_a_person(probe: Probe, ada: Caller) -> None:
    for caller in (ada, person(role="admin"), working(Caller("", "", "", frozenset()))):
        with pytest.raises(ProgrammingError, match="only a service"):
            async with probe.pool.transaction(caller) as connection:
                await connection.execute(sa.text("SELECT erase_rows('moods', 'user_id')"))


def of_another_category() -> sa.MetaData:
    wrong = new_metadata()
    notes = sa.Column("notes", sa.LargeBinary, info={ENCRYPTED: MENTAL_WELLNESS})
    sa.Table("of_another", wrong, *owned(), notes)
    return wrong


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"owners": {"persons": "id"}}, "persons"),
        ({"owners": {"people": "ident"}}, "ident"),
        ({"mentions": {"letters": "from_id"}}, "from_id"),
        ({"left_out": {"cities": "large"}}, "cities"),
        ({"owners": {"people": "id"}}, "people.hash: say whether it is encrypted or secret"),
        ({"metadata": of_another_category()}, "of_another.notes: its key is for the category mental_wellness"),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PersonalData(**{"metadata": metadata, **declared})


async def test_what_was_encrypted_is_unreadable_before_the_rows_are_gone(
    probe: Probe, ada: Caller, bert: Caller
) -> None:
    """The keys go in a transaction of their own: an erasure that breaks off has erased at least those."""
    await fill(probe, ada, bert)
    # Somebody else holds a row, so that the rows cannot go yet.
    probe.owner.execute("SELECT FROM moods FOR UPDATE")
    erasing = asyncio.create_task(probe.erase(ada))
    with psycopg.connect(probe.database.migrator_url) as other:
        async with asyncio.timeout(30):
            while other.execute("SELECT FROM data_keys").fetchone() is not None:
                other.rollback()
                await asyncio.sleep(0.02)
        assert other.execute("SELECT FROM moods").fetchone() is not None
    # A write that comes in between makes a new key, which goes as well.
    async with probe.pool.transaction(ada) as connection:
        await probe.pool.vault.key(connection)
    probe.owner.rollback()
    await erasing
    assert probe.everything(ada) == []


async def test_the_trail_of_a_category_tells_that_it_was_erased_and_not_what(
    probe: Probe, ada: Caller, bert: Caller
) -> None:
    await fill(probe, ada, bert)
    await probe.erase(ada, "mental_wellness")
    trail = probe.owner.execute(
        "SELECT table_name, action, old_values, new_values FROM audit_log WHERE user_id = %s", [ada.subject]
    ).fetchall()
    assert {row[:2] for row in trail} == {
        ("moods", "INSERT"),
        ("moods", "DELETE"),
        ("letters", "INSERT"),
        (None, "ERASE"),
    }
    for table, action, old, new in trail:
        if table == "moods":
            assert (old, new) == (None, None)
        elif action == "ERASE":
            assert new == {"category": "mental_wellness", "rows": {"moods": 1}}
        else:
            assert new
