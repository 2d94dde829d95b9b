"""Aliases through the stub: a person's own, everybody's, and which goes first."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from services.kit.caller import calling
from services.kit.database import Database
from services.labs.biomarkers import aliases as module
from services.labs.biomarkers.aliases import known_aliases
from services.labs.matching import alias_key
from tests.harness import Running, person, reason
from tests.labs.conftest import As
from vitalis.labs.v1 import biomarker_aliases_pb2 as pb
from vitalis.labs.v1 import matching_pb2


async def create(who: As, alias: str, biomarker: str = "zinc", request_id: str = "") -> pb.BiomarkerAlias:
    request = pb.CreateBiomarkerAliasRequest(
        user_id=who.id, biomarker_alias=pb.BiomarkerAlias(alias=alias, biomarker=biomarker), request_id=request_id
    )
    return (await who.aliases("CreateBiomarkerAlias", request)).biomarker_alias


async def delete(who: As, alias_id: str, etag: str = "") -> None:
    await who.aliases("DeleteBiomarkerAlias", pb.DeleteBiomarkerAliasRequest(user_id=who.id, id=alias_id, etag=etag))


async def undelete(who: As, alias_id: str) -> pb.BiomarkerAlias:
    request = pb.UndeleteBiomarkerAliasRequest(user_id=who.id, id=alias_id)
    return (await who.aliases("UndeleteBiomarkerAlias", request)).biomarker_alias


async def listed(who: As, **given: Any) -> list[str]:
    answer = await who.aliases("ListBiomarkerAliases", pb.ListBiomarkerAliasesRequest(user_id=who.id, **given))
    return [alias.alias for alias in answer.biomarker_aliases]


async def share(who: As, alias: str, biomarker: str = "zinc") -> pb.SharedBiomarkerAlias:
    request = pb.CreateSharedBiomarkerAliasRequest(
        shared_biomarker_alias=pb.SharedBiomarkerAlias(alias=alias, biomarker=biomarker)
    )
    return (await who.aliases("CreateSharedBiomarkerAlias", request)).shared_biomarker_alias


async def known(labs: Running, who: As) -> dict[str, str]:
    database = Database(labs.database.app_url)
    await database.open()
    try:
        with calling(person(who.id)):
            return await known_aliases(database)
    finally:
        await database.close()


@pytest.fixture
def root(labs: Running) -> As:
    """An administrator."""
    return As(labs, replace(person(), role="admin"))


class TestOnesOwn:
    async def test_kept_as_it_was_told(self, ada: As) -> None:
        alias = await create(ada, "Vit. D (25-OH) ges.", "vitamin_d_25_hydroxy")
        assert (alias.user_id, alias.alias, alias.biomarker) == (ada.id, "Vit. D (25-OH) ges.", "vitamin_d_25_hydroxy")
        read = await ada.aliases("GetBiomarkerAlias", pb.GetBiomarkerAliasRequest(user_id=ada.id, id=alias.id))
        assert read.biomarker_alias == alias

    async def test_listed_the_newest_first_by_biomarker_and_page(self, ada: As) -> None:
        for name in ("Zn total", "Zn spezial"):
            await create(ada, name)
        await create(ada, "Cu total", "copper")
        assert await listed(ada) == ["Cu total", "Zn spezial", "Zn total"]
        assert await listed(ada, biomarker="zinc") == ["Zn spezial", "Zn total"]
        first = await ada.aliases("ListBiomarkerAliases", pb.ListBiomarkerAliasesRequest(user_id=ada.id, page_size=2))
        assert await listed(ada, page_size=2, page_token=first.next_page_token) == ["Zn total"]
        assert await reason(listed(ada, page_token="x")) == "INVALID_PAGE_TOKEN"

    async def test_the_same_words_are_the_same_alias(self, ada: As) -> None:
        await create(ada, "Spurenelement 30")
        assert await reason(create(ada, "spurenelement, 30 ", "copper")) == "ALREADY_EXISTS"

    async def test_a_repeat_answers_as_the_first_time(self, ada: As) -> None:
        first = await create(ada, "Zn-1", request_id="r")
        assert await create(ada, "Zn-1", request_id="r") == first
        assert await reason(create(ada, "Zn-2", request_id="r")) == "REQUEST_ID_REUSED"

    async def test_for_a_biomarker_that_there_is_not(self, ada: As) -> None:
        assert await reason(create(ada, "Zn", "unobtainium")) == "INVALID_FIELD"

    @pytest.mark.parametrize("alias", ["", "x" * 201, "…", " -- "])
    async def test_refused(self, ada: As, alias: str) -> None:
        assert await reason(create(ada, alias)) == "INVALID_FIELD"

    async def test_taken_away_and_brought_back(self, ada: As) -> None:
        alias = await create(ada, "Zn total")
        assert await reason(delete(ada, alias.id, "other")) == "ETAG_MISMATCH"
        await delete(ada, alias.id, alias.etag)
        assert (await listed(ada), await listed(ada, show_deleted=True)) == ([], ["Zn total"])
        assert await reason(delete(ada, alias.id)) == "NOT_FOUND"
        assert not (await undelete(ada, alias.id)).HasField("deleted_at")
        assert await listed(ada) == ["Zn total"]

    async def test_not_brought_back_beside_one_that_took_its_place(self, ada: As) -> None:
        alias = await create(ada, "Zn total")
        await delete(ada, alias.id)
        await create(ada, "Zn total", "copper")
        assert await reason(undelete(ada, alias.id)) == "ALREADY_EXISTS"

    async def test_no_more_than_can_be_read_with_every_report(self, ada: As, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MOST_ALIASES", 2)
        kept = [await create(ada, f"Zn {number}") for number in range(2)]
        assert await reason(create(ada, "Zn 2")) == "TOO_MANY_ALIASES"
        await delete(ada, kept[0].id)
        await create(ada, "Zn 2")
        assert await reason(undelete(ada, kept[0].id)) == "TOO_MANY_ALIASES"

    async def test_two_people_may_call_different_things_the_same(self, labs: Running, ada: As) -> None:
        bob = As(labs, person())
        await create(ada, "Wert 1", "zinc")
        await create(bob, "Wert 1", "copper")
        assert (await known(labs, ada), await known(labs, bob)) == (
            {alias_key("Wert 1"): "zinc"},
            {alias_key("Wert 1"): "copper"},
        )


class TestShared:
    async def test_added_listed_and_taken_away(self, root: As) -> None:
        for name in ("Zinco total", "Cinkas"):
            await share(root, name)
        page = await root.aliases("ListSharedBiomarkerAliases", pb.ListSharedBiomarkerAliasesRequest(page_size=1))
        assert [alias.alias for alias in page.shared_biomarker_aliases] == ["Cinkas"]
        rest = await root.aliases(
            "ListSharedBiomarkerAliases",
            pb.ListSharedBiomarkerAliasesRequest(page_size=1, page_token=page.next_page_token),
        )
        assert [alias.alias for alias in rest.shared_biomarker_aliases] == ["Zinco total"]
        assert not rest.next_page_token
        gone = pb.DeleteSharedBiomarkerAliasRequest(id=page.shared_biomarker_aliases[0].id)
        await root.aliases("DeleteSharedBiomarkerAlias", gone)
        assert await reason(root.aliases("DeleteSharedBiomarkerAlias", gone)) == "NOT_FOUND"

    async def test_refused(self, root: As, monkeypatch: pytest.MonkeyPatch) -> None:
        await share(root, "Zinco total")
        assert await reason(share(root, "total zinco")) == "ALREADY_EXISTS"
        assert await reason(share(root, "Zn", "unobtainium")) == "INVALID_FIELD"
        assert await reason(share(root, "---")) == "INVALID_FIELD"
        request = pb.ListSharedBiomarkerAliasesRequest(page_token="x")
        assert await reason(root.aliases("ListSharedBiomarkerAliases", request)) == "INVALID_PAGE_TOKEN"
        monkeypatch.setattr(module, "MOST_ALIASES", 1)
        assert await reason(share(root, "Cinkas")) == "TOO_MANY_ALIASES"

    async def test_administrators_alone(self, ada: As) -> None:
        assert await reason(share(ada, "Zinco total")) == "SCOPE_MISSING"

    async def test_stand_in_the_administrators_trail(self, labs: Running, root: As) -> None:
        alias = await share(root, "Zinco total")
        await root.aliases("DeleteSharedBiomarkerAlias", pb.DeleteSharedBiomarkerAliasRequest(id=alias.id))
        with psycopg.connect(labs.database.migrator_url) as owner:
            entries = owner.execute(
                "SELECT action, record_id, new_values FROM audit_log"
                " WHERE user_id = %s AND table_name = 'shared_biomarker_aliases' ORDER BY created_at",
                [root.id],
            ).fetchall()
        said = {"alias": "Zinco total", "biomarker": "zinc"}
        assert entries == [("SHARED_ALIAS_CREATE", alias.id, said), ("SHARED_ALIAS_DELETE", alias.id, said)]

    async def test_ones_own_go_first(self, labs: Running, root: As, ada: As) -> None:
        await share(root, "Zinco total", "copper")
        await share(root, "Cinkas")
        await create(ada, "ZINCO (total)", "zinc")
        assert await known(labs, ada) == {alias_key("Zinco total"): "zinc", alias_key("Cinkas"): "zinc"}

    async def test_reports_are_matched_by_them(self, root: As, ada: As) -> None:
        await share(root, "Cinkas")
        await create(ada, "Wert 1", "copper")
        rows = [matching_pb2.ReportRow(name="cinkas"), matching_pb2.ReportRow(name="WERT-1")]
        request = matching_pb2.MatchMarkersRequest(user_id=ada.id, rows=rows)
        matches = (await ada.matching("MatchMarkers", request)).matches
        assert [(match.slug, match.method) for match in matches] == [("zinc", "own_alias"), ("copper", "own_alias")]


@pytest.mark.parametrize("table", ["biomarker_aliases", "shared_biomarker_aliases"])
@pytest.mark.parametrize(
    ("change", "rule"),
    [("alias = ''", "alias"), ("alias = repeat('x', 201)", "alias"), ("alias_key = ''", "alias_key")],
)
async def test_checks(labs: Running, ada: As, root: As, table: str, change: str, rule: str) -> None:
    await create(ada, "Zn total")
    await share(root, "Zn total")
    with (
        psycopg.connect(labs.database.migrator_url) as owner,
        pytest.raises(psycopg.errors.CheckViolation, match=f"ck_{table}_{rule}"),
    ):
        owner.execute(f"UPDATE {table} SET {change}".encode())


async def test_an_alias_is_of_a_biomarker_in_the_table_too(labs: Running, ada: As) -> None:
    await create(ada, "Zn total")
    with (
        psycopg.connect(labs.database.migrator_url) as owner,
        pytest.raises(psycopg.errors.ForeignKeyViolation),
    ):
        owner.execute("DELETE FROM biomarkers WHERE slug = 'zinc'")
