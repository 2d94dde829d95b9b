"""Guessing is slowed down, and nobody is locked out for good.

What is counted is kept under keyed hashes of the address that somebody logs in
with and of where they do it from, not under a person: an address that nobody
has is counted alike, and who reads the table learns neither.

- Ten wrong attempts for one account from one place are free; then each doubles
  the wait, from a second to a quarter of an hour.
- A hundred for one account from anywhere are free; then the same. This does not
  hold where the person has logged in during the last 90 days, so that a stranger
  cannot keep them out of their own devices.
- A day of peace or a success starts the count anew.

The schedule and the counting are functions of the database, so that all replicas
agree and many attempts at once are no way around it.
"""

import hashlib
import hmac
import math
from ipaddress import IPv6Address, ip_address

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.kit.caller import current
from services.kit.database import Database, Statement
from services.kit.errors import ServiceError

PAIR_FREE, ACCOUNT_FREE = 10, 100
MAILS_PER_HOUR = 5

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True, comment="HMAC of what is counted: nobody's id stands here"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False, server_default="-infinity"),
    sa.Column("last_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("succeeded_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("octet_length(key) = 32", name="key"),
)

_PAIR = (sa.bindparam("pair", type_=sa.LargeBinary), sa.bindparam("account", type_=sa.LargeBinary))
COUNT = Statement(
    sa.select(sa.func.count_attempt(*_PAIR, sa.literal_column(str(PAIR_FREE)), sa.literal_column(str(ACCOUNT_FREE))))
)


class Attempts:
    """Counts attempts to prove who somebody is, by the account they name and the address they call from."""

    def __init__(self, database: Database, secret: bytes) -> None:
        """`secret` keys the hashes; all replicas have the same."""
        self._database = database
        self._secret = secret

    async def count(self, account: str) -> None:
        """Counts an attempt as failed, before it is made. Raises TOO_MANY_ATTEMPTS if it may not be made."""
        rows = await self._database.fetch(COUNT, {"pair": self._pair(account), "account": self._key(account)})
        waits = math.ceil(rows[0][0])
        if waits:
            raise ServiceError(
                "TOO_MANY_ATTEMPTS", f"too many attempts; try again in {waits} seconds", retry_after_seconds=waits
            )

    async def forgive(self, connection: AsyncConnection, account: str) -> None:
        """Forgets what was counted, after a success; from here the person is known."""
        await connection.execute(sa.select(sa.func.forgive_attempts(self._pair(account), self._key(account))))

    async def may_mail(self, connection: AsyncConnection, kind: str, address: str) -> bool:
        """Whether one more mail of a kind may go to an address: five an hour. Counts it."""
        call = sa.select(sa.func.take_allowance(self._key("mail", kind, address), MAILS_PER_HOUR))
        return bool((await connection.execute(call)).scalar_one())

    def _pair(self, account: str) -> bytes:
        return self._key("pair", account, network(current().address))

    def _key(self, *parts: str) -> bytes:
        return hmac.digest(self._secret, "\0".join(parts).encode(), hashlib.sha256)


async def forget_old(database: Database) -> int:
    """Removes what has outlived its use: see `forget_logins()` in the migrations. How many rows."""
    async with database.transaction() as connection:
        return int((await connection.execute(sa.select(sa.func.forget_logins()))).scalar_one())


def network(address: str) -> str:
    """What one client can call from: an IPv4 address, or the /64 that every IPv6 client has whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
