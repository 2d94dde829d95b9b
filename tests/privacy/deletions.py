"""How the tests ask for deletions and look at what is left."""

from pathlib import Path
from typing import Any

from services.kit.caller import ANONYMOUS
from tests.privacy.conftest import PASSWORD, Both, Somebody
from vitalis.identity.v1 import (
    consents_pb2,
    deletions_pb2_grpc,
    exports_pb2,
    second_factors_pb2,
    users_pb2,
    users_pb2_grpc,
)
from vitalis.identity.v1 import deletions_pb2 as pb

PROOF = second_factors_pb2.Proof(password=PASSWORD)


async def create(who: Somebody, proof: second_factors_pb2.Proof | None = PROOF) -> pb.Deletion:
    request = pb.CreateDeletionRequest(user_id=who.id, proof=proof)
    return (await who.deletions("CreateDeletion", request)).deletion


async def cancel(who: Somebody, deletion_id: str) -> pb.Deletion:
    request = pb.CancelDeletionRequest(user_id=who.id, id=deletion_id)
    return (await who.deletions("CancelDeletion", request)).deletion


async def cancel_by_token(both: Both, token: str) -> None:
    stub = deletions_pb2_grpc.DeletionsServiceStub(both.identity.channel)
    request = pb.CancelDeletionByTokenRequest(token=token)
    await stub.CancelDeletionByToken(request, metadata=both.identity.metadata(ANONYMOUS), timeout=30)


async def listed(who: Somebody) -> list[pb.Deletion]:
    return list((await who.deletions("ListDeletions", pb.ListDeletionsRequest(user_id=who.id))).deletions)


async def known(both: Both, who: Somebody) -> str:
    stub = users_pb2_grpc.UsersServiceStub(both.identity.channel)
    request = users_pb2.GetUserRequest(user_id=who.id)
    return (await stub.GetUser(request, metadata=both.identity.metadata(who.caller))).user.email


async def fill(who: Somebody) -> None:
    """Something in both services, rows, files and keys."""
    await who.write_days(1000, 2000)
    await who.upload()
    await who.consents("GiveConsent", consents_pb2.GiveConsentRequest(user_id=who.id, purpose="terms", version="1"))
    await who.exports("CreateExport", exports_pb2.CreateExportRequest(user_id=who.id))


def end_grace(both: Both) -> None:
    both.value("identity", "UPDATE deletion_requests SET grace_period_ends_at = now() WHERE status = 'pending'")


def due_now(both: Both) -> None:
    both.value("identity", "UPDATE deletion_requests SET next_attempt_at = now() WHERE status = 'processing'")


def record(both: Both, deletion_id: str) -> dict[str, Any]:
    row: dict[str, Any] = both.value(
        "identity", "SELECT to_jsonb(d) FROM deletion_requests AS d WHERE id = %s", deletion_id
    )
    return row


def files(both: Both) -> list[Path]:
    folders = (both.directory / name for name in ("objects", "exports"))
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


async def erased(both: Both, who: Somebody) -> str:
    """Both passes; the deletion's id."""
    deletion = await create(who)
    end_grace(both)
    await both.run_task("advance_deletions")
    due_now(both)
    await both.run_task("advance_deletions")
    return deletion.id
