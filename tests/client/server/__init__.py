"""A server that speaks the contract over real HTTP, and that can be told to fail.

What it answers is printed from the contract's own messages, and query
parameters that a request's message has no field for are refused, so the client
cannot drift from the protos here.
"""

from tests.client.server.accounts import Accounts
from tests.client.server.coaching import Coaching
from tests.client.server.health import Health
from tests.client.server.imports import Imports
from tests.client.server.lab_documents import LabDocuments
from tests.client.server.lab_files import LabFiles
from tests.client.server.records import Records
from tests.client.server.sharing import Sharing


class Server(Accounts, Imports, Sharing, Records, Coaching, Health, LabFiles, LabDocuments):
    """One person's server."""
