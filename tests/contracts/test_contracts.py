"""What every proto file says, and in the same way, so that everything else can be derived from it."""

import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

from services.kit.errors import reason_of, register_reasons
from tests.databases import SERVICES as WITH_DATABASE
from tests.rpcs import Rpc, ids, is_required, ours, rpcs
from tests.services import SERVICES
from vitalis.options.v1 import errors_pb2, options_pb2

RPCS = rpcs()
USER_URL = "/api/v1/users/{user_id}"
ADMIN_URL = "/api/v1/admin/users/{user_id}"
# Ids that a request may carry: whose, which one, which request it is, and which one it becomes.
IDS = {"user_id", "id", "request_id", "baseline_id", "earlier_id", "panel_id"}
HTTP_METHODS = {
    "Get": "get",
    "Compare": "get",
    "List": "get",
    "Watch": "get",
    "Download": "get",
    "Export": "get",
    "Update": "patch",
    "Lock": "put",
    "Unlock": "put",
    "Delete": "delete",
}
# Whoever has the URL has what it leads to; the gateway's log and spans name routes, never paths.
LINKS = {"DownloadExport"}
# About the caller alone, at a URL that a specification names.
ABOUT_THE_CALLER = {"SaveOnboardingStep"}
# Figures of everybody, for administrators.
OF_EVERYBODY = {"GetOnboardingFunnel", "CreateSharedBiomarkerAlias", "DeleteSharedBiomarkerAlias"}
# What is the same for everybody is known by a readable name too.
BY_SLUG = {"GetBiomarker"}
# Field numbers of google/protobuf/descriptor.proto, of which a source location's path is made.
KINDS = {
    4: ("message_type", {2: "field", 3: "nested_type", 4: "enum_type", 8: "oneof_decl"}),
    5: ("enum_type", {2: "value"}),
    6: ("service", {2: "method"}),
    7: ("extension", {}),
}


def reasons() -> dict[str, Any]:
    for package in {rpc.method.containing_service.file.package for rpc in RPCS}:
        register_reasons(import_module(f"{package}.errors_pb2").ErrorReason.DESCRIPTOR)
    return {name: reason_of(name) for name in all_reason_names()}


def all_reason_names() -> list[str]:
    enums = [enum for file in ours() for enum in file.enum_type if enum.name == "ErrorReason"]
    return [value.name.removeprefix("ERROR_REASON_") for enum in enums for value in enum.value if value.number]


@pytest.mark.parametrize("rpc", RPCS, ids=ids)
def test_an_rpc_says_who_may_call_it(rpc: Rpc) -> None:
    audience, scope = rpc.access.audience, rpc.access.scope
    assert audience != options_pb2.AUDIENCE_UNSPECIFIED
    if audience == options_pb2.AUDIENCE_GATEWAY:
        assert scope == rpc.url == ""
    elif audience == options_pb2.AUDIENCE_PUBLIC:
        assert scope == ""
    else:
        assert re.fullmatch(r"[a-z_]+\.(read|write)", scope)
        assert scope.endswith(".read") == rpc.only_reads
        # Whose data it is about is in the request, so that kit can hold it against the caller.
        listed = rpc.method.name.startswith("List") or rpc.method.name in OF_EVERYBODY
        of_everybody = audience == options_pb2.AUDIENCE_ADMIN and listed
        assert rpc.takes("user_id") != (of_everybody or rpc.method.name in ABOUT_THE_CALLER)
    # Without their grant administrators look at people's data here and there, and change none.
    assert not rpc.access.admins or rpc.only_reads


@pytest.mark.parametrize("rpc", RPCS, ids=ids)
def test_an_rpc_documents_errors_that_exist(rpc: Rpc) -> None:
    known = reasons()
    for name in rpc.errors:
        assert name in known
        assert not known[name].universal, f"{name} needs no documenting: every RPC answers it"
        assert known[name].domain in (rpc.method.containing_service.file.package, "vitalis.options.v1")
    assert len(set(rpc.errors)) == len(rpc.errors)
    for field, reason in {
        "id": "NOT_FOUND",
        "page_token": "INVALID_PAGE_TOKEN",
        "request_id": "REQUEST_ID_REUSED",
    }.items():
        assert not rpc.takes(field) or reason in rpc.errors


def test_every_reason_has_its_own_code_and_somebody_who_answers_it() -> None:
    documented = {name for rpc in RPCS for name in rpc.errors}
    assert [name for name, reason in reasons().items() if not reason.universal and name not in documented] == []
    assert [name for name, count in Counter(all_reason_names()).items() if count > 1] == []
    assert set(errors_pb2.ErrorReason.keys()) >= {"ERROR_REASON_INTERNAL", "ERROR_REASON_UNAVAILABLE"}


@pytest.mark.parametrize("rpc", RPCS, ids=ids)
def test_an_rpc_and_its_messages_are_named_alike(rpc: Rpc) -> None:
    name = rpc.method.name
    assert rpc.method.input_type.name == f"{name}Request"
    assert rpc.method.output_type.name == f"{name}Response"
    assert rpc.method.containing_service.name.endswith("Service")
    if name.startswith(("List", "BatchUpsert")):
        assert any(field.is_repeated for field in (*rpc.method.output_type.fields, *rpc.method.input_type.fields))
    if name.startswith("List"):
        assert rpc.takes("page_size")
        assert rpc.takes("page_token")
        assert "next_page_token" in rpc.method.output_type.fields_by_name


@pytest.mark.parametrize("rpc", RPCS, ids=ids)
def test_an_rpc_has_a_url_unless_it_is_internal(rpc: Rpc) -> None:
    if rpc.access.audience in (options_pb2.AUDIENCE_INTERNAL, options_pb2.AUDIENCE_GATEWAY):
        assert not rpc.url
        return
    verb = str(rpc.http.WhichOneof("pattern"))
    wanted = next((method for prefix, method in HTTP_METHODS.items() if rpc.method.name.startswith(prefix)), "post")
    assert verb == wanted
    assert re.fullmatch(r"/[a-z0-9.-]+(/([a-z0-9-]+(\.json|\.zip)?|\{[a-z_]+\}))*(:[a-z][A-Za-z]*)?", rpc.url)
    as_admin = rpc.access.audience == options_pb2.AUDIENCE_ADMIN
    if rpc.takes("user_id"):
        assert rpc.url.startswith(ADMIN_URL if as_admin else USER_URL)
    assert set(re.findall(r"\{([a-z_]+)\}", rpc.url)) == {
        name for name in ("user_id", "id", "provider") if rpc.takes(name)
    } | {name for name in ("version",) if rpc.takes(name) and rpc.only_reads} | {
        # What a dictionary knows a thing by.
        name
        for name in ("biomarker", "slug")
        if rpc.only_reads and rpc.takes(name) and is_required(rpc.method.input_type.fields_by_name[name])
    } | {name for name in ("token",) if rpc.method.name in LINKS}
    assert (rpc.http.body == "") == (verb in ("get", "delete"))
    for body, message in ((rpc.http.body, rpc.method.input_type), (rpc.http.response_body, rpc.method.output_type)):
        assert body in ("", "*") or body in message.fields_by_name


def test_urls_are_unlike_each_other() -> None:
    shapes = Counter((rpc.http.WhichOneof("pattern"), re.sub(r"\{.*?\}", "{}", rpc.url)) for rpc in RPCS if rpc.url)
    assert [shape for shape, count in shapes.items() if count > 1] == []


@pytest.mark.parametrize("rpc", RPCS, ids=ids)
def test_a_request_is_bounded_and_its_ids_are_known(rpc: Rpc) -> None:
    loose = []
    for message, field in settable_fields(rpc.method.input_type, set()):
        rules = field.GetOptions().Extensions[validate_pb2.field]
        if field.is_repeated and not is_map(field):
            if not rules.repeated.max_items:
                loose.append(f"{message.name}.{field.name} takes any number of items")
            rules = rules.repeated.items
        if field.type == field.TYPE_STRING and not rules.string.ListFields():
            loose.append(f"{message.name}.{field.name} takes any text")
        if field.type in (field.TYPE_INT32, field.TYPE_DOUBLE) and not rules.ListFields():
            loose.append(f"{message.name}.{field.name} takes any number")
    assert loose == []
    named = {field.name for field in rpc.method.input_type.fields if field.name.endswith("id")}
    assert named <= IDS, "say in tests/rpcs.py and tests/isolation what this id names"
    for name in named - {"request_id"}:
        field = rpc.method.input_type.fields_by_name[name]
        rules = field.GetOptions().Extensions[validate_pb2.field]
        assert rules.string.uuid or rpc.method.name in BY_SLUG
        behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        # Only the first message of an upload carries it; a list or a comparison goes without.
        left_out = rpc.only_reads and rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
        assert field_behavior_pb2.REQUIRED in behaviors or rpc.takes("file") or left_out


@pytest.mark.parametrize("rpc", RPCS, ids=ids)
def test_secrets_are_not_in_urls(rpc: Rpc) -> None:
    if rpc.http.body != "*":
        for _, field in settable_fields(rpc.method.input_type, set()):
            if rpc.method.name not in LINKS:
                assert field.GetOptions().Extensions[options_pb2.sensitivity] != options_pb2.SENSITIVITY_SECRET


def settable_fields(message: Any, before: set[str]) -> Iterator[tuple[Any, Any]]:
    """What a caller may fill in, in a message of ours and those inside it."""
    before.add(message.full_name)
    for field in message.fields:
        if field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
            continue
        yield message, field
        inner = field.message_type
        if inner and inner.full_name.startswith("vitalis.") and inner.full_name not in before and not is_map(field):
            yield from settable_fields(inner, before)


def is_map(field: Any) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


@pytest.mark.parametrize("file", ours(), ids=lambda file: file.name)
def test_everything_has_a_comment(file: descriptor_pb2.FileDescriptorProto) -> None:
    commented = {
        tuple(location.path): (location.leading_comments or location.trailing_comments).strip()
        for location in file.source_code_info.location
    }
    assert commented.get((2,)) or commented.get((12,)) or file.package == "vitalis.options.v1"
    silent = [name for path, name in declarations(file) if not commented.get(path)]
    assert silent == []


def declarations(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Everything that a file declares, with its path in the source info."""
    for number, (name, inside) in KINDS.items():
        for index, item in enumerate(getattr(file, name)):
            if name == "message_type":
                yield from message_declarations(item, (number, index), inside)
                continue
            yield (number, index), item.name
            for inner, part in inside.items():
                for position, child in enumerate(getattr(item, part)):
                    yield (number, index, inner, position), f"{item.name}.{child.name}"


def message_declarations(
    message: descriptor_pb2.DescriptorProto, path: tuple[int, ...], inside: dict[int, str]
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, message.name
    for number, part in inside.items():
        for index, child in enumerate(getattr(message, part)):
            # Made by the compiler: a map's entry, and the oneof of an optional field.
            if (part == "nested_type" and child.options.map_entry) or (
                part == "oneof_decl" and child.name.startswith("_")
            ):
                continue
            if part == "nested_type":
                yield from message_declarations(child, (*path, number, index), inside)
            else:
                yield (*path, number, index), f"{message.name}.{child.name}"


def test_every_service_of_the_contract_is_tested_as_one() -> None:
    assert {rpc.process for rpc in RPCS} == set(SERVICES) == set(WITH_DATABASE)
