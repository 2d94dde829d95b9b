"""A service whose contract is broken does not start, and says what is wrong."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from services.kit.contract import ContractError
from services.kit.database import Database, new_metadata, owned
from services.kit.errors import register_reasons
from services.kit.interceptor import Interceptor
from services.kit.rows import RowMapping
from tests.kit.support import compile_protos, importable, write_protos

PACKAGE = "vitalis.{name}.v1"
ERRORS = """
enum ErrorReason {{
  ERROR_REASON_UNSPECIFIED = 0;
  ERROR_REASON_{reason} = 1 {code};
}}
"""
HEAD = """
syntax = "proto3";
package vitalis.{name}.v1;
import "buf/validate/validate.proto";
import "google/api/field_behavior.proto";
import "google/protobuf/timestamp.proto";
import "vitalis/options/v1/options.proto";
"""
USER = 'option (vitalis.options.v1.access) = {audience: AUDIENCE_USER, scope: "things.read"};'
SERVICE = """
service ThingsService {{
  rpc GetThing({stream}GetThingRequest) returns ({stream}GetThingResponse) {{ {options} }}
}}
message GetThingRequest {{ string text = 1 {rule}; }}
message GetThingResponse {{}}
"""
MESSAGE = """
message Thing {
  string id = 1;
  string user_id = 2;
  string title = 3;
  google.protobuf.Timestamp created_at = 4;
  google.protobuf.Timestamp updated_at = 5;
}
"""

Compile = Callable[..., ModuleType]


@pytest.fixture
def compiled(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Compile]:
    """Compiles a package of its own: `things_pb2`, and `errors_pb2` beside it."""

    def compile_package(name: str, things: str, reason: str = "", code: str = "") -> ModuleType:
        head = HEAD.format(name=name)
        reason = reason or f"{name.upper()}_BROKEN"
        code = code or "[(vitalis.options.v1.code) = INTERNAL]"
        folder = f"vitalis/{name}/v1"
        sources = {
            f"{folder}/errors.proto": head + ERRORS.format(reason=reason, code=code),
            f"{folder}/things.proto": head + things,
        }
        target = tmp_path / "out"
        target.mkdir(exist_ok=True)
        compile_protos(write_protos(tmp_path / name, sources), target)
        return importlib.import_module(f"{PACKAGE.format(name=name)}.things_pb2")

    with importable(tmp_path / "out"):
        yield compile_package


def guard(things: ModuleType) -> Interceptor:
    """What a server builds before it listens."""
    verifier: Any = None
    access: Any = None
    return Interceptor([things.DESCRIPTOR.services_by_name["ThingsService"]], verifier, 30, access)


def service(options: str = USER, rule: str = "", stream: str = "") -> str:
    return SERVICE.format(options=options, rule=rule, stream=stream)


def test_a_whole_contract_is_taken(compiled: Compile) -> None:
    guard(compiled("whole", service(USER + 'option (vitalis.options.v1.errors) = "NOT_FOUND";')))


def test_an_rpc_without_an_access_option_is_refused(compiled: Compile) -> None:
    with pytest.raises(ContractError, match=r"noaccess\.v1\.ThingsService\.GetThing has no \(vitalis"):
        guard(compiled("noaccess", service("")))


def test_an_access_option_without_an_audience_is_refused(compiled: Compile) -> None:
    options = 'option (vitalis.options.v1.access).scope = "things.read";'
    with pytest.raises(ContractError, match="GetThing has no"):
        guard(compiled("noaudience", service(options)))


@pytest.mark.parametrize("audience", ["ADMIN", "PUBLIC", "INTERNAL", "GATEWAY"])
def test_admins_besides_an_audience_that_is_no_persons_are_refused(compiled: Compile, audience: str) -> None:
    options = f"option (vitalis.options.v1.access) = {{audience: AUDIENCE_{audience}, admins: true}};"
    with pytest.raises(ContractError, match="GetThing lets admins in"):
        guard(compiled(f"admins{audience.lower()}", service(options)))


def test_an_error_that_does_not_exist_is_refused(compiled: Compile) -> None:
    options = USER + 'option (vitalis.options.v1.errors) = "NO_SUCH_REASON";'
    with pytest.raises(ContractError, match="GetThing documents the unknown error NO_SUCH_REASON"):
        guard(compiled("unknown", service(options)))


def test_a_rule_that_does_not_compile_is_refused(compiled: Compile) -> None:
    rule = '[(buf.validate.field).cel = {id: "x", expression: "this.nonsense("}]'
    with pytest.raises(ContractError, match=r"badrule\.v1\.GetThingRequest"):
        guard(compiled("badrule", service(rule=rule)))


def test_a_reason_without_a_code_is_refused(compiled: Compile) -> None:
    things = compiled("nocode", service(), code="[(vitalis.options.v1.universal) = true]")
    with pytest.raises(ValueError, match="ERROR_REASON_NOCODE_BROKEN has no"):
        guard(things)


def test_a_reason_of_two_services_is_refused(compiled: Compile) -> None:
    """A client knows a reason by its name."""
    things = compiled("twice", service(), reason="NOT_FOUND")
    with pytest.raises(ValueError, match=r"NOT_FOUND is an error reason of vitalis\.options\.v1 and of vitalis\.twice"):
        guard(things)
    again = importlib.import_module("vitalis.options.v1.errors_pb2").ErrorReason.DESCRIPTOR
    register_reasons(again)


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("more", [sa.Column("title", sa.Text), sa.Column("colour", sa.Text)], "colour"),
        ("fewer", [], "title"),
        ("other", [sa.Column("titel", sa.Text)], "titel, title"),
    ],
)
def test_a_column_and_a_field_that_do_not_match_are_refused(
    compiled: Compile, name: str, columns: list[Any], message: str
) -> None:
    things = compiled(f"column{name}", MESSAGE)
    table = sa.Table("things", new_metadata(), *owned(), *columns)
    with pytest.raises(
        ContractError,
        match=rf"things and vitalis\.column{name}\.v1\.Thing do not match: {message} is in one of them only",
    ):
        RowMapping(things.Thing, table)


async def test_a_service_with_a_broken_contract_needs_no_database_to_say_so(compiled: Compile) -> None:
    """The check comes with the server's making, before anything listens."""
    with pytest.raises(ContractError):
        guard(compiled("early", service("")))
    assert Database("postgresql://127.0.0.1:1/nothing").pool.closed
