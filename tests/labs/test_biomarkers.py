"""The dictionary through its stub, and its copy in the database."""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from services.kit import migrate
from services.labs import __main__ as service
from services.labs.biomarkers.catalogue import catalogue
from services.labs.biomarkers.search import Search
from services.labs.biomarkers.store import id_of, store
from tests.databases import ServiceDatabase
from tests.harness import reason
from tests.labs.conftest import As
from vitalis.labs.v1 import biomarkers_pb2 as pb

CATALOGUE = catalogue()
SEARCH = Search(CATALOGUE)


async def read(who: As, slug: str) -> pb.Biomarker:
    return (await who.biomarkers("GetBiomarker", pb.GetBiomarkerRequest(id=slug))).biomarker


async def listed(who: As, **given: Any) -> pb.ListBiomarkersResponse:
    return await who.biomarkers("ListBiomarkers", pb.ListBiomarkersRequest(**given))


async def test_a_biomarker_as_the_dictionary_has_it(ada: As) -> None:
    glucose = await read(ada, "glucose")
    assert (glucose.id, glucose.display_name, glucose.category) == (str(id_of("glucose")), "Glucose", "metabolic")
    assert (glucose.loinc.code, glucose.loinc.property) == ("2345-7", "MCnc")
    assert glucose.molar_mass_g_per_mol == 180.156
    assert [(unit.ucum, unit.conversion) for unit in glucose.units] == [
        ("mg/dL", "metric"),
        ("g/L", "metric"),
        ("mmol/L", "molar"),
    ]
    assert not any(unit.HasField("factor") or unit.HasField("source") for unit in glucose.units)
    fasting = glucose.normal_ranges[0]
    assert (fasting.low, fasting.high, fasting.low_included, fasting.high_included) == (70, 99, True, True)
    assert (fasting.unit, fasting.condition) == ("mg/dL", "fasting")
    assert fasting.source.startswith("American Diabetes Association")
    assert ("de", "Blutzucker") in [(alias.language, alias.name) for alias in glucose.aliases]
    assert not glucose.is_qualitative
    assert (glucose.variation.cvi_pct, glucose.variation.cva_pct) == (4.7, 0.58)
    assert "EuBIVAS" in glucose.variation.source


async def test_what_is_open_or_excluded_is_told(ada: As) -> None:
    limit = (await read(ada, "cholesterol_total")).normal_ranges[0]
    assert (limit.HasField("low"), limit.low_included, limit.high, limit.high_included) == (False, False, 200, False)


async def test_factors_and_formulas_have_their_sources(ada: As) -> None:
    insulin = {unit.ucum: unit for unit in (await read(ada, "insulin")).units}
    assert insulin["pmol/L"].factor == pytest.approx(1 / 6, rel=1e-12)
    assert "6.00 pmol/L" in insulin["pmol/L"].source
    hba1c = {unit.ucum: unit for unit in (await read(ada, "hba1c")).units}
    assert (hba1c["mmol/mol"].formula, "IFCC" in hba1c["mmol/mol"].source) == ("hba1c_ifcc", True)


async def test_ranges_by_sex_and_phase(ada: As) -> None:
    ranges = (await read(ada, "estradiol")).normal_ranges
    assert {(r.sex, r.cycle_phase) for r in ranges} == {
        ("male", ""),
        ("female", "follicular"),
        ("female", "ovulation"),
        ("female", "luteal"),
        ("female", "postmenopause"),
    }
    assert (await read(ada, "estradiol")).sex_specific_ranges


async def test_a_qualitative_one_says_what_it_can_be(ada: As) -> None:
    nitrite = await read(ada, "urine_nitrite")
    assert (nitrite.is_qualitative, list(nitrite.results), list(nitrite.units)) == (True, ["negative", "positive"], [])
    assert nitrite.expected_result == "negative"
    assert not (await read(ada, "blood_group_abo")).HasField("expected_result")


async def test_by_its_id(ada: As) -> None:
    assert (await read(ada, str(id_of("glucose")))).slug == "glucose"


async def test_one_that_there_is_not(ada: As) -> None:
    assert await reason(read(ada, "midichlorians")) == "NOT_FOUND"


async def test_the_list_is_whole_in_pages_of_any_size(ada: As) -> None:
    slugs: list[str] = []
    token = ""
    while True:
        page = await listed(ada, page_size=100, page_token=token)
        slugs += [biomarker.slug for biomarker in page.biomarkers]
        if not (token := page.next_page_token):
            break
    assert slugs == list(CATALOGUE.markers)
    assert len((await listed(ada)).biomarkers) == 50


async def test_the_list_by_category_and_specimen(ada: As) -> None:
    lipids = (await listed(ada, category="lipids")).biomarkers
    assert [biomarker.slug for biomarker in lipids][:2] == ["cholesterol_total", "hdl_cholesterol"]
    assert {biomarker.category for biomarker in lipids} == {"lipids"}
    urine = (await listed(ada, specimen="urine", page_size=200)).biomarkers
    assert {biomarker.specimen for biomarker in urine} == {"urine"}
    assert not (await listed(ada, category="alchemy")).biomarkers


async def test_a_token_is_of_its_own_list(ada: As) -> None:
    token = (await listed(ada, page_size=1)).next_page_token
    assert await reason(listed(ada, page_size=1, page_token=token, category="lipids")) == "INVALID_PAGE_TOKEN"
    assert await reason(listed(ada, page_token="x")) == "INVALID_PAGE_TOKEN"


async def test_specimens_are_a_closed_set(ada: As) -> None:
    assert await reason(listed(ada, specimen="tea")) == "INVALID_FIELD"


async def test_searched_over_the_wire(ada: As) -> None:
    found = (await listed(ada, search="vitamin d", page_size=2)).biomarkers
    assert [biomarker.slug for biomarker in found] == ["vitamin_d_25_hydroxy", "vitamin_d_1_25_dihydroxy"]


async def test_categories_in_order_with_their_counts(ada: As) -> None:
    answer = await ada.biomarkers("ListBiomarkerCategories", pb.ListBiomarkerCategoriesRequest())
    assert [(c.slug, c.display_name) for c in answer.categories][:2] == [
        ("metabolic", "Metabolic"),
        ("lipids", "Lipids"),
    ]
    assert sum(category.biomarker_count for category in answer.categories) == len(CATALOGUE.markers)
    first = await ada.biomarkers("ListBiomarkerCategories", pb.ListBiomarkerCategoriesRequest(page_size=18))
    rest = await ada.biomarkers(
        "ListBiomarkerCategories", pb.ListBiomarkerCategoriesRequest(page_size=18, page_token=first.next_page_token)
    )
    assert [*first.categories, *rest.categories] == list(answer.categories)


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("Glucose", "glucose"),
        ("HDL", "hdl_cholesterol"),
        ("choles hdl", "hdl_cholesterol"),
        ("triglycéri", "triglycerides"),
        ("Kreatinin", "creatinine"),
        ("2093-3", "cholesterol_total"),
        (" 14749-6 ", "glucose"),
        ("25-OH vitamin d", "vitamin_d_25_hydroxy"),
        ("Lp(a)", "lipoprotein_a"),
    ],
)
def test_search(typed: str, first: str) -> None:
    assert SEARCH.find(typed)[0].slug == first


@pytest.mark.parametrize("typed", ["", "  ", "...", "flux capacitor", "%", "_"])
def test_a_search_that_finds_nothing(typed: str) -> None:
    assert SEARCH.find(typed) == []


@given(st.text(max_size=100))
def test_any_text_can_be_searched_for(typed: str) -> None:
    found = [marker.slug for marker in SEARCH.find(typed)]
    assert len(set(found)) == len(found)


@given(st.sampled_from(list(CATALOGUE.markers.values())), st.data())
def test_every_name_finds_its_marker(marker: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(marker.names())))
    assert marker in SEARCH.find(name)


class TestTheCopy:
    """The table `biomarkers`."""

    @pytest.fixture
    def database(self, clone_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
        return clone_database("labs")

    @staticmethod
    def rows(database: ServiceDatabase) -> dict[str, dict[str, Any]]:
        with psycopg.connect(database.migrator_url, row_factory=dict_row) as owner:
            return {row["slug"]: row for row in owner.execute("SELECT * FROM biomarkers")}

    @staticmethod
    def store(database: ServiceDatabase, dictionary: Any) -> int:
        engine = sa.create_engine(sa.make_url(database.migrator_url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            changed = store(connection, dictionary)
        engine.dispose()
        return changed

    def test_says_what_the_files_say(self, database: ServiceDatabase) -> None:
        rows = self.rows(database)
        assert set(rows) == set(CATALOGUE.markers)
        hdl = rows["hdl_cholesterol"]
        assert (hdl["id"], hdl["loinc_code"], hdl["sex_specific_ranges"]) == (id_of("hdl_cholesterol"), "2085-9", True)
        assert (hdl["optimal_low_male"], hdl["optimal_high_male"], hdl["optimal_low_female"]) == (60, None, 60)
        # A range that depends on the sex is not one for everybody.
        assert (hdl["normal_low"], rows["sodium"]["normal_low"], rows["sodium"]["normal_high"]) == (None, 136, 145)
        assert "HDL-C" in hdl["aliases"]
        assert hdl["common_units"] == ["mg/dL", "g/L", "mmol/L"]
        assert rows["urine_nitrite"]["is_qualitative"]

    def test_storing_again_changes_nothing(self, database: ServiceDatabase) -> None:
        before = self.rows(database)
        assert self.store(database, CATALOGUE) == 0
        assert self.rows(database) == before

    def test_a_change_and_a_marker_that_is_gone_and_comes_back(self, database: ServiceDatabase) -> None:
        markers = dict(CATALOGUE.markers)
        del markers["nickel_serum"]
        markers["zinc"] = replace(markers["zinc"], display_name="Zink")
        changed = replace(CATALOGUE, markers=MappingProxyType(markers))
        assert self.store(database, changed) == 2
        rows = self.rows(database)
        assert (rows["zinc"]["display_name"], rows["nickel_serum"]["is_active"]) == ("Zink", False)
        assert rows["zinc"]["updated_at"] > rows["zinc"]["created_at"]
        assert self.store(database, CATALOGUE) == 2
        assert self.rows(database)["nickel_serum"]["is_active"]

    def test_the_command(
        self, database: ServiceDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with psycopg.connect(database.migrator_url) as owner:
            owner.execute("UPDATE biomarkers SET description = 'x' WHERE slug = 'zinc'")
        monkeypatch.setenv("LABS_MIGRATOR_DATABASE_URL", database.migrator_url)
        service.SERVICE.commands["load-biomarkers"]([])
        assert capsys.readouterr().out == f"{len(CATALOGUE.markers)} biomarkers, 1 changed\n"
        with pytest.raises(SystemExit, match="usage"):
            service.SERVICE.commands["load-biomarkers"](["again"])

    def test_the_app_has_no_use_for_it(self, database: ServiceDatabase) -> None:
        with (
            psycopg.connect(database.app_url) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute("SELECT FROM biomarkers")

    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            ("slug = 'Not a slug'", "slug"),
            ("loinc_code = '12345'", "loinc_code"),
            ("normal_low = 2, normal_high = 1", "normal_range"),
        ],
    )
    def test_its_checks(self, database: ServiceDatabase, change: str, rule: str) -> None:
        with (
            psycopg.connect(database.migrator_url) as owner,
            pytest.raises(psycopg.errors.CheckViolation, match=f"ck_biomarkers_{rule}"),
        ):
            owner.execute(f"UPDATE biomarkers SET {change} WHERE slug = 'zinc'".encode())

    def test_its_migration_can_be_undone(self, database: ServiceDatabase) -> None:
        migrate.downgrade(database.migrator_url, "labs", "0003")
        migrate.upgrade(database.migrator_url, "labs")
        assert set(self.rows(database)) == set(CATALOGUE.markers)
