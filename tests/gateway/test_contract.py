"""Contracts that stop the gateway from starting."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.contract import ContractError, load
from gateway.routing import AmbiguousRouteError
from gateway.settings import DESCRIPTOR_SET, GatewaySettings
from gateway.template import TemplateError
from services.kit.errors import reason_of
from tests.gateway.support import compile_set

HEAD = """
syntax = "proto3";
package vitalis.broken.v1;
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/api/httpbody.proto";
import "vitalis/options/v1/options.proto";
import "vitalis/options/v1/rules.proto";
message Thing { string id = 1; google.api.HttpBody file = 2; }
service BrokenService {
"""
PUBLIC = "option (vitalis.options.v1.access).audience = AUDIENCE_PUBLIC;"
KEPT = "option (vitalis.options.v1.cache_seconds) = 60;"
START_ERRORS = (ContractError, AmbiguousRouteError, TemplateError)


def rpc(name: str, http: str, access: str = PUBLIC, request: str = "Thing", response: str = "Thing") -> str:
    return f"rpc {name}({request}) returns ({response}) {{ option (google.api.http) = {{{http}}}; {access} }}"


@pytest.mark.parametrize(
    ("rpcs", "message"),
    [
        ([rpc("Get", 'get: "/x/{id}"', access="")], "/vitalis.broken.v1.BrokenService/Get has google.api.http and no"),
        ([rpc("A", 'get: "/x/{id}"'), rpc("B", 'get: "/x/*"')], "BrokenService/B is also the route of .*/A"),
        ([rpc("A", 'get: "/x/{id}" additional_bindings {get: "/x/{id}"}')], "also the route"),
        ([rpc("A", 'get: "/x/{id"')], "unclosed variable"),
        ([rpc("A", 'get: "/x/{nothing}"')], "has no field nothing"),
        ([rpc("A", 'post: "/x" body: "nothing"')], "has no field nothing"),
        ([rpc("A", 'post: "/x" response_body: "nothing"')], "has no field nothing"),
        ([rpc("A", 'body: "*"')], "rule without a path"),
        ([rpc("A", 'post: "/x" body: "*"', request="stream Thing")], "no google.api.HttpBody"),
        ([rpc("A", 'post: "/x" body: "file"', request="stream Thing", response="stream Thing")], "both ways"),
        ([rpc("A", 'get: "/x"', PUBLIC + "option (vitalis.options.v1.access).admins = true;")], "/A lets admins in"),
        ([rpc("A", 'post: "/x" body: "*"', PUBLIC + KEPT)], "/A has cache_seconds"),
        ([rpc("A", 'get: "/x" additional_bindings {post: "/y"}', PUBLIC + KEPT)], "/A has cache_seconds"),
        ([rpc("A", 'get: "/x"', PUBLIC + KEPT, response="stream Thing")], "/A has cache_seconds"),
        ([rpc("A", 'get: "/x"', PUBLIC + KEPT.replace("60", "-1"))], "/A has cache_seconds"),
    ],
)
async def test_contracts_that_are_refused(
    tmp_path: Path, make_settings: Callable[..., GatewaySettings], rpcs: list[str], message: str
) -> None:
    source = tmp_path / "broken.proto"
    source.write_text(HEAD + "\n".join(rpcs) + "}")
    settings = make_settings(
        services={"identity": "127.0.0.1:1", "broken": "127.0.0.1:1"}, descriptor_set=compile_set(tmp_path, source)
    )
    with pytest.raises(START_ERRORS, match=message):
        create_app(settings)


async def test_identity_is_needed(make_settings: Callable[..., GatewaySettings]) -> None:
    with pytest.raises(ContractError, match="identity"):
        create_app(make_settings(services={"sample": "127.0.0.1:1"}))


def test_a_descriptor_set_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="build the protos"):
        load(tmp_path / "none.binpb", ["identity"])


def test_the_projects_own_contract() -> None:
    contract = load(DESCRIPTOR_SET, ["identity", "tracking", "labs"])
    assert {rpc.service for rpc in contract.rpcs} == {"identity", "tracking", "labs"}
    assert all("WriteWearables" not in rpc.path for rpc in contract.rpcs)
    for found in contract.rpcs:
        for reason in found.errors:
            assert reason_of(reason).name == reason
    alone = load(DESCRIPTOR_SET, ["identity"])
    assert [r.path for r in alone.rpcs] == [r.path for r in contract.rpcs if r.service == "identity"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "setting GATEWAY_SERVICES"),
        ({"GATEWAY_SERVICES": "{}", "GATEWAY_LISTEN": "nowhere"}, "setting GATEWAY_LISTEN"),
        ({"GATEWAY_SERVICES": "{}", "GATEWAY_CALLER_KEY_FILE": "nothing.pem"}, "gateway: "),
    ],
)
def test_the_command_names_what_is_wrong(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    paths = [str(path) for path in sys.path if path]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths), **changes}
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
