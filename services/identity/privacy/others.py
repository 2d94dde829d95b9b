"""The other services' person data: everything out, everything gone."""

from collections.abc import AsyncIterator, Mapping

import grpc

from services.kit.caller import current
from services.kit.errors import from_rpc_error
from services.kit.privacy import Erased
from vitalis.common.v1 import person_data_pb2 as pb
from vitalis.common.v1 import person_data_pb2_grpc

# Years of data and large files, over a slow network.
EXPORT_SECONDS = 3600.0
ERASE_SECONDS = 600.0


class OtherServices:
    """The other services by their names, asked about the current subject. Every method raises ServiceError."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self.names = tuple(sorted(channels))
        self._stubs = {name: person_data_pb2_grpc.PersonDataServiceStub(channel) for name, channel in channels.items()}

    async def export(self, name: str) -> AsyncIterator[pb.ExportPersonDataResponse]:
        """Everything that the service holds about the subject."""
        request = pb.ExportPersonDataRequest(user_id=current().subject)
        try:
            async for part in self._stubs[name].ExportPersonData(request, timeout=EXPORT_SECONDS):
                yield part
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def erase(self, name: str, category: str) -> Erased:
        """Erases the subject there, or their data of one category."""
        request = pb.ErasePersonDataRequest(user_id=current().subject, category=category)
        try:
            answer = await self._stubs[name].ErasePersonData(request, timeout=ERASE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        return Erased({table.name: table.rows for table in answer.tables}, answer.files)
