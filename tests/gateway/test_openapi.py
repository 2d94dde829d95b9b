"""The API's description: valid, complete, and true to the protos."""

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.contract import Audience, Contract, load
from gateway.openapi import describe
from gateway.settings import DESCRIPTOR_SET, GatewaySettings
from tests.gateway.support import compile_set

SETTINGS = GatewaySettings(services={"identity": "x"}, caller_key_file=Path("unused"))


@pytest.fixture(scope="module")
def sample(sample_set: Path) -> dict[str, Any]:
    return described(load(sample_set, ["sample"]))


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load(DESCRIPTOR_SET, ["identity", "tracking", "labs"])


@pytest.fixture(scope="module")
def api(contract: Contract) -> dict[str, Any]:
    return described(contract)


def described(contract: Contract) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(describe(contract, SETTINGS))
    return content


def test_both_descriptions_are_valid(api: dict[str, Any], sample: dict[str, Any]) -> None:
    for description in (api, sample):
        assert list(OpenAPIV31SpecValidator(description).iter_errors()) == []


def test_every_rpc_that_http_reaches_is_described(api: dict[str, Any], contract: Contract) -> None:
    operations = [operation for path in api["paths"].values() for operation in path.values()]
    assert len(operations) == sum(len(rpc.rules) for rpc in contract.rpcs)
    assert {operation["operationId"] for operation in operations} >= {rpc.method.name for rpc in contract.rpcs}
    assert "WriteWearables" not in json.dumps(api)
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"][0] in {tag["name"] for tag in api["tags"]}
        assert {"200", "400", "429", "default"} <= operation["responses"].keys()


def test_who_needs_a_token(api: dict[str, Any], contract: Contract) -> None:
    public = {rpc.method.name for rpc in contract.rpcs if rpc.audience is Audience.PUBLIC}
    for path in api["paths"].values():
        for operation in path.values():
            assert operation["security"] == ([] if operation["operationId"] in public else [{"bearer": []}])
    assert api["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_documented_errors_stand_under_their_status(api: dict[str, Any]) -> None:
    responses = api["paths"]["/api/v1/users/{user_id}/imports"]["post"]["responses"]
    assert "`FILE_TOO_LARGE`: The upload is larger" in responses["413"]["description"]
    assert responses["413"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


def test_daily_rows_have_their_rules(api: dict[str, Any]) -> None:
    fields = api["components"]["schemas"]["WearableDaily"]["properties"]
    assert (fields["steps"]["minimum"], fields["steps"]["maximum"]) == (0, 100_000)
    assert fields["steps"]["description"].startswith("Steps.")
    assert fields["date"]["format"] == "date"
    assert fields["date"]["examples"] == ["2026-11-19"]
    assert "apple_health" in fields["source"]["enum"]
    assert fields["id"]["readOnly"] is True
    assert fields["created_at"] == fields["created_at"] | {"type": "string", "format": "date-time"}
    assert fields["raw_data"]["type"] == "object"
    assert {"date", "source"} <= set(api["components"]["schemas"]["WearableDaily"]["required"])
    email = api["paths"]["/api/v1/users"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert email["properties"]["email"]["format"] == "email"
    assert email["properties"]["email"]["maxLength"] == 254
    assert {"email", "password", "display_name"} <= set(email["required"])


def test_rules_of_every_kind(sample: dict[str, Any]) -> None:
    fields = sample["components"]["schemas"]["Thing"]["properties"]
    text = fields["text"]
    assert (text["minLength"], text["maxLength"], text["pattern"]) == (1, 20, "^[a-z ]*$")
    assert text["examples"] == ["small talk"]
    assert (fields["count"]["minimum"], fields["count"]["exclusiveMaximum"]) == (0, 100)
    assert (fields["tags"]["maxItems"], fields["tags"]["uniqueItems"]) == (5, True)
    assert fields["tags"]["items"]["maxLength"] == 9
    assert fields["kind"]["enum"] == ["KIND_UNSPECIFIED", "KIND_LARGE", "KIND_SMALL"]
    assert fields["large_number"]["type"] == "string"
    assert fields["parts"]["items"] == {"$ref": "#/components/schemas/Thing"}
    assert fields["counts"]["additionalProperties"] == {"type": "integer", "format": "int32"}
    assert fields["owner_email"]["format"] == "email"


def parameters(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {parameter["name"]: parameter for parameter in operation["parameters"]}


def test_that_admins_may_look_is_said(sample: dict[str, Any]) -> None:
    operations = sample["paths"]["/api/v1/users/{user_id}/things/{id}:review"]["get"]
    assert "Administrators may call it about anybody" in operations["description"]
    assert "Administrators" not in sample["paths"]["/api/v1/users/{user_id}/things/{id}"]["get"]["description"]


def test_what_may_be_kept_is_said(sample: dict[str, Any]) -> None:
    kept = sample["paths"]["/api/v1/users/{user_id}/kept-names"]["get"]
    assert parameters(kept)["If-None-Match"]["in"] == "header"
    for status in ("200", "304"):
        headers = kept["responses"][status]["headers"]
        assert headers["Cache-Control"]["schema"] == {"const": "private, no-cache, max-age=60"}
        assert "ETag" in headers
    assert "content" not in kept["responses"]["304"]
    plain = sample["paths"]["/api/v1/users/{user_id}/names"]["get"]
    assert "304" not in plain["responses"]
    assert "If-None-Match" not in parameters(plain)


def test_parameters(sample: dict[str, Any]) -> None:
    found = parameters(sample["paths"]["/api/v1/users/{user_id}/things"]["get"])
    assert found["user_id"]["in"] == "path"
    assert found["filter.at_least"]["in"] == "query"
    assert found["names"]["schema"]["type"] == "array"
    assert found["since"]["schema"]["format"] == "date-time"
    assert found["read_mask"]["schema"]["type"] == "string"
    assert {"filters", "labels", "filter"}.isdisjoint(found)
    me = parameters(sample["paths"]["/api/v1/users/{user_id}/things/{id}"]["get"])["user_id"]["schema"]
    assert me["anyOf"] == [{"const": "me"}, {"type": "string", "format": "uuid"}]
    patch = parameters(sample["paths"]["/api/v1/users/{user_id}/things/{id}"]["patch"])
    assert patch["If-Match"]["in"] == "header"
    assert "update_mask" in patch
    assert "Idempotency-Key" in parameters(sample["paths"]["/api/v1/users/{user_id}/things"]["post"])


def test_bodies(sample: dict[str, Any]) -> None:
    lock = sample["paths"]["/api/v1/users/{user_id}/things/{id}:lock"]["post"]["requestBody"]
    schema = lock["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"why", "thing"}
    assert schema["additionalProperties"] is False
    create = sample["paths"]["/api/v1/users/{user_id}/things"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Thing")
    assert create["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Thing")
    assert "ETag" in create["responses"]["200"]["headers"]


def test_files_and_streams(sample: dict[str, Any]) -> None:
    upload = sample["paths"]["/api/v1/users/{user_id}/files"]["post"]["requestBody"]["content"]
    assert set(upload) == {"application/octet-stream", "multipart/form-data"}
    assert set(upload["multipart/form-data"]["schema"]["properties"]) == {"source", "file_name", "request_id", "file"}
    watch = sample["paths"]["/api/v1/users/{user_id}/things/{id}:watch"]["get"]["responses"]["200"]["content"]
    assert watch["application/x-ndjson"]["schema"]["$ref"].endswith("/Thing")
    file = sample["paths"]["/api/v1/users/{user_id}/files/{id}"]["get"]["responses"]["200"]["content"]
    assert set(file) == {"application/octet-stream"}


def test_paths_are_merged_whatever_their_variables_are_called(tmp_path: Path) -> None:
    source = tmp_path / "merge.proto"
    source.write_text(
        """
        syntax = "proto3";
        package vitalis.merge.v1;
        import "google/api/annotations.proto";
        import "google/api/field_behavior.proto";
        import "vitalis/options/v1/options.proto";
        import "vitalis/options/v1/rules.proto";
        message Thing { string id = 1; }
        message Request { string id = 1; Thing thing = 2; string name = 3; }
        service MergeService {
          rpc Get(Request) returns (Thing) {
            option (google.api.http) = {get: "/x/{id}"};
            option (vitalis.options.v1.access).audience = AUDIENCE_PUBLIC;
          }
          rpc Update(Request) returns (Thing) {
            option (google.api.http) = {patch: "/x/{thing.id}" body: "thing"};
            option (vitalis.options.v1.access).audience = AUDIENCE_PUBLIC;
          }
          rpc Find(Request) returns (Thing) {
            option (google.api.http) = {
              get: "/y/{name=shelves/*/books/*}"
              additional_bindings {get: "/z/{name=**}:find"}
            };
            option (vitalis.options.v1.access).audience = AUDIENCE_PUBLIC;
          }
        }
        """
    )
    api = described(load(compile_set(tmp_path, source), ["merge"]))
    assert list(OpenAPIV31SpecValidator(api).iter_errors()) == []
    assert set(api["paths"]) == {"/x/{id}", "/y/shelves/{name_1}/books/{name_2}", "/z/{name}:find"}
    assert set(api["paths"]["/x/{id}"]) == {"get", "patch"}
    assert [p["name"] for p in api["paths"]["/x/{id}"]["patch"]["parameters"] if p["in"] == "path"] == ["id"]
    ids = {operation["operationId"] for path in api["paths"].values() for operation in path.values()}
    assert len(ids) == 4
