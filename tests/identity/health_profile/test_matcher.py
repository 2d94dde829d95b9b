"""What a text names, over the whole list of allergens."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.health_profile.allergens.catalogue import CATALOGUE, Allergen, read
from services.identity.health_profile.allergens.matcher import CONTAINS, MATCHER, MAY_CONTAIN

FOOD = [allergen for allergen in CATALOGUE.by_name if allergen.category == "Food"]
TERMS = [
    (allergen, term)
    for allergen in CATALOGUE.by_name
    for term in (allergen.name, *allergen.synonyms, *allergen.derivatives)
]
NAMES = [(allergen, name) for allergen in FOOD for name in (allergen.name, *allergen.synonyms)]


def found(text: str) -> list[tuple[str, str, str]]:
    """What is found, as name, method and kind."""
    return [(match.allergen.name, match.method, match.kind) for match in MATCHER.match(text)]


def names(text: str) -> list[str]:
    return [name for name, _, _ in found(text)]


@pytest.mark.parametrize(
    "text",
    [
        "nutmeg",
        "Nutmeg powder",
        "butternut squash",
        "eggplant",
        "egg plant",
        "cream of tartar",
        "cocoa butter",
        "butter beans",
        "crab apple",
        "water chestnut",
        "tiger nuts",
        "root beer",
        "glass noodles",
        "grass-fed",
        "milk thistle",
        "sulphate",
        "canola oil",
        "bitter chocolate",
        "house salad",
        "daily",
        "maltodextrin",
        "something else",
        "",
        ".,;()",
    ],
)
def test_what_only_sounds_like_an_allergen_is_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "name", "method"),
    [
        ("Peanuts", "Peanuts", "exact"),
        ("PEANUT", "Peanuts", "exact"),
        ("penuts", "Peanuts", "fuzzy"),
        ("ground-nuts", "Peanuts", "synonym"),
        ("nuts", "Tree nuts", "synonym"),
        ("treenuts", "Tree nuts", "exact"),
        ("brasil nuts", "Brazil nut", "fuzzy"),
        ("hazlenut", "Hazelnut", "fuzzy"),
        ("casein", "Milk", "derivative"),
        ("sodium caseinate", "Milk", "derivative"),
        ("whey", "Milk", "derivative"),
        ("cow's milk", "Milk", "synonym"),
        ("cow’s milk", "Milk", "synonym"),
        ("non-dairy creamer", "Milk", "derivative"),
        ("albumin", "Eggs", "derivative"),
        ("semolina", "Wheat", "derivative"),
        ("tahini", "Sesame", "derivative"),
        ("buckwheat", "Buckwheat", "exact"),
        ("coconut milk", "Coconut", "derivative"),
        ("almond milk", "Almond", "derivative"),
        ("oyster mushroom", "Mushrooms", "derivative"),
        ("shrimps", "Crustaceans", "derivative"),
        ("oyster sauce", "Molluscs", "derivative"),
        ("sulfites", "Sulphites", "synonym"),
        ("Haselnüsse", "Hazelnut", "synonym"),
        ("Haselnuesse", "Hazelnut", "synonym"),
        ("œufs", "Eggs", "synonym"),
        ("cacahuète", "Peanuts", "synonym"),
        ("fruits à coque", "Tree nuts", "synonym"),
        ("leche", "Milk", "synonym"),
        ("amoxicilin", "Penicillins", "fuzzy"),
        ("hay fever", "Pollen", "synonym"),
    ],
)
def test_a_name_is_found_however_it_is_written(text: str, name: str, method: str) -> None:
    (match,) = MATCHER.match(text)
    assert (match.allergen.name, match.method, match.kind) == (name, method, CONTAINS)
    assert (match.confidence == 1) == (method in ("exact", "synonym"))
    assert method != "fuzzy" or match.confidence < 0.9


@pytest.mark.parametrize(
    ("text", "all_of_them"),
    [
        ("pesto", {"Milk", "Pine nut"}),
        ("hot dog", {"Red meat", "Wheat"}),
        # A name that is longer than one in it must not hide what the others say.
        ("garlic bread", {"Garlic", "Wheat"}),
        ("malted milk", {"Barley", "Milk", "Wheat"}),
        ("crab cake", {"Crustaceans", "Wheat"}),
        ("egg pasta", {"Eggs", "Wheat"}),
        ("almond ice cream", {"Almond", "Milk"}),
        ("hazelnut spread", {"Hazelnut", "Milk"}),
        ("peanut butter", {"Peanuts"}),
        ("prawn crackers", {"Crustaceans"}),
        ("rice noodles", {"Rice"}),
        ("soy yogurt", {"Soy"}),
    ],
)
def test_what_is_made_of_several_names_them_all(text: str, all_of_them: set[str]) -> None:
    assert set(names(text)) == all_of_them


@pytest.mark.parametrize(
    ("text", "contained", "maybe"),
    [
        ("may contain traces of nuts", [], ["Tree nuts"]),
        (
            "Contains milk, soy lecithin; may contain traces of nuts and sesame.",
            ["Milk", "Soy"],
            ["Tree nuts", "Sesame"],
        ),
        ("Sugar (may contain peanuts), eggs", ["Eggs"], ["Peanuts"]),
        ("May contain: nuts (almonds), milk. Contains egg.", ["Eggs"], ["Tree nuts", "Almond", "Milk"]),
        ("May contain nuts\nContains fish", ["Fish"], ["Tree nuts"]),
        ("Made in a facility that also processes wheat.", [], ["Wheat"]),
        ("Nuts may be present. Contains egg", ["Eggs"], ["Tree nuts"]),
        ("not suitable for nut allergy sufferers", [], ["Tree nuts"]),
        ("Kann Spuren von Erdnüssen, Soja und Milch enthalten.", [], ["Peanuts", "Soy", "Milk"]),
        ("Peut contenir des traces de fruits à coque", [], ["Tree nuts"]),
        ("Puede contener trazas de huevo", [], ["Eggs"]),
        ("contains fish, may contain fish", ["Fish"], ["Fish"]),
        ("2.5 % milk", ["Milk"], []),
        # What is there stays there, whatever else may be.
        ("Contains milk, nuts may be present", ["Milk"], ["Tree nuts"]),
        ("Contains milk and nuts, eggs and sesame may be present", ["Milk", "Tree nuts"], ["Eggs", "Sesame"]),
        ("Contains milk and nuts may be present", ["Milk", "Tree nuts"], []),
        ("not gluten-free", ["Cereals containing gluten"], []),
        ("no nut-free dishes", ["Tree nuts"], []),
        ("is not free from nuts", ["Tree nuts"], []),
        ("We cannot guarantee that dishes are free from nuts or sesame. Milk", ["Milk"], ["Tree nuts", "Sesame"]),
        ("We can't guarantee nut-free dishes", [], ["Tree nuts"]),
    ],
)
def test_what_may_be_there_is_told_from_what_is(text: str, contained: list[str], maybe: list[str]) -> None:
    assert [name for name, _, kind in found(text) if kind == CONTAINS] == contained
    assert [name for name, _, kind in found(text) if kind == MAY_CONTAIN] == maybe


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("soy-free", []),
        ("dairy-free", []),
        ("glutenfree", []),
        ("glutenfrei", []),
        ("dairy-free cheese", []),
        ("gluten-free bread, butter", ["Milk"]),
        ("bread (gluten-free)", []),
        # Oats are named, and gluten is not all that there is in them.
        ("gluten-free oats", ["Oats"]),
        # The sugar is gone, the protein is not.
        ("lactose-free milk", ["Milk"]),
        ("laktosefreie Milch", ["Milk"]),
        ("eggs, free range", ["Eggs"]),
        ("eggs free from antibiotics", ["Eggs"]),
        ("free range eggs", ["Eggs"]),
        ("without nuts", []),
        ("without nuts or eggs, milk", ["Milk"]),
        ("without nuts and with milk", ["Milk"]),
        ("contains no milk", []),
        ("does not contain peanuts. Contains soy", ["Soy"]),
        ("no added milk", []),
        ("no added sugar milk", ["Milk"]),
        ("without sugar or nuts", []),
        ("free from: milk, eggs and soy. Nuts", ["Tree nuts"]),
        ("free from traces of nuts", []),
        ("ohne Milch", []),
        ("sans gluten", []),
        ("sin leche", []),
        ("vegan cheese", []),
        ("vegan cheese with egg", ["Eggs"]),
        ("plant-based butter and milk", ["Milk"]),
        ("vegan walnut burger", ["Walnut"]),
        ("nut-free pesto", ["Milk"]),
    ],
)
def test_what_a_text_says_is_absent_is_not_found(text: str, left: list[str]) -> None:
    assert names(text) == left


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("peanuts", ["Peanuts"]),
        ("dairy (milk, cheese)", ["Milk"]),
        # The group has them all.
        ("tree nuts (almonds, walnuts)", ["Tree nuts"]),
        ("shellfish and prawns", ["Shellfish"]),
        ("nuts and shellfish", ["Tree nuts", "Shellfish"]),
        # Made of several: which of them it is, nobody has said.
        ("pesto", []),
        ("nutmeg", []),
        ("nuts but not peanuts", ["Tree nuts"]),
        ("not allergic to milk", []),
        ("dust", ["House dust mites"]),
        ("cat and dog hair", ["Cat dander", "Dog dander"]),
    ],
)
def test_a_name_stands_for_one_allergen_or_several_or_none(text: str, named: list[str]) -> None:
    assert [match.allergen.name for match in MATCHER.named(text)] == named


def test_every_term_of_the_list_names_its_allergen() -> None:
    assert [(a.name, term) for a, term in TERMS if a not in _allergens(term)] == []


def test_what_names_nothing_names_nothing() -> None:
    assert [text for text in read("phrases.toml")["nothing"] if MATCHER.match(text)] == []


def _allergens(text: str) -> list[Allergen]:
    return [match.allergen for match in MATCHER.match(text)]


@given(st.sampled_from(TERMS), st.data())
def test_case_hyphens_and_blanks_make_no_difference(pair: tuple[Allergen, str], data: st.DataObject) -> None:
    _, term = pair
    upper = data.draw(st.lists(st.booleans(), min_size=len(term), max_size=len(term)))
    text = "".join(c.upper() if up else c for c, up in zip(term, upper, strict=True))
    assert found(f"  {text.replace(' ', '-')}  ") == found(term)


@given(st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_a_list_names_what_its_parts_name(one: tuple[Allergen, str], other: tuple[Allergen, str]) -> None:
    assert set(names(f"{one[1]}, {other[1]}")) == {*names(one[1]), *names(other[1])}
    kinds = found(f"Contains {one[1]}. May contain {other[1]}.")
    assert {name for name, _, kind in kinds if kind == CONTAINS} == set(names(one[1]))
    assert {name for name, _, kind in kinds if kind == MAY_CONTAIN} == set(names(other[1]))


@given(st.sampled_from(NAMES), st.sampled_from(["{}-free", "{} free", "without {}", "free from {}", "contains no {}"]))
def test_no_allergen_is_found_where_it_is_denied(pair: tuple[Allergen, str], saying: str) -> None:
    allergen, name = pair
    assert allergen not in _allergens(saying.format(name))


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([term for _, term in TERMS] + list(".,;:()&/ ")), max_size=30).map(" ".join)
)
def test_any_text_is_read(text: str) -> None:
    matches = MATCHER.match(text)
    keys = [(match.allergen.id, match.kind) for match in matches]
    assert len(set(keys)) == len(keys)
    assert all(0 < match.confidence <= 1 and match.words for match in matches)
    assert matches == MATCHER.match(text)


def on(list_: str) -> set[str]:
    return {allergen.name for allergen in CATALOGUE.by_name if list_ in allergen.lists}


def test_the_lists_are_those_that_they_say() -> None:
    assert on("eat") == {
        *("Peanuts", "Tree nuts", "Milk", "Eggs", "Wheat", "Soy", "Fish", "Shellfish", "Sesame"),
        *("Mustard", "Celery", "Lupin"),
    }
    assert on("eu") == {
        *("Cereals containing gluten", "Crustaceans", "Eggs", "Fish", "Peanuts", "Soy", "Milk", "Tree nuts"),
        *("Celery", "Mustard", "Sesame", "Sulphites", "Lupin", "Molluscs"),
    }
    assert on("us") == {
        *("Milk", "Eggs", "Fish", "Crustaceans", "Tree nuts", "Peanuts", "Wheat", "Soy", "Sesame"),
    }


def test_who_belongs_to_whom() -> None:
    def members(name: str) -> set[str]:
        (group,) = (allergen for allergen in CATALOGUE.by_name if allergen.name == name)
        return {CATALOGUE.by_id[one].name for one in MATCHER.with_members([group.id])} - {name}

    eu_nuts = {"Almond", "Hazelnut", "Walnut", "Cashew", "Pecan", "Brazil nut", "Pistachio", "Macadamia"}
    assert members("Tree nuts") == eu_nuts | {"Pine nut"}
    assert members("Cereals containing gluten") == {"Wheat", "Rye", "Barley", "Oats"}
    assert members("Shellfish") == {"Crustaceans", "Molluscs"}
    assert members("Coconut") == set()


def test_what_the_fda_recognises_is_its_nine_and_what_belongs_to_them() -> None:
    recognised = {allergen.name for allergen in FOOD if allergen.fda_recognized}
    assert recognised >= on("us") | {"Almond", "Macadamia"}
    assert not recognised & {"Coconut", "Celery", "Mustard", "Lupin", "Molluscs", "Rye", "Oats", "Buckwheat"}


def test_ids_and_names_are_unlike_each_other_and_stay() -> None:
    def unique(values: Iterable[object]) -> bool:
        listed = list(values)
        return len(set(listed)) == len(listed)

    assert unique(allergen.name.lower() for allergen in CATALOGUE.by_name)
    # Rows, other services and clients keep them: an id that changes is another allergen.
    ids = {allergen.name: str(allergen.id) for allergen in CATALOGUE.by_name}
    assert ids["Peanuts"] == "f25ef758-c792-51a0-b442-815dff111124"
