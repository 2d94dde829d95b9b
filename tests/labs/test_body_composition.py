"""DEXA scans through the stub: what is kept, what follows from it, and how two compare."""

import asyncio
from typing import Any

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.kit.contract import ranges_of
from services.labs.body_composition.figures import figures
from tests.harness import Running, failure, person, reason
from tests.labs.conftest import As
from vitalis.labs.v1 import body_composition_pb2 as pb

NOTES = "after two weeks of flu"
SCAN = {
    "scan_date": "2026-11-19",
    "provider": "BodySpec",
    "age_at_scan": 41.5,
    "height_in": 70.0,
    "weight_lbs": 181.2,
    "total_mass_lbs": 180.5,
    "total_fat_lbs": 40.0,
    "total_lean_lbs": 133.2,
    "total_bmc_lbs": 7.3,
    "total_body_fat_pct": 22.2,
    "visceral_fat_lbs": 1.125,
    "visceral_fat_in3": 33.25,
    "android_gynoid_ratio": 1.01,
    "notes": NOTES,
}
REGIONS = {
    "arms": {"lean_lbs": 16.5, "fat_lbs": 4.5, "bmc_lbs": 0.925, "body_fat_pct": 20.5, "total_mass_lbs": 21.93},
    "legs": {"lean_lbs": 44.0, "fat_lbs": 12.0},
    "android": {"body_fat_pct": 25.0},
    "gynoid": {"body_fat_pct": 24.0},
}
BONES = {"total": {"bmd_g_cm2": 1.234, "t_score": 0.5, "z_score": 0.3}, "l1_l4": {"t_score": -1.1}}


def regions(given: dict[str, dict[str, float]]) -> list[pb.DexaRegion]:
    return [pb.DexaRegion(region=region, **values) for region, values in given.items()]


def bones(given: dict[str, dict[str, float]]) -> list[pb.DexaBoneDensity]:
    return [pb.DexaBoneDensity(region=region, **values) for region, values in given.items()]


def scan_of(**changed: Any) -> pb.DexaScan:
    return pb.DexaScan(**{**SCAN, "regions": regions(REGIONS), "bone_densities": bones(BONES), **changed})


async def create(who: As, request_id: str = "", **changed: Any) -> pb.DexaScan:
    request = pb.CreateDexaScanRequest(user_id=who.id, dexa_scan=scan_of(**changed), request_id=request_id)
    return (await who.body_composition("CreateDexaScan", request)).dexa_scan


async def read(who: As, scan_id: str) -> pb.DexaScan:
    return (await who.body_composition("GetDexaScan", pb.GetDexaScanRequest(user_id=who.id, id=scan_id))).dexa_scan


async def update(who: As, scan_id: str, *paths: str, **fields: Any) -> pb.DexaScan:
    request = pb.UpdateDexaScanRequest(
        user_id=who.id, id=scan_id, dexa_scan=pb.DexaScan(**fields), update_mask=FieldMask(paths=paths)
    )
    return (await who.body_composition("UpdateDexaScan", request)).dexa_scan


async def delete(who: As, scan_id: str, etag: str = "") -> None:
    await who.body_composition("DeleteDexaScan", pb.DeleteDexaScanRequest(user_id=who.id, id=scan_id, etag=etag))


async def compare(who: As, earlier_id: str, scan_id: str) -> pb.CompareDexaScansResponse:
    return await who.body_composition(
        "CompareDexaScans", pb.CompareDexaScansRequest(user_id=who.id, id=scan_id, earlier_id=earlier_id)
    )


async def test_a_scan_is_kept_with_its_regions_and_bones(ada: As) -> None:
    scan = await create(ada)
    assert {name: getattr(scan, name) for name in SCAN} == SCAN
    assert (list(scan.regions), list(scan.bone_densities)) == (regions(REGIONS), bones(BONES))
    assert await read(ada, scan.id) == scan
    assert not scan.HasField("document_id")


async def test_figures_follow_from_the_scan(ada: As) -> None:
    scan = await create(ada)
    # By hand: 40 lb = 18.1437 kg, 140.5 lb = 63.7297 kg, 60.5 lb = 27.4423 kg, 70 in = 1.778 m.
    assert {figure.name: figure.value for figure in scan.figures} == {
        "fmi": pytest.approx(5.74),
        "ffmi": pytest.approx(20.16),
        "almi": pytest.approx(8.68),
        "android_gynoid_ratio": pytest.approx(1.04),
    }
    assert all(figure.formula and figure.source for figure in scan.figures)
    assert {figure.unit for figure in scan.figures} == {"kg/m²", ""}


def test_a_figure_that_lacks_something_says_what() -> None:
    scan = pb.DexaScan(total_fat_lbs=40, regions=regions({"arms": {"fat_lbs": 3}, "android": {"body_fat_pct": 20}}))
    found = {figure.name: figure for figure in figures(scan)}
    assert not any(figure.HasField("value") for figure in found.values())
    assert list(found["fmi"].missing) == ["height_in"]
    assert list(found["ffmi"].missing) == ["total_lean_lbs", "total_bmc_lbs", "height_in"]
    assert list(found["almi"].missing) == ["regions.arms.lean_lbs", "regions.legs.lean_lbs", "height_in"]
    assert list(found["android_gynoid_ratio"].missing) == ["regions.gynoid.body_fat_pct"]


def test_arms_and_legs_may_be_measured_by_side() -> None:
    sides = {
        f"{limb}_{side}": {"lean_lbs": lean}
        for limb, lean in (("arm", 8.25), ("leg", 22))
        for side in ("right", "left")
    }
    # Of both together a report may have the share of fat alone.
    beside_whole = {**sides, "arms": {"body_fat_pct": 20.5}, "legs": {"body_fat_pct": 21.0}}
    by_side, whole, beside = (
        {figure.name: figure.value for figure in figures(pb.DexaScan(height_in=70, regions=regions(found)))}
        for found in (sides, REGIONS, beside_whole)
    )
    assert beside["almi"] == by_side["almi"]
    assert by_side["almi"] == whole["almi"] > 8


async def test_a_change_replaces_the_regions_that_are_sent_and_no_others(labs: Running, ada: As) -> None:
    scan = await create(ada)
    fewer = {"arms": {"lean_lbs": 17.0}, "trunk": {"fat_lbs": 20.0}}
    changed = await update(ada, scan.id, "regions", "weight_lbs", regions=regions(fewer), weight_lbs=180)
    assert list(changed.regions) == regions(fewer)
    assert (changed.weight_lbs, list(changed.bone_densities)) == (180, bones(BONES))
    assert changed.etag != scan.etag
    assert await reason(update(ada, scan.id, etag=scan.etag, provider="x")) == "ETAG_MISMATCH"
    assert await read(ada, scan.id) == changed
    # Without a mask, what is sent; a mask without a value clears.
    assert list((await update(ada, scan.id, provider="DexaFit")).regions) == list(changed.regions)
    cleared = await update(ada, scan.id, "bone_densities", "visceral_fat_lbs")
    assert (list(cleared.bone_densities), cleared.HasField("visceral_fat_lbs")) == ([], False)
    everything = await update(ada, scan.id, "*", scan_date="2026-11-18")
    assert (everything.scan_date, list(everything.regions), everything.provider) == ("2026-11-18", [], "")
    with psycopg.connect(labs.database.migrator_url) as owner:
        assert owner.execute("SELECT count(*) FROM dexa_regions").fetchone() == (0,)


async def test_a_region_that_stays_the_same_is_not_written(labs: Running, ada: As) -> None:
    scan = await create(ada)
    await update(ada, scan.id, "regions", regions=regions({**REGIONS, "legs": {"lean_lbs": 45.0}}))
    with psycopg.connect(labs.database.migrator_url) as owner:
        actions = owner.execute(
            "SELECT action, count(*) FROM audit_log WHERE table_name = 'dexa_regions' GROUP BY action ORDER BY action"
        ).fetchall()
    assert actions == [("INSERT", 4), ("UPDATE", 1)]


async def test_lists_have_the_newest_first_with_regions_but_without_notes(ada: As) -> None:
    for day, provider in ((3, "BodySpec"), (1, "DexaFit"), (2, "BodySpec")):
        await create(ada, scan_date=f"2026-11-0{day}", provider=provider)

    async def listed(**given: Any) -> pb.ListDexaScansResponse:
        return await ada.body_composition("ListDexaScans", pb.ListDexaScansRequest(user_id=ada.id, **given))

    first = await listed(page_size=2)
    rest = await listed(page_size=2, page_token=first.next_page_token)
    scans = [*first.dexa_scans, *rest.dexa_scans]
    assert [scan.scan_date[-1] for scan in scans] == ["3", "2", "1"]
    assert all(list(scan.regions) == regions(REGIONS) and len(scan.figures) == 4 for scan in scans)
    assert not any(scan.HasField("notes") for scan in scans)
    assert len((await listed(start_date="2026-11-02", end_date="2026-11-02")).dexa_scans) == 1
    assert await reason(listed(page_token="nonsense")) == "INVALID_PAGE_TOKEN"
    assert (await listed(start_date="2027-01-01")).dexa_scans == []


async def test_a_deleted_scan_is_out_of_lists_and_comes_back_whole(ada: As) -> None:
    scan = await create(ada)
    assert await reason(delete(ada, scan.id, "stale")) == "ETAG_MISMATCH"
    await delete(ada, scan.id, scan.etag)
    listed = await ada.body_composition("ListDexaScans", pb.ListDexaScansRequest(user_id=ada.id))
    shown = await ada.body_composition("ListDexaScans", pb.ListDexaScansRequest(user_id=ada.id, show_deleted=True))
    assert (len(listed.dexa_scans), len(shown.dexa_scans)) == (0, 1)
    assert await reason(delete(ada, scan.id)) == "NOT_FOUND"
    back = await ada.body_composition("UndeleteDexaScan", pb.UndeleteDexaScanRequest(user_id=ada.id, id=scan.id))
    assert list(back.dexa_scan.regions) == regions(REGIONS)
    assert not back.dexa_scan.HasField("deleted_at")


async def test_a_repeat_answers_as_the_first_time(ada: As) -> None:
    first = await create(ada, "the-same")
    assert await create(ada, "the-same") == first
    assert await reason(create(ada, "the-same", provider="another")) == "REQUEST_ID_REUSED"


async def test_notes_are_ciphertext(labs: Running, ada: As) -> None:
    scan = await create(ada, "note-1")
    assert scan.notes == NOTES
    with psycopg.connect(labs.database.migrator_url) as owner:
        for table in ("dexa_scans", "audit_log", "idempotency_keys"):
            rows = owner.execute(f"SELECT to_jsonb(t)::text FROM {table} AS t").fetchall()
            assert rows
            assert not any("flu" in row or b"flu".hex() in row for (row,) in rows)


async def test_somebody_elses_scan_is_not_there(labs: Running, ada: As) -> None:
    bob = As(labs, person())
    scan, own = await create(ada), await create(bob)
    assert await reason(read(bob, scan.id)) == "NOT_FOUND"
    assert await reason(update(bob, scan.id, "regions", regions=regions(REGIONS))) == "NOT_FOUND"
    assert await reason(compare(bob, scan.id, own.id)) == "NOT_FOUND"
    assert await reason(delete(bob, scan.id)) == "NOT_FOUND"
    undelete = pb.UndeleteDexaScanRequest(user_id=bob.id, id=scan.id)
    assert await reason(bob.body_composition("UndeleteDexaScan", undelete)) == "NOT_FOUND"
    assert list((await read(ada, scan.id)).regions) == regions(REGIONS)


async def test_two_scans_are_compared_value_by_value(ada: As) -> None:
    before = await create(ada)
    after = await create(
        ada,
        scan_date="2027-02-19",
        total_fat_lbs=36.0,
        visceral_fat_lbs=0.0,
        regions=regions({"arms": {"lean_lbs": 17.3}, "trunk": {"fat_lbs": 18.0}}),
        bone_densities=bones({"total": {"bmd_g_cm2": 1.25, "t_score": 0.7}}),
    )
    compared = await compare(ada, before.id, after.id)
    assert (compared.earlier_date, compared.later_date, compared.days) == ("2026-11-19", "2027-02-19", 92)
    changes = {change.path: change for change in compared.changes}
    fat = changes["total_fat_lbs"]
    assert (fat.earlier_value, fat.later_value, fat.change, fat.change_pct) == (40, 36, -4, -10)
    assert changes["regions.arms.lean_lbs"].change == 0.8
    assert changes["bone_densities.total.t_score"].change == 0.2
    assert not changes["bone_densities.total.t_score"].HasField("change_pct")
    assert changes["bone_densities.total.bmd_g_cm2"].change_pct == 1.3
    assert changes["figures.fmi"].change == pytest.approx(-0.57)
    # What only one of them measured is no change.
    assert not {"regions.trunk.fat_lbs", "regions.legs.lean_lbs", "figures.almi"} & changes.keys()
    assert list(compared.cautions) == []
    back = {change.path: change for change in (await compare(ada, after.id, before.id)).changes}
    assert (back["total_fat_lbs"].change, back["visceral_fat_lbs"].HasField("change_pct")) == (4, False)


async def test_a_scan_is_compared_with_the_one_before_it(labs: Running, ada: As) -> None:
    first, second, third = [await create(ada, scan_date=f"2026-11-0{day}") for day in (1, 2, 2)]
    await create(As(labs, person()), scan_date="2026-11-01")
    assert (await compare(ada, "", third.id)).earlier_id == second.id
    assert (await compare(ada, "", second.id)).earlier_id == first.id
    await delete(ada, second.id)
    assert (await compare(ada, "", third.id)).earlier_id == first.id
    alone = await compare(ada, "", first.id)
    assert (alone.earlier_id, alone.later_date, list(alone.changes)) == ("", "2026-11-01", [])


async def test_a_comparison_across_scanners_is_cautioned(ada: As) -> None:
    one, same, another, unknown = [
        await create(ada, provider=name) for name in ("BodySpec", "bodyspec ", "DexaFit", "")
    ]
    assert list((await compare(ada, one.id, same.id)).cautions) == []
    assert list((await compare(ada, one.id, another.id)).cautions) == ["different_provider"]
    assert list((await compare(ada, one.id, unknown.id)).cautions) == ["unknown_provider"]
    assert await reason(compare(ada, one.id, one.id)) == "INVALID_FIELD"
    await delete(ada, another.id)
    assert await reason(compare(ada, one.id, another.id)) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"scan_date": ""}, "dexa_scan.scan_date"),
        ({"scan_date": "2026-02-30"}, "dexa_scan.scan_date"),
        ({"regions": [pb.DexaRegion(region="tail", fat_lbs=1)]}, "dexa_scan.regions[0].region"),
        ({"regions": [pb.DexaRegion(region="arms")]}, "dexa_scan.regions[0]"),
        ({"regions": regions({"arms": {"body_fat_pct": 0.9}})}, "dexa_scan.regions[0].body_fat_pct"),
        ({"regions": regions({"arms": {"body_fat_pct": 80.1}})}, "dexa_scan.regions[0].body_fat_pct"),
        ({"regions": regions({"arms": {"fat_lbs": float("nan")}})}, "dexa_scan.regions[0].fat_lbs"),
        ({"regions": [*regions(REGIONS), pb.DexaRegion(region="arms", fat_lbs=1)]}, "dexa_scan"),
        ({"bone_densities": [*bones(BONES), pb.DexaBoneDensity(region="total", t_score=1)]}, "dexa_scan"),
        ({"bone_densities": [pb.DexaBoneDensity(region="skull", t_score=1)]}, "dexa_scan.bone_densities[0].region"),
        ({"bone_densities": [pb.DexaBoneDensity(region="total")]}, "dexa_scan.bone_densities[0]"),
        ({"provider": "x" * 201}, "dexa_scan.provider"),
    ],
)
async def test_what_cannot_be_is_refused(ada: As, changed: dict[str, Any], field: str) -> None:
    refused = await failure(create(ada, **changed))
    assert refused.reason.name == "INVALID_FIELD"
    assert field in {violation.field for violation in refused.violations}


async def test_every_range_is_refused_at_the_api_and_in_the_table(labs: Running, ada: As) -> None:
    scan = await create(ada)
    kinds: tuple[tuple[Any, str, str], ...] = (
        (pb.DexaScan, "dexa_scans", ""),
        (pb.DexaRegion, "dexa_regions", "regions"),
        (pb.DexaBoneDensity, "dexa_bone_density", "bone_densities"),
    )
    with psycopg.connect(labs.database.migrator_url, autocommit=True) as owner:
        for message, table, field in kinds:
            for name, (low, high) in ranges_of(message.DESCRIPTOR).items():
                for value in (low - 0.5, high + 0.5):
                    inner = {name: value} if not field else {field: [message(region="total", **{name: value})]}
                    assert await reason(create(ada, **inner)) == "INVALID_FIELD", (table, name, value)
                    with pytest.raises(psycopg.errors.CheckViolation):
                        owner.execute(f"UPDATE {table} SET {name} = %s", [value])
        for table, values in (("dexa_regions", "region = 'tail'"), ("dexa_bone_density", "region = 'skull'")):
            with pytest.raises(psycopg.errors.CheckViolation):
                owner.execute(f"UPDATE {table} SET {values}")
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute("UPDATE dexa_scans SET provider = repeat('x', 201)")
        nothing = "fat_lbs = NULL, lean_lbs = NULL, bmc_lbs = NULL, total_mass_lbs = NULL, body_fat_pct = NULL"
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute(f"UPDATE dexa_regions SET {nothing}")
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute("UPDATE dexa_bone_density SET bmd_g_cm2 = NULL, t_score = NULL, z_score = NULL")
        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute("UPDATE dexa_regions SET region = 'total'")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            owner.execute("UPDATE dexa_regions SET user_id = gen_random_uuid()")
    assert await read(ada, scan.id) == scan


async def test_two_changes_at_once_leave_one_of_them_whole(ada: As) -> None:
    scan = await create(ada)
    ones, twos = ({name: {"lean_lbs": value} for name in REGIONS} for value in (1.0, 2.0))
    await asyncio.gather(
        *(update(ada, scan.id, "regions", regions=regions(found)) for found in (ones, twos, ones, twos))
    )
    assert list((await read(ada, scan.id)).regions) in (regions(ones), regions(twos))
