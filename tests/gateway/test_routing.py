"""Which route a path leads to, and what it binds."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.routing import AmbiguousRouteError, Match, Router
from gateway.template import Template, Wild, parse


class Target(str):
    """A route that remembers its template."""

    template: Template


def router_of(*routes: str) -> Router[Target]:
    router: Router[Target] = Router()
    for route in routes:
        method, _, text = route.partition(" ")
        target = Target(route)
        target.template = parse(text)
        router.add(method, target.template, target)
    return router


def bound(match: Match[Target] | None) -> dict[str, str]:
    assert match
    return {variable.field: match.value(variable) for variable in match.target.template.variables}


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/v1/{name=messages/*}", "/v1/messages/123456", {"name": "messages/123456"}),
        ("/v1/messages/{message_id}", "/v1/messages/123456", {"message_id": "123456"}),
        (
            "/v1/users/{user_id}/messages/{message_id}",
            "/v1/users/me/messages/123456",
            {"user_id": "me", "message_id": "123456"},
        ),
        ("/v1/messages/{message_id}/{sub.subfield}", "/v1/messages/1/foo", {"message_id": "1", "sub.subfield": "foo"}),
        ("/v1/{name=shelves/*/books/*}", "/v1/shelves/1/books/2", {"name": "shelves/1/books/2"}),
        ("/v1/{name=**}", "/v1/a/b/c", {"name": "a/b/c"}),
        ("/v1/{name=**}", "/v1/a", {"name": "a"}),
        ("/v1/{name=**}", "/v1", {"name": ""}),
        ("/v1/{name=files/**}:lock", "/v1/files/a/b:lock", {"name": "files/a/b"}),
        ("/v1/*/{id}", "/v1/anything/7", {"id": "7"}),
        # One segment is decoded whole, several but for the slash.
        ("/v1/messages/{id}", "/v1/messages/a%2Fb%20c", {"id": "a/b c"}),
        ("/v1/{name=messages/*}", "/v1/messages/a%2Fb%20c", {"name": "messages/a%2Fb c"}),
        ("/v1/{name=messages/*}", "/v1/messages/a%2fb", {"name": "messages/a%2fb"}),
        ("/v1/{name=**}", "/v1/a%2Fb/c%3A%C3%A9", {"name": "a%2Fb/c:é"}),
        # A literal is matched decoded.
        ("/v1/a%20b/{id}", "/v1/a%20b/1", {"id": "1"}),
        ("/v1/messages/{id}", "/v1/%6Dessages/1", {"id": "1"}),
        # A colon that is no verb belongs to the value; an encoded one always does.
        ("/v1/messages/{id}", "/v1/messages/a:b", {"id": "a:b"}),
        ("/v1/messages/{id}:lock", "/v1/messages/a:b:lock", {"id": "a:b"}),
    ],
)
def test_what_a_path_binds(template: str, path: str, values: dict[str, str]) -> None:
    assert bound(router_of(f"GET {template}").match("GET", path)) == values


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/v1/messages/{id}", "/v1/messages"),
        ("/v1/messages/{id}", "/v1/messages/"),
        ("/v1/messages/{id}", "/v1/messages/1/2"),
        ("/v1/messages/{id}", "/v1/messages/1/"),
        ("/v1/messages/{id}", "/v2/messages/1"),
        ("/v1/messages/{id}", "v1/messages/1"),
        ("/v1/messages/{id}", ""),
        ("/v1/messages/{id}:lock", "/v1/messages/1"),
        ("/v1/messages/{id}:lock", "/v1/messages/1%3Alock"),
        ("/v1/messages/{id}:lock", "/v1/messages/:lock"),
        ("/v1/{name=shelves/*}", "/v1/shelves/1/2"),
    ],
)
def test_what_a_path_does_not_lead_to(template: str, path: str) -> None:
    assert router_of(f"GET {template}").match("GET", path) is None


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/users/me", "GET /v1/users/me"),
        ("/v1/users/you", "GET /v1/users/{id}"),
        ("/v1/users/me/days", "GET /v1/users/me/days"),
        # The literal leads nowhere further, so the variable is tried.
        ("/v1/users/me/nights", "GET /v1/users/{id}/nights"),
        ("/v1/users/you/days", "GET /v1/users/{id=*}/*"),
        ("/v1/users/you/days/1", "GET /v1/users/{name=**}"),
        ("/v1/users/you:lock", "GET /v1/users/{id}:lock"),
        ("/v1/users/you:open", "GET /v1/users/{id}"),
        ("/v1/users/you/days:lock", "GET /v1/users/{id=*}/*"),
    ],
)
def test_precedence(path: str, route: str) -> None:
    router = router_of(
        "GET /v1/users/{name=**}",
        "GET /v1/users/{id=*}/*",
        "GET /v1/users/{id}",
        "GET /v1/users/{id}/nights",
        "GET /v1/users/me/days",
        "GET /v1/users/me",
        "GET /v1/users/{id}:lock",
        "DELETE /v1/users/{id}",
    )
    match = router.match("GET", path)
    assert match
    assert match.target == route


def test_a_method_without_the_literal_route_falls_to_the_variable() -> None:
    router = router_of("GET /v1/users/me", "DELETE /v1/users/{id}")
    match = router.match("DELETE", "/v1/users/me")
    assert match
    assert match.target == "DELETE /v1/users/{id}"
    assert router.allowed("/v1/users/me") == ["DELETE", "GET"]
    assert router.allowed("/v1/users/you") == ["DELETE"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/v1/{id}", "/v1/{name}"),
        ("/v1/{id}", "/v1/*"),
        ("/v1/{a=**}", "/v1/**"),
        ("/v1/{a=x/*}", "/v1/x/{b}"),
        ("/v1/x:lock", "/v1/x:lock"),
        ("/v1/a b", "/v1/a%20b"),
    ],
)
def test_routes_that_nothing_tells_apart_are_refused(first: str, second: str) -> None:
    with pytest.raises(AmbiguousRouteError, match="GET"):
        router_of(f"GET {first}", f"GET {second}")


def test_a_path_that_is_not_utf_8_is_an_error_of_its_own() -> None:
    with pytest.raises(UnicodeDecodeError):
        router_of("GET /v1/{id}").match("GET", "/v1/%FF")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(names, min_size=1, max_size=5))
def test_every_text_survives_the_way_through_a_path(values: list[str]) -> None:
    template = "/v1" + "".join(f"/{{f{index}}}" for index in range(len(values)))
    path = "/v1" + "".join("/" + quote(value, safe="") for value in values)
    match = router_of(f"GET {template}").match("GET", path)
    assert bound(match) == {f"f{index}": value for index, value in enumerate(values)}


literals = st.sampled_from(["a", "b", "c"])
shapes = st.lists(st.one_of(literals, st.just(Wild.ONE)), min_size=1, max_size=4)


def written(shape: list[str | Wild]) -> str:
    return "/" + "/".join("*" if part is Wild.ONE else str(part) for part in shape)


def fits(shape: list[str | Wild], path: list[str]) -> bool:
    return len(shape) == len(path) and all(part in (Wild.ONE, text) for part, text in zip(shape, path, strict=True))


@given(st.lists(shapes, min_size=1, max_size=12, unique_by=tuple), st.lists(literals, min_size=1, max_size=4))
def test_the_trie_agrees_with_trying_every_template(routes: list[list[str | Wild]], path: list[str]) -> None:
    router = router_of(*(f"GET {written(shape)}" for shape in routes))
    # A literal goes before `*` from the left on.
    fitting = sorted((shape for shape in routes if fits(shape, path)), key=lambda s: [p is Wild.ONE for p in s])
    match = router.match("GET", "/" + "/".join(path))
    assert (match and match.target) == (f"GET {written(fitting[0])}" if fitting else None)


@given(names)
def test_a_verb_is_found_whatever_stands_before_it(value: str) -> None:
    assume(value != "")
    match = router_of("POST /v1/{id}:lock").match("POST", f"/v1/{quote(value, safe='')}:lock")
    assert bound(match) == {"id": value}


def test_the_cost_of_a_match_depends_on_the_path_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = 0
    find = Router._find

    def counting(self: Router[Any], *arguments: Any) -> Any:
        nonlocal visits
        visits += 1
        return find(self, *arguments)

    monkeypatch.setattr(Router, "_find", counting)

    def cost(router: Router[Target], path: str) -> int:
        nonlocal visits
        visits = 0
        assert router.match("GET", path)
        return visits

    three = [f"GET /api/v1/users/{{user_id}}/thing-0{suffix}" for suffix in ("", "/{id}", "/{id}:watch")]
    others = [
        f"GET /api/v1/users/{{user_id}}/thing-{number}{suffix}"
        for number in range(1, 100)
        for suffix in ("", "/{id}", "/{id}:watch")
    ]
    small, large = router_of(*three), router_of(*three, *others)
    for path in ("/api/v1/users/me/thing-0", "/api/v1/users/me/thing-0/7", "/api/v1/users/me/thing-0/7:watch"):
        segments = path.count("/")
        assert cost(small, path) == cost(large, path) == segments + 1
