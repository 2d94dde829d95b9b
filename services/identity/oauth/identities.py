"""Identities of people at other providers: found, made, kept up to date, taken away."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.accounts import accounts
from services.identity.oauth.relying_party import Person
from services.identity.oauth.tables import oauth_identities
from services.identity.sessions.store import ACTIVE
from services.identity.users import normalise_email, users
from services.kit.database import uuid7
from services.kit.errors import ServiceError, not_found
from services.kit.resources import Resource
from services.kit.vault import Vault
from vitalis.identity.v1 import oauth_pb2 as pb

IDENTITIES = Resource(
    pb.Identity,
    oauth_identities,
    what="identity",
    order_by=("id",),
    hidden=("provider_user_id", "access_token_enc", "refresh_token_enc", "expires_at"),
)


async def sign_up(connection: AsyncConnection, user_id: UUID, person: Person) -> None:
    """A new person without a password, on a transaction of theirs. Raises OAUTH_LINK_FIRST.

    Their address is verified only on the word of who answers for it; any other
    is kept as one that somebody typed.
    """
    email, account_id = normalise_email(person.email), uuid7()
    insert = (
        postgresql.insert(users)
        .values(
            id=user_id,
            email=email,
            display_name=person.name or email.partition("@")[0],
            account_id=account_id,
            email_verified_at=sa.func.now() if person.email_proved else None,
        )
        .on_conflict_do_nothing(
            index_elements=["email"],
            index_where=sa.and_(users.c.deleted_at.is_(None), users.c.email_verified_at.is_not(None)),
        )
        .returning(users.c.id)
    )
    if (await connection.execute(insert)).one_or_none() is None:
        raise link_first()
    await connection.execute(sa.insert(accounts).values(id=account_id, owner_id=user_id))


async def require_active(connection: AsyncConnection, user_id: UUID) -> None:
    """Raises ACCOUNT_SUSPENDED. Until the transaction ends nobody suspends the person."""
    active = sa.select(users.c.id).where(users.c.id == user_id, ACTIVE)
    if (await connection.execute(active.with_for_update(key_share=True))).one_or_none() is None:
        raise ServiceError("ACCOUNT_SUSPENDED", "the account is suspended")


async def add(
    connection: AsyncConnection, vault: Vault, user_id: UUID, provider: str, person: Person, *, used: bool
) -> pb.Identity | None:
    """Links an identity on a transaction of the person's; None if it is somebody's already."""
    identity_id = uuid7()
    row = {
        "id": identity_id,
        "user_id": user_id,
        "provider": provider,
        "provider_user_id": person.id,
        "last_used_at": sa.func.now() if used else None,
        **await _sealed(connection, vault, identity_id, person),
    }
    shown = IDENTITIES.rows.columns(IDENTITIES.rows.names)
    insert = postgresql.insert(oauth_identities).values(row).on_conflict_do_nothing().returning(*shown)
    inserted = (await connection.execute(insert)).one_or_none()
    return IDENTITIES.rows.read(inserted) if inserted else None


async def refresh(connection: AsyncConnection, vault: Vault, provider: str, person: Person) -> bool:
    """Keeps the provider's newest tokens; False if the identity is gone."""
    mine = (oauth_identities.c.provider == provider) & (oauth_identities.c.provider_user_id == person.id)
    identity_id = (await connection.execute(sa.select(oauth_identities.c.id).where(mine))).scalar_one_or_none()
    if identity_id is None:
        return False
    values = await _sealed(connection, vault, identity_id, person)
    if not person.tokens.refresh_token:
        # Many providers give one only at the first consent.
        del values["refresh_token_enc"]
    update = sa.update(oauth_identities).where(oauth_identities.c.id == identity_id)
    await connection.execute(update.values(**values, last_used_at=sa.func.now()))
    return True


async def remove(connection: AsyncConnection, user_id: UUID, identity_id: UUID) -> None:
    """Unlinks one of the person's. Raises NOT_FOUND, LAST_WAY_TO_LOG_IN."""
    # The lock makes one line of it, so that two do not each leave the other as the last way.
    person = sa.select(users.c.password_hash.is_not(None) & users.c.email_verified_at.is_not(None))
    has_password = await connection.scalar(person.where(users.c.id == user_id).with_for_update(key_share=True))
    mine = sa.select(oauth_identities.c.id).where(oauth_identities.c.user_id == user_id)
    ids = (await connection.scalars(mine)).all()
    if identity_id not in ids:
        raise not_found("identity")
    if not has_password and len(ids) == 1:
        raise ServiceError("LAST_WAY_TO_LOG_IN", "it is the only way to log in; set a password first")
    await connection.execute(sa.delete(oauth_identities).where(oauth_identities.c.id == identity_id))


async def _sealed(connection: AsyncConnection, vault: Vault, identity_id: UUID, person: Person) -> dict[str, Any]:
    key, tokens = await vault.key(connection), person.tokens
    seal = {"access_token_enc": tokens.access_token, "refresh_token_enc": tokens.refresh_token}
    sealed = {
        column: key.encrypt("oauth_identities", column, identity_id, token) if token else None
        for column, token in seal.items()
    }
    return {**sealed, "expires_at": tokens.expires_at}


def link_first() -> ServiceError:
    return ServiceError("OAUTH_LINK_FIRST", "the address is registered; log in as before, then link the identity")
