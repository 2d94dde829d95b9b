"""The grammar of path templates."""

import pytest

from gateway.template import TemplateError, Variable, Wild, parse


@pytest.mark.parametrize(
    ("text", "segments", "verb", "variables"),
    [
        ("/v1/messages", ("v1", "messages"), "", ()),
        ("/v1/*/**", ("v1", Wild.ONE, Wild.REST), "", ()),
        ("/v1/{id}", ("v1", Wild.ONE), "", (Variable("id", 1, 2, True),)),
        ("/v1/{id=*}", ("v1", Wild.ONE), "", (Variable("id", 1, 2, True),)),
        ("/v1/{name=shelves/*}", ("v1", "shelves", Wild.ONE), "", (Variable("name", 1, 3, False),)),
        ("/v1/{name=**}", ("v1", Wild.REST), "", (Variable("name", 1, None, False),)),
        ("/v1/{name=a/**}:lock", ("v1", "a", Wild.REST), "lock", (Variable("name", 1, None, False),)),
        ("/v1/{a.b}/c:d", ("v1", Wild.ONE, "c"), "d", (Variable("a.b", 1, 2, True),)),
        ("/v1/a%20b", ("v1", "a b"), "", ()),
        ("/.well-known/jwks.json", (".well-known", "jwks.json"), "", ()),
    ],
)
def test_what_a_template_means(
    text: str, segments: tuple[str | Wild, ...], verb: str, variables: tuple[Variable, ...]
) -> None:
    template = parse(text)
    assert (template.segments, template.verb, template.variables) == (segments, verb, variables)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1/x",
        "/",
        "/v1/",
        "/v1//x",
        "/v1/{",
        "/v1/{id",
        "/v1/{}",
        "/v1/{1d}",
        "/v1/{id=}",
        "/v1/{a={b}}",
        "/v1/**/x",
        "/v1/{a=**}/x",
        "/v1/x:",
        "/v1/x:a:b",
        "/v1/x:a/b",
        "/v1/{id}x",
        "/v1/***",
        "/v1/x?y",
        "/v1/{id}/{id}",
    ],
)
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(TemplateError, match="path template"):
        parse(text)
