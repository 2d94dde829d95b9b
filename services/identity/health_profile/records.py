"""What the records of a health profile have in common: who may write them, and what their dates and links are."""

from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import IDEMPOTENCY_KEYS
from services.identity.health_profile.allergens.catalogue import CATALOGUE
from services.identity.health_profile.allergens.matcher import MATCHER, Match
from services.identity.health_profile.writers import writer
from services.kit.caller import current
from services.kit.errors import Violation, all_wrong
from services.kit.resources import Resource

CHOSEN = "chosen"


class HealthRecord(Resource):
    """A kind of record about somebody's health, written only for who has a verified address."""

    def __init__(self, message: type[Message], table: sa.Table, *, what: str, encrypted: tuple[str, ...]) -> None:
        super().__init__(
            message,
            table,
            what=what,
            order_by=("created_at", "id"),
            idempotency_keys=IDEMPOTENCY_KEYS,
            encrypted=encrypted,
        )

    async def insert(self, connection: AsyncConnection, values: dict[str, Any]) -> Any:
        return await super().insert(connection, await self.checked(connection, values))

    async def change(self, connection: AsyncConnection, row_id: str, values: dict[str, Any]) -> Any:
        # Deleting and bringing back write nothing new.
        if values.keys() != {"deleted_at"}:
            values = await self.checked(connection, values, row_id)
        return await super().change(connection, row_id, values)

    async def checked(
        self, connection: AsyncConnection, values: dict[str, Any], row_id: str | None = None
    ) -> dict[str, Any]:
        """The values to store, of a new row or of `row_id`. Raises EMAIL_UNVERIFIED and INVALID_FIELD."""
        today = (await writer(connection, current().subject)).today
        values, violations = await self.completed(connection, values, row_id)
        if (diagnosed := values.get("diagnosed_date")) and date.fromisoformat(diagnosed) > today:
            violations.append(Violation("diagnosed_date", "must not be in the future"))
        if violations:
            raise all_wrong("INVALID_FIELD", violations)
        return values

    async def completed(
        self, connection: AsyncConnection, values: dict[str, Any], row_id: str | None
    ) -> tuple[dict[str, Any], list[Violation]]:
        """The values with what follows from them, and what is wrong with them."""
        return values, []


class NamedRecord(HealthRecord):
    """One whose name may be that of an allergen, to which it is linked when it is written.

    An allergen that the person has chosen stays until they choose again; one
    that was found by the name is found anew by another name.
    """

    async def completed(
        self, connection: AsyncConnection, values: dict[str, Any], row_id: str | None
    ) -> tuple[dict[str, Any], list[Violation]]:
        violations = []
        # Allergies have one; what came from a list without it keeps the first that is stated.
        if "severity" in values and values["severity"] is None:
            violations.append(Violation("severity", "is required"))
        name, given = values.get("name"), values.get("allergen_id")
        if row_id is not None:
            stored = await self._stored(connection, row_id)
            # Who sends back what they have read has chosen nothing by it.
            same_link = "allergen_id" not in values or (given or "") == str(stored.allergen_id or "")
            if same_link and (name in (None, stored.name) or stored.match_method == CHOSEN):
                return {column: value for column, value in values.items() if column != "allergen_id"}, violations
            name, given = name or stored.name, None if same_link else given
        if given:
            allergen = CATALOGUE.by_id.get(UUID(given))
            if allergen is None or not allergen.is_active:
                return values, [*violations, Violation("allergen_id", "is not on the list of allergens")]
            return values | {"name": name or allergen.name} | linked(Match(allergen, CHOSEN, 1.0)), violations
        if not name:
            return values, [*violations, Violation("name", "is required without an allergen_id")]
        found = MATCHER.named(name)
        if len(found) > 1:
            violations.append(Violation("name", "names several allergens: state each by itself"))
        return values | linked(found[0] if len(found) == 1 else None), violations

    async def _stored(self, connection: AsyncConnection, row_id: str) -> Any:
        """Name, allergen_id and match_method of a row."""
        columns = self.table.c
        mine = columns.user_id == current().subject, columns.id == row_id
        stored = sa.select(columns.name, columns.allergen_id, columns.match_method).where(*mine)
        return (await connection.execute(stored)).one()


def linked(match: Match | None) -> dict[str, Any]:
    """The columns that link a record to an allergen, or to none."""
    return {
        "allergen_id": match and match.allergen.id,
        "matched_allergen": match and match.allergen.name,
        "match_method": match and match.method,
        "match_confidence": match and match.confidence,
    }
