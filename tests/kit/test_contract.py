"""Which service a servicer implements is read from its base class."""

import pytest

from services.kit.contract import ContractError, generated_base, service_of
from vitalis.identity.v1 import users_pb2, users_pb2_grpc
from vitalis.tracking.v1 import wearables_pb2_grpc


class Users(users_pb2_grpc.UsersServiceServicer):
    pass


class FewerUsers(Users):
    pass


class Nothing:
    pass


class Both(Users, wearables_pb2_grpc.WearablesServiceServicer):
    pass


@pytest.mark.parametrize("servicer", [Users, FewerUsers])
def test_a_servicer_names_its_service_by_its_base(servicer: type) -> None:
    assert service_of(servicer) is users_pb2.DESCRIPTOR.services_by_name["UsersService"]
    assert generated_base(servicer) is users_pb2_grpc.UsersServiceServicer


@pytest.mark.parametrize(("servicer", "count"), [(Nothing, 0), (Both, 2)])
def test_what_implements_no_service_or_two_is_refused(servicer: type, count: int) -> None:
    with pytest.raises(ContractError, match=f"{servicer.__name__} implements {count} services"):
        service_of(servicer)
