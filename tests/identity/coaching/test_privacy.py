"""What somebody has written about their health is closed in the tables, goes into their export, and is erased."""

import json
from typing import Any

from tests.harness import reason, service
from tests.identity.coaching.coached import Coached, coached, sending
from tests.identity.conftest import Identity
from tests.isolation.resources import everything_about
from vitalis.common.v1 import person_data_pb2 as pb
from vitalis.common.v1 import person_data_pb2_grpc

TABLES = {
    "user_profiles",
    "user_profile_versions",
    "fitness_goals",
    "physical_constraints",
    "dietary_preferences",
    "meal_plans",
    "meal_schedules",
    "workout_schedules",
    "hydration_preferences",
}
WRITTEN = ("torn meniscus", "my doctor said so", "no soup", "a deficit of 400 kcal", "not for my mother to know")


async def export(ada: Coached) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table."""
    stub = person_data_pb2_grpc.PersonDataServiceStub(ada.running.channel)
    tables: dict[str, list[dict[str, Any]]] = {}
    call = stub.ExportPersonData(
        pb.ExportPersonDataRequest(user_id=ada.id), metadata=ada.running.metadata(service(ada.id))
    )
    async for part in call:
        if part.HasField("table"):
            rows = tables.setdefault(part.table.name, [])
        rows += [json.loads(row) for row in part.rows.rows]
    return tables


async def test_nothing_that_was_written_stands_in_the_tables_or_the_log(ada: Coached) -> None:
    await ada.change(sending(stress_level="low"), modification_reason="not for my mother to know")
    stored = "\n".join(everything_about(ada.running.database, ada.id))
    assert "user_profile_versions" in stored
    assert [text for text in WRITTEN if text in stored] == []
    # The picture of a whole profile is not in the log a second time either.
    pictures = "SELECT count(*) FROM audit_log WHERE user_id = %s AND new_values::text LIKE '%%profile_snapshot%%'"
    assert ada.sql(pictures, ada.id) == [(0,)]


async def test_every_change_is_in_the_trail(ada: Coached) -> None:
    await ada.change(sending(stress_level="low", meal_plan={"daily_calories_min": 1700}))
    trail = (
        "SELECT table_name, old_values -> 'stress_level', new_values -> 'daily_calories_min' FROM audit_log"
        " WHERE user_id = %s AND action = 'UPDATE' AND table_name IN ('user_profiles', 'meal_plans') ORDER BY 1"
    )
    assert ada.sql(trail, ada.id) == [("meal_plans", None, 1700), ("user_profiles", "high", None)]


async def test_an_export_has_all_of_it_in_words(identity: Identity, ada: Coached) -> None:
    await coached(identity.running, "bert@example.com")
    await ada.change(sending(stress_level="low"), modification_reason="not for my mother to know")
    tables = await export(ada)
    assert tables.keys() >= TABLES
    assert all(tables[name] for name in TABLES)
    assert {row["user_id"] for name in TABLES for row in tables[name]} == {ada.id}
    words = json.dumps(tables)
    assert [text for text in WRITTEN if text not in words] == []
    pictures = [json.loads(row["profile_snapshot"]) for row in tables["user_profile_versions"]]
    assert [picture["stress_level"] for picture in pictures] == ["high", "low"]


async def test_an_erased_person_leaves_nothing_and_others_keep_theirs(identity: Identity, ada: Coached) -> None:
    bert = await coached(identity.running, "bert@example.com")
    kept = await bert.read()
    await ada.change(sending(stress_level="low"))
    stub = person_data_pb2_grpc.PersonDataServiceStub(ada.running.channel)
    answer = await stub.ErasePersonData(
        pb.ErasePersonDataRequest(user_id=ada.id), metadata=ada.running.metadata(service(ada.id)), timeout=30
    )
    assert {table.name for table in answer.tables} >= TABLES
    assert everything_about(ada.running.database, ada.id) == []
    assert await bert.read() == kept


async def test_versions_cannot_be_put_in_each_others_place(ada: Coached) -> None:
    """Who can write into the table cannot make one version say what another did."""
    await ada.change(sending(stress_level="low"))
    ada.sql("ALTER TABLE user_profile_versions DISABLE TRIGGER keep_version")
    ada.sql(
        "UPDATE user_profile_versions SET profile_snapshot ="
        " (SELECT profile_snapshot FROM user_profile_versions WHERE version = 1) WHERE version = 2"
    )
    assert await reason(ada.ask("GetProfileVersion", version=2)) == "INTERNAL"
    assert (await ada.ask("GetProfileVersion", version=1)).profile_version.version == 1
