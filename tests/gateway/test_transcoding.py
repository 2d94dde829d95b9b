"""From an HTTP request to the request message: the examples of google/api/http.proto, and beyond."""

import json
from pathlib import Path
from typing import Any

import pytest
from protobuf import DescMessage, Registry
from protobuf.wkt import FileDescriptorSet

from gateway.contract import ContractError, Rule
from gateway.decode import RequestDecoder
from gateway.encode import ResponseEncoder
from gateway.routing import Router
from gateway.template import parse
from services.kit.errors import ServiceError
from tests.gateway.support import PROTOS, compile_set

PACKAGE = "vitalis.examples.v1"


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path: Path = compile_set(tmp_path_factory.mktemp("examples"), PROTOS / "examples.proto")
    return FileDescriptorSet.from_binary(path.read_bytes()).to_registry()


def message(registry: Registry, name: str) -> DescMessage:
    found = registry.message(f"{PACKAGE}.{name}")
    assert found
    return found


def transcode(
    registry: Registry, name: str, template: str, url: str, body_rule: str = "", body: str = "", caller: str = ""
) -> dict[str, Any]:
    """The request message's JSON for a URL and a body under a rule."""
    rule = Rule("POST", template, body_rule, "")
    parsed = parse(template)
    router: Router[str] = Router()
    router.add("POST", parsed, "target")
    path, _, query = url.partition("?")
    match = router.match("POST", path)
    assert match
    decoder = RequestDecoder(message(registry, name), rule, parsed)
    request = decoder.decode(match, query, body.encode(), caller)
    content: dict[str, Any] = json.loads(request.to_json(use_proto_field_name=True))
    return content


@pytest.mark.parametrize(
    ("name", "template", "url", "body_rule", "body", "expected"),
    [
        ("GetByName", "/v1/{name=messages/*}", "/v1/messages/123456", "", "", {"name": "messages/123456"}),
        (
            "GetMessageRequest",
            "/v1/messages/{message_id}",
            "/v1/messages/123456?revision=2&sub.subfield=foo",
            "",
            "",
            {"message_id": "123456", "revision": "2", "sub": {"subfield": "foo"}},
        ),
        (
            "UpdateMessageRequest",
            "/v1/messages/{message_id}",
            "/v1/messages/123456",
            "message",
            '{ "text": "Hi!" }',
            {"message_id": "123456", "message": {"text": "Hi!"}},
        ),
        (
            "Message",
            "/v1/messages/{message_id}",
            "/v1/messages/123456",
            "*",
            '{ "text": "Hi!" }',
            {"message_id": "123456", "text": "Hi!"},
        ),
        (
            "GetUsersMessageRequest",
            "/v1/messages/{message_id}",
            "/v1/messages/123456",
            "",
            "",
            {"message_id": "123456"},
        ),
        (
            "GetUsersMessageRequest",
            "/v1/users/{user_id}/messages/{message_id}",
            "/v1/users/ada/messages/123456",
            "",
            "",
            {"user_id": "ada", "message_id": "123456"},
        ),
        (
            "GetMessageRequest",
            "/v1/messages/{message_id}/{sub.subfield}",
            "/v1/messages/123456/foo",
            "",
            "",
            {"message_id": "123456", "sub": {"subfield": "foo"}},
        ),
    ],
)
def test_the_examples_of_http_proto(
    examples: Registry, name: str, template: str, url: str, body_rule: str, body: str, expected: dict[str, Any]
) -> None:
    assert transcode(examples, name, template, url, body_rule, body) == expected


def test_me_is_the_caller(examples: Registry) -> None:
    template = "/v1/users/{user_id}/messages/{message_id}"
    found = transcode(examples, "GetUsersMessageRequest", template, "/v1/users/me/messages/me", caller="ada")
    assert found == {"user_id": "ada", "message_id": "me"}


def test_me_is_nobody_without_a_caller(examples: Registry) -> None:
    with pytest.raises(ServiceError, match="sign in first"):
        transcode(examples, "GetUsersMessageRequest", "/v1/{user_id}", "/v1/me")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/v1?number=-5", {"number": -5}),
        ("/v1?flag=true", {"flag": True}),
        ("/v1?flag=false", {}),
        ("/v1?color=COLOR_RED", {"color": "COLOR_RED"}),
        ("/v1?color=1", {"color": "COLOR_RED"}),
        ("/v1?ratio=1.5e3", {"ratio": 1500}),
        ("/v1?count=18446744073709551614", {"count": "18446744073709551614"}),
        ("/v1?data=aGk%3D", {"data": "aGk="}),
        ("/v1?note=", {"note": ""}),
        ("/v1?note=a+b%26c", {"note": "a b&c"}),
        ("/v1?left=a", {"left": "a"}),
        ("/v1?words=a&words=b&words=a", {"words": ["a", "b", "a"]}),
        ("/v1", {}),
    ],
)
def test_query_parameters_of_every_type(examples: Registry, url: str, expected: dict[str, Any]) -> None:
    assert transcode(examples, "Typed", "/v1", url) == expected


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("/v1?number=x", "number"),
        ("/v1?number=1.5", "number"),
        ("/v1?number=4294967296", "number"),
        ("/v1?number=", "number"),
        ("/v1?number=1&number=2", "number"),
        ("/v1?flag=yes", "flag"),
        ("/v1?color=COLOR_BLUE", "color"),
        ("/v1?ratio=much", "ratio"),
        ("/v1?count=-1", "count"),
        ("/v1?messages=x", "messages"),
        ("/v1?messages.text=x", "messages.text"),
        ("/v1?labels=x", "labels"),
        ("/v1?labels.a=x", "labels.a"),
        ("/v1?nothing=1", "nothing"),
        ("/v1?number.deeper=1", "number.deeper"),
        ("/v1?number", "query"),
        ("/v1?note=%FF", "query"),
        ("/v1?" + "&".join(["words=a"] * 1001), "query"),
    ],
)
def test_query_parameters_that_are_refused_by_name(examples: Registry, url: str, field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        transcode(examples, "Typed", "/v1", url)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize("value", ["secret-value", "99999999999999999999"])
def test_an_error_never_quotes_the_value(examples: Registry, value: str) -> None:
    for arguments in (("/v1", f"/v1?number={value}"), ("/v1/{number}", f"/v1/{value}")):
        with pytest.raises(ServiceError) as caught:
            transcode(examples, "Typed", *arguments)
        assert value not in caught.value.message
    with pytest.raises(ServiceError) as caught:
        transcode(examples, "Typed", "/v1", "/v1", "*", json.dumps({"number": value}))
    assert value not in caught.value.message


@pytest.mark.parametrize(
    ("template", "url", "expected"),
    [
        ("/v1/{number}", "/v1/-7", {"number": -7}),
        ("/v1/{flag}", "/v1/true", {"flag": True}),
        ("/v1/{color}", "/v1/COLOR_RED", {"color": "COLOR_RED"}),
        ("/v1/{left}", "/v1/a", {"left": "a"}),
        ("/v1/{note}", "/v1/%E2%82%AC", {"note": "€"}),
    ],
)
def test_path_variables_of_every_type(examples: Registry, template: str, url: str, expected: dict[str, Any]) -> None:
    assert transcode(examples, "Typed", template, url) == expected


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ("[]", "body", "must be a JSON object"),
        ("null", "body", "must be a JSON object"),
        ('"text"', "body", "must be a JSON object"),
        ("7", "body", "must be a JSON object"),
        ("{", "body", "must be valid JSON in UTF-8"),
        ('{"flag": NaN}', "flag", "must be true or false"),
        ('{"number": "x"}', "number", "must be a 32-bit integer"),
        ('{"number": true}', "number", "must be a 32-bit integer"),
        ('{"flag": "true"}', "flag", "must be true or false"),
        ('{"color": "COLOR_BLUE"}', "color", "must be one of COLOR_UNSPECIFIED, COLOR_RED"),
        ('{"ratio": []}', "ratio", "must be a number"),
        ('{"data": "%%"}', "data", "must be base64"),
        ('{"words": "a"}', "words", "must be a JSON array"),
        ('{"words": ["a", "b", 3, "d"]}', "words[2]", "must be a string"),
        ('{"messages": {}}', "messages", "must be a JSON array"),
        ('{"messages": [{}, {"text": 5}]}', "messages[1].text", "must be a string"),
        ('{"messages": [{}, {}, {"nothing": 5}]}', "messages[2].nothing", "is not a field of this request"),
        ('{"messages": [null]}', "messages[0]", "must be a JSON object"),
        ('{"labels": []}', "labels", "must be a JSON object"),
        ('{"labels": {"a": 1}}', "labels", "each value must be a string"),
        ('{"nothing": 1}', "nothing", "is not a field of this request"),
        ('{"number": ' + "9" * 5000 + "}", "body", "must be valid JSON in UTF-8"),
    ],
)
def test_json_of_the_wrong_shape_is_refused_by_name(examples: Registry, body: str, field: str, rule: str) -> None:
    with pytest.raises(ServiceError) as caught:
        transcode(examples, "Typed", "/v1", "/v1", "*", body)
    assert [(v.field, v.description) for v in caught.value.violations] == [(field, rule)]


@pytest.mark.parametrize("depth", [150, 100_000])
def test_json_that_is_nested_too_deeply(examples: Registry, depth: int) -> None:
    with pytest.raises(ServiceError) as caught:
        transcode(examples, "Typed", "/v1", "/v1", "*", '{"messages":' + "[" * depth + "]" * depth + "}")
    assert caught.value.reason.name == "INVALID_FIELD"


def test_both_spellings_are_read(examples: Registry) -> None:
    for name in ("message_id", "messageId"):
        body = json.dumps({name: "1"})
        assert transcode(examples, "Message", "/v1", "/v1", "*", body) == {"message_id": "1"}
        assert transcode(examples, "Message", "/v1", f"/v1?{name}=1") == {"message_id": "1"}


@pytest.mark.parametrize(
    ("url", "body_rule", "body", "field"),
    [
        ("/v1/1", "*", '{"message_id": "2"}', "message_id"),
        ("/v1/1", "*", '{"messageId": "2"}', "message_id"),
        ("/v1/1?message_id=2", "", "", "message_id"),
        ("/v1/1?messageId=1", "", "", "messageId"),
        ("/v1/1?text=x", "*", "{}", "text"),
        ("/v1/1", "", '{"text": "x"}', "body"),
    ],
)
def test_the_url_may_not_be_contradicted(examples: Registry, url: str, body_rule: str, body: str, field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        transcode(examples, "Message", "/v1/{message_id}", url, body_rule, body)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_the_body_may_repeat_the_url(examples: Registry) -> None:
    found = transcode(examples, "Message", "/v1/{message_id}", "/v1/1", "*", '{"message_id": "1", "text": "x"}')
    assert found == {"message_id": "1", "text": "x"}


def test_a_repeated_field_takes_a_json_array_as_the_body(examples: Registry) -> None:
    found = transcode(examples, "Typed", "/v1", "/v1", "messages", '[{"text": "a"}, {"text": "b"}]')
    assert found == {"messages": [{"text": "a"}, {"text": "b"}]}
    with pytest.raises(ServiceError, match="body"):
        transcode(examples, "Typed", "/v1", "/v1", "messages", "{}")


def test_the_bodys_field_is_no_query_parameter(examples: Registry) -> None:
    with pytest.raises(ServiceError) as caught:
        transcode(examples, "UpdateMessageRequest", "/v1", "/v1?message.text=x", "message", "{}")
    assert caught.value.violations[0].field == "message.text"


@pytest.mark.parametrize(
    ("template", "body_rule"),
    [
        ("/v1/{nothing}", ""),
        ("/v1/{messages}", ""),
        ("/v1/{labels}", ""),
        ("/v1/{number.deeper}", ""),
        ("/v1", "nothing"),
    ],
)
def test_a_rule_that_its_request_cannot_carry_is_refused_at_start(
    examples: Registry, template: str, body_rule: str
) -> None:
    with pytest.raises(ContractError):
        RequestDecoder(message(examples, "Typed"), Rule("GET", template, body_rule, ""), parse(template))


def test_response_bodies(examples: Registry) -> None:
    typed: Any = message(examples, "Typed").type.from_json('{"words": ["a"], "messages": [{"text": "é"}], "number": 7}')
    data = typed.to_binary()

    def body(field: str) -> Any:
        return json.loads(ResponseEncoder(message(examples, "Typed"), field).encode(data).body)

    assert body("words") == ["a"]
    assert body("messages") == [{"message_id": "", "text": "é"}]
    assert body("number") == 7
    assert body("")["words"] == ["a"]
    with pytest.raises(ContractError):
        ResponseEncoder(message(examples, "Typed"), "nothing")


def test_a_resource_that_is_missing_is_an_empty_one(examples: Registry) -> None:
    encoder = ResponseEncoder(message(examples, "UpdateMessageRequest"), "message")
    assert json.loads(encoder.encode(b"").body) == {"message_id": "", "text": ""}
