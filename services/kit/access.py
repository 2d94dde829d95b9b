"""Who works on somebody else's data, and who was refused: recorded before the answer goes out."""

from dataclasses import replace

import structlog

from services.kit.audit import record
from services.kit.caller import ANONYMOUS, GATEWAY, Caller
from services.kit.contract import Rpc
from services.kit.database import Database
from services.kit.errors import DENIALS
from services.kit.personal import MENTAL_WELLNESS
from vitalis.options.v1 import options_pb2

log = structlog.get_logger()
# Roles of callers who are no person that has proved who they are.
NOBODY = frozenset({ANONYMOUS.role, GATEWAY.role, "service"})


class AccessLog:
    """Who was let to somebody else's data, and who was not; the interceptor asks it about every RPC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, caller: Caller, rpc: Rpc) -> None:
        """Records that somebody is about to work on another person's data: READ, or ACCESS for more than reading.

        A service that works for the person is no stranger, but whoever reads
        about their mental wellness is named. Raises what the database raises: an
        access that cannot be recorded is none.
        """
        is_open = rpc.audience in (options_pb2.AUDIENCE_PUBLIC, options_pb2.AUDIENCE_GATEWAY)
        is_stranger = caller.is_delegate or rpc.audience == options_pb2.AUDIENCE_ADMIN
        if is_open or not (is_stranger or (caller.is_service and MENTAL_WELLNESS in rpc.sensitive)):
            return
        details = {"rpc": rpc.path.lstrip("/"), **({"sensitive": rpc.sensitive} if rpc.sensitive else {})}
        async with self._database.transaction(caller) as connection:
            await record(connection, "READ" if rpc.only_reads else "ACCESS", details)

    async def deny(self, caller: Caller, rpc: Rpc, reason: str) -> None:
        """Records that a person was refused, in their own trail and that of the person they act for.

        They are refused whether or not that can be recorded.
        """
        if reason not in DENIALS or caller.role in NOBODY:
            return
        details = {"rpc": rpc.path.lstrip("/"), "reason": reason}
        for trail in {caller.actor, caller.subject or caller.actor}:
            try:
                async with self._database.transaction(replace(caller, subject=trail)) as connection:
                    await record(connection, "DENIED", details)
            except Exception as error:
                log.error("a denied access was not recorded", kind=type(error).__name__, request_id=caller.request_id)
