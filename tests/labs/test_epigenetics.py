"""Epigenetic tests through the stub: what is kept, and the years between two ages."""

from typing import Any

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from services.kit.contract import ranges_of
from tests.harness import Running, failure, person, reason
from tests.labs.conftest import As
from vitalis.labs.v1 import epigenetics_pb2 as pb

TEST = {
    "collected_at": "2026-10-01",
    "reported_at": "2026-11-02",
    "provider": "TruDiagnostic",
    "kit_id": "TD-204417",
    "chronological_age": 41.5,
    "biological_age": 38.2,
    "pace_score": 0.87,
    "pace_percentile": 81.25,
    "telomere_length": 7.125,
    "methylation_clock": "dunedinpace",
}
ORGANS = {"heart": 36.0, "liver": 43.1, "lung": 41.5}


def organs(given: dict[str, float]) -> list[pb.OrganAge]:
    return [pb.OrganAge(organ_system=system, biological_age=age) for system, age in given.items()]


async def create(who: As, request_id: str = "", **changed: Any) -> pb.EpigeneticTest:
    test = pb.EpigeneticTest(**{**TEST, "organ_ages": organs(ORGANS), **changed})
    request = pb.CreateEpigeneticTestRequest(user_id=who.id, epigenetic_test=test, request_id=request_id)
    return (await who.epigenetics("CreateEpigeneticTest", request)).epigenetic_test


async def read(who: As, test_id: str) -> pb.EpigeneticTest:
    request = pb.GetEpigeneticTestRequest(user_id=who.id, id=test_id)
    return (await who.epigenetics("GetEpigeneticTest", request)).epigenetic_test


async def update(who: As, test_id: str, *paths: str, etag: str = "", **fields: Any) -> pb.EpigeneticTest:
    request = pb.UpdateEpigeneticTestRequest(
        user_id=who.id,
        id=test_id,
        epigenetic_test=pb.EpigeneticTest(etag=etag, **fields),
        update_mask=FieldMask(paths=paths),
    )
    return (await who.epigenetics("UpdateEpigeneticTest", request)).epigenetic_test


async def delete(who: As, test_id: str, etag: str = "") -> None:
    request = pb.DeleteEpigeneticTestRequest(user_id=who.id, id=test_id, etag=etag)
    await who.epigenetics("DeleteEpigeneticTest", request)


async def listed(who: As, **given: Any) -> pb.ListEpigeneticTestsResponse:
    return await who.epigenetics("ListEpigeneticTests", pb.ListEpigeneticTestsRequest(user_id=who.id, **given))


def ages(test: pb.EpigeneticTest) -> dict[str, tuple[float, float, float, str]]:
    return {
        organ.organ_system: (organ.biological_age, organ.chronological_age, organ.delta_years, organ.direction)
        for organ in test.organ_ages
    }


async def test_a_test_is_kept_with_its_organ_ages(ada: As) -> None:
    test = await create(ada, raw_data={"clocks": {"horvath": 39.9}})
    assert {name: getattr(test, name) for name in TEST} == TEST
    assert test.delta_years == -3.3
    assert ages(test) == {
        "heart": (36.0, 41.5, -5.5, "younger"),
        "liver": (43.1, 41.5, 1.6, "older"),
        "lung": (41.5, 41.5, 0, "same"),
    }
    assert MessageToDict(test.raw_data) == {"clocks": {"horvath": 39.9}}
    assert await read(ada, test.id) == test


async def test_the_years_between_need_both_ages(ada: As) -> None:
    test = await create(ada, chronological_age=None)
    assert not test.HasField("delta_years")
    assert not any(organ.HasField(name) for organ in test.organ_ages for name in ("delta_years", "direction"))
    # They follow the test's age when it is told, corrected and withdrawn.
    told = await update(ada, test.id, "chronological_age", chronological_age=40)
    assert (told.delta_years, ages(told)["heart"]) == (-1.8, (36, 40, -4, "younger"))
    corrected = await update(ada, test.id, chronological_age=36)
    assert ages(corrected)["heart"] == (36, 36, 0, "same")
    assert await read(ada, test.id) == corrected
    withdrawn = await update(ada, test.id, "chronological_age")
    assert not withdrawn.organ_ages[0].HasField("chronological_age")


async def test_organ_ages_that_are_sent_replace_those_that_were(ada: As) -> None:
    test = await create(ada)
    changed = await update(ada, test.id, organ_ages=organs({"heart": 37.0, "brain": 40.0}))
    assert ages(changed).keys() == {"heart", "brain"}
    assert ages(changed)["brain"] == (40, 41.5, -1.5, "younger")
    assert changed.biological_age == 38.2


async def test_what_follows_cannot_be_sent(ada: As) -> None:
    forged = pb.OrganAge(organ_system="heart", biological_age=36, delta_years=9, direction="older", chronological_age=1)
    test = await create(ada, organ_ages=[forged], delta_years=99, document_id="0190a6c0-0000-7000-8000-000000000000")
    assert ages(test) == {"heart": (36, 41.5, -5.5, "younger")}
    assert (test.delta_years, test.HasField("document_id")) == (-3.3, False)
    assert await reason(update(ada, test.id, "delta_years", delta_years=1)) == "INVALID_FIELD"


async def test_lists_have_the_newest_first_without_raw_data(ada: As) -> None:
    for day in (2, 3, 1):
        await create(ada, collected_at=f"2026-10-0{day}", raw_data={"a": 1})
    first = await listed(ada, page_size=2)
    rest = await listed(ada, page_size=2, page_token=first.next_page_token)
    tests = [*first.epigenetic_tests, *rest.epigenetic_tests]
    assert [test.collected_at[-1] for test in tests] == ["3", "2", "1"]
    assert all(ages(test).keys() == ORGANS.keys() for test in tests)
    assert not any(test.HasField("raw_data") for test in tests)
    assert len((await listed(ada, start_date="2026-10-02", end_date="2026-10-02")).epigenetic_tests) == 1
    assert await reason(listed(ada, page_token="nonsense")) == "INVALID_PAGE_TOKEN"


async def test_deleting_and_bringing_back(labs: Running, ada: As) -> None:
    test = await create(ada, "once")
    assert await create(ada, "once") == test
    assert await reason(create(ada, "once", kit_id="other")) == "REQUEST_ID_REUSED"
    assert await reason(update(ada, test.id, etag="stale", kit_id="x")) == "ETAG_MISMATCH"
    assert await reason(delete(ada, test.id, "stale")) == "ETAG_MISMATCH"
    await delete(ada, test.id)
    assert len((await listed(ada)).epigenetic_tests) == 0
    undelete = pb.UndeleteEpigeneticTestRequest(user_id=ada.id, id=test.id)
    assert ages((await ada.epigenetics("UndeleteEpigeneticTest", undelete)).epigenetic_test) == ages(test)
    bob = As(labs, person())
    for call in (read(bob, test.id), update(bob, test.id, kit_id="x"), delete(bob, test.id)):
        assert await reason(call) == "NOT_FOUND"
    undelete.user_id = bob.id
    assert await reason(bob.epigenetics("UndeleteEpigeneticTest", undelete)) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"collected_at": ""}, "epigenetic_test.collected_at"),
        ({"reported_at": "2026-09-30"}, "epigenetic_test"),
        ({"organ_ages": organs({"tail": 3})}, "epigenetic_test.organ_ages[0].organ_system"),
        ({"organ_ages": [pb.OrganAge(organ_system="heart")]}, "epigenetic_test.organ_ages[0].biological_age"),
        ({"organ_ages": [*organs(ORGANS), *organs({"heart": 1})]}, "epigenetic_test"),
        ({"organ_ages": organs({"heart": 151})}, "epigenetic_test.organ_ages[0].biological_age"),
    ],
)
async def test_what_cannot_be_is_refused(ada: As, changed: dict[str, Any], field: str) -> None:
    refused = await failure(create(ada, **changed))
    assert refused.reason.name == "INVALID_FIELD"
    assert field in {violation.field for violation in refused.violations}


async def test_an_organ_without_an_age_is_refused_in_a_change_too(ada: As) -> None:
    test = await create(ada)
    for wrong in (pb.OrganAge(organ_system="heart"), pb.OrganAge(biological_age=40)):
        assert await reason(update(ada, test.id, "organ_ages", organ_ages=[wrong])) == "INVALID_FIELD"


async def test_every_range_is_refused_at_the_api_and_in_the_table(labs: Running, ada: As) -> None:
    await create(ada)
    with psycopg.connect(labs.database.migrator_url, autocommit=True) as owner:
        for name, (low, high) in ranges_of(pb.EpigeneticTest.DESCRIPTOR).items():
            for value in (low - 0.1, high + 0.1):
                wrong: dict[str, Any] = {name: value}
                assert await reason(create(ada, **wrong)) == "INVALID_FIELD", wrong
                with pytest.raises(psycopg.errors.CheckViolation):
                    owner.execute(f"UPDATE epigenetic_tests SET {name} = %s", [value])
        for table, change in (
            ("epigenetic_tests", "reported_at = collected_at - 1"),
            ("epigenetic_tests", "provider = repeat('x', 201)"),
            ("epigenetic_tests", "kit_id = repeat('x', 101)"),
            ("epigenetic_tests", "methylation_clock = repeat('x', 101)"),
            ("epigenetic_organ_ages", "organ_system = 'tail'"),
            ("epigenetic_organ_ages", "biological_age = 151"),
            ("epigenetic_organ_ages", "chronological_age = -1"),
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                owner.execute(f"UPDATE {table} SET {change}")
        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute("UPDATE epigenetic_organ_ages SET organ_system = 'skin'")
