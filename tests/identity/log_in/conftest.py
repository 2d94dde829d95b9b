"""Logging in with a second factor, as the tests do it."""

from typing import Any

import pytest

from tests.identity.conftest import Identity
from tests.identity.factors import Owner, somebody
from vitalis.identity.v1 import log_in_pb2, log_in_pb2_grpc
from vitalis.identity.v1 import second_factors_pb2 as pb

WRONG = "SECOND_FACTOR_WRONG"


GONE = "CHALLENGE_INVALID"


@pytest.fixture
async def ada(identity: Identity) -> Owner:
    return await somebody(identity)


@pytest.fixture
async def eve(identity: Identity) -> Owner:
    return await somebody(identity, "eve@example.com")


async def challenge_of(owner: Owner) -> pb.LogInChallenge:
    """What a log-in with the right password is answered; it is no session."""
    answer = await owner.identity.log_in(owner.email)
    assert not answer.HasField("user")
    assert not answer.HasField("tokens")
    return answer.challenge


async def complete(identity: Identity, challenge: pb.LogInChallenge, **factor: Any) -> log_in_pb2.CompleteLogInResponse:
    stub = log_in_pb2_grpc.LogInServiceStub(identity.running.channel)
    request = log_in_pb2.CompleteLogInRequest(challenge=challenge.challenge, **factor)
    answer: log_in_pb2.CompleteLogInResponse = await stub.CompleteLogIn(request, metadata=identity.metadata())
    return answer


async def begin_passkey(identity: Identity) -> pb.LogInChallenge:
    stub = log_in_pb2_grpc.LogInServiceStub(identity.running.channel)
    answer = await stub.BeginPasskeyLogIn(log_in_pb2.BeginPasskeyLogInRequest(), metadata=identity.metadata())
    challenge: pb.LogInChallenge = answer.challenge
    return challenge


async def works(identity: Identity, answer: log_in_pb2.CompleteLogInResponse, owner: Owner) -> None:
    """The answer is a session of the owner."""
    assert answer.user.id == owner.user_id
    assert answer.user.HasField("last_login_at")
    assert (await identity.refresh(answer.tokens.refresh_token)).tokens.access_token
