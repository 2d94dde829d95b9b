"""The generated types and routes say what the protos say."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from tests.client.server.base import to_json
from tests.rpcs import Rpc, rpcs
from vitalis.tracking.v1 import wearables_pb2
from vitalis_client.cli.tables import DAYS
from vitalis_client.contract import models, routes
from vitalis_client.route import Route

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("client_generate", ROOT / "client" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_generated_is_what_the_protos_say_now(generate: ModuleType, tmp_path: Path) -> None:
    generate.main(ROOT / "gen" / "vitalis.binpb", tmp_path)
    for name in ("models.py", "routes.py"):
        assert (tmp_path / name).read_text() == (generate.TARGET / name).read_text(), "run `make protos`"


def test_every_rpc_with_a_url_has_a_route() -> None:
    # A file has no model.
    asked = [rpc for rpc in rpcs() if rpc.url and not answers_with_a_file(rpc)]
    wanted = {(str(rpc.http.WhichOneof("pattern")).upper(), rpc.url) for rpc in asked}
    found = {(route.method, route.path) for route in vars(routes).values() if isinstance(route, Route)}
    assert found == wanted


def answers_with_a_file(rpc: Rpc) -> bool:
    body = rpc.method.output_type.fields_by_name.get(rpc.http.response_body)
    return bool(body and body.message_type and body.message_type.full_name == "google.api.HttpBody")


def test_a_value_that_nobody_measured_is_none_and_never_zero() -> None:
    day = models.Day.model_validate_json(to_json(wearables_pb2.Day(date="2026-11-19", steps=0)))
    assert day.steps == 0
    assert day.resting_hr_bpm is None
    assert day.hrv_sdnn_ms is None
    assert day.sources == {}


def test_instants_are_aware_and_nested_messages_are_models() -> None:
    night = wearables_pb2.WearableSleep(sleep_date="2026-11-19", total_sleep_minutes=440)
    for name in ("created_at", "updated_at", "sleep_start"):
        getattr(night, name).FromJsonString("2026-11-18T22:30:00.123456789Z")
    night.hypnogram.add(stage="rem").t.FromJsonString("2026-11-19T01:00:00Z")
    night.raw_data["device"] = "watch"
    read = models.WearableSleep.model_validate_json(to_json(night))
    assert read.sleep_start
    assert read.sleep_start.isoformat() == "2026-11-18T22:30:00.123456+00:00"
    assert read.sleep_end is None
    assert [(part.stage, part.t.hour) for part in read.hypnogram] == [("rem", 1)]
    assert read.raw_data == {"device": "watch"}


def test_fields_of_a_newer_server_are_ignored() -> None:
    assert models.Day.model_validate_json('{"date": "2026-11-19", "brand_new": 1}').date == "2026-11-19"


def test_comments_come_along() -> None:
    assert models.Day.model_fields["distance_m"].description == "Distance on foot, metres."
    assert models.Import.__doc__ == "One import."


def test_a_table_of_days_has_a_place_for_every_value() -> None:
    values = {name: 50 for name in models.Day.model_fields if name not in ("date", "sources")}
    for name in values:
        day = models.Day.model_validate({"date": "2026-11-19", name: 50})
        shown = [column.label for column in DAYS if column.text(day)]
        assert len(shown) == 2, f"{name} has no column in {shown}"


def test_ids_are_escaped_in_urls() -> None:
    assert routes.GET_IMPORT.url(user_id="me", id="a/b?c") == "/api/v1/users/me/imports/a%2Fb%3Fc"


def test_messages_of_their_own_kind_names_of_the_language_and_any_values(generate: ModuleType, tmp_path: Path) -> None:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tree.proto", package="vitalis.tree.v1")
    tree = file.message_type.add(name="Tree")
    tree.field.add(name="branches", number=1, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE)
    tree.field[0].type_name = ".vitalis.tree.v1.Tree"
    tree.field.add(name="from", number=2, type=field.TYPE_STRING)
    tree.field.add(name="is", number=4, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    tree.field.add(name="fruit", number=3, type=field.TYPE_MESSAGE, type_name=".google.protobuf.Value")
    grow = file.service.add(name="TreeService").method.add(name="GetTree", output_type=".vitalis.tree.v1.Tree")
    grow.options.Extensions[annotations_pb2.http].get = "/api/v1/tree"
    file.source_code_info.SetInParent()
    contract = tmp_path / "contract.binpb"
    contract.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    generate.main(contract, tmp_path)
    written: dict[str, Any] = {"__name__": "written"}
    exec((tmp_path / "models.py").read_text(), written)
    written["Tree"].model_rebuild(_types_namespace=written)
    text = '{"branches":[{"branches":[],"from":"stem","is":[],"fruit":1.5}],"from":"root","is":["a"],"fruit":{"b":1}}'
    read = written["Tree"].model_validate_json(text)
    assert (read.from_, read.branches[0].from_, read.branches[0].branches) == ("root", "stem", [])
    assert read.model_dump_json() == text


def test_what_can_be_absent_from_an_answer_is_optional_and_so_may_be_none(generate: ModuleType) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "gen" / "vitalis.binpb").read_bytes())
    contract, kind = generate.Contract(files), descriptor_pb2.FieldDescriptorProto
    wrong = [
        f"{name}.{field.name}"
        for name in contract.reachable()
        for field in contract.messages[name].field
        if field.type == kind.TYPE_MESSAGE
        and field.label != kind.LABEL_REPEATED
        and not field.HasField("oneof_index")
        and "absent" in contract.comments[f"{name}.{field.name}"]
    ]
    assert wrong == []
