"""The parts of a coaching profile as rows of their tables, and back.

All parts of a person are read along with the profile, in one statement, as
`JsonRows`.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.coaching_profile import tables
from services.kit.resources import bindable
from services.kit.rows import RowMapping
from services.kit.vault import ENCRYPTED, DataKey
from vitalis.identity.v1 import coaching_parts_pb2 as pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

STAMPS = ("created_at", "updated_at")


class JsonRows:
    """A person's rows of a table within a statement on something else.

    They are selected as a JSON array of rows, each of them the array of values
    that its `RowMapping` reads.
    """

    def __init__(self, rows: RowMapping, *order_by: sa.ColumnElement[Any]) -> None:
        self.rows = rows
        self._row = sa.func.json_build_array(*rows.columns(rows.names))
        self._order = order_by
        self._bytes = [index for index, name in enumerate(rows.names) if ENCRYPTED in rows.table.c[name].info]

    def select(self, user_id: sa.ColumnElement[Any], *where: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
        """The rows of a person, for a select list."""
        rows = sa.func.json_agg(aggregate_order_by(self._row, *self._order) if self._order else self._row)
        return sa.select(rows).where(self.rows.table.c.user_id == user_id, *where).scalar_subquery()

    def read(self, rows: list[list[Any]] | None, key: DataKey | None) -> list[Any]:
        """The messages of what `select` found."""
        for row in rows or ():
            for index in self._bytes:
                if row[index] is not None:
                    # JSON has bytes as hexadecimal digits after `\x`.
                    row[index] = bytes.fromhex(row[index][2:])
        return [self.rows.read(row, key) for row in rows or ()]


class Part:
    """A field of the profile and the table that holds it.

    `key` is the field that tells the items of a list apart, "" for a part that a
    profile has one of. `order_by` is the order of a list, `computed` are the
    fields that are no columns.
    """

    def __init__(
        self,
        field: str,
        message: type[Message],
        table: sa.Table,
        key: str = "",
        order_by: tuple[str, ...] = (),
        computed: tuple[str, ...] = (),
    ) -> None:
        self.field, self.table, self.key = field, table, key
        hidden = tuple(name for name in STAMPS if name not in message.DESCRIPTOR.fields_by_name)
        self._encrypted = tuple(column.name for column in table.c if ENCRYPTED in column.info)
        self.rows = RowMapping(message, table, hidden=hidden, encrypted=self._encrypted, computed=computed)
        self.json = JsonRows(self.rows, *(table.c[name] for name in order_by))
        # What a row has where its message is silent.
        self._empty = {column.name: _empty(column) for column in table.c if column.name in self.rows.names}

    def items(self, profile: CoachingProfile) -> list[Any]:
        """What a profile holds of it."""
        value = getattr(profile, self.field)
        if self.key:
            return list(value)
        return [value] if profile.HasField(self.field) else []  # type: ignore[arg-type]

    def put(self, items: list[Any], into: Message) -> None:
        """Sets the field of a message to what was read."""
        if self.key:
            getattr(into, self.field).extend(items)
        elif items:
            getattr(into, self.field).CopyFrom(items[0])

    async def write(
        self, connection: AsyncConnection, key: DataKey, before: CoachingProfile, after: CoachingProfile, now: datetime
    ) -> None:
        """Stores the items that differ, and deletes those that are gone."""
        stored = {self._key_of(item): item for item in self.items(before)}
        wanted = {self._key_of(item): item for item in self.items(after)}
        if gone := [name for name in stored if name not in wanted]:
            mine = self.table.c.user_id == key.owner
            await connection.execute(sa.delete(self.table).where(mine, self.table.c[self.key].in_(gone)))
        if rows := [self._values(item, key, now) for name, item in wanted.items() if stored.get(name) != item]:
            statement = insert(self.table).values(rows)
            replaced = {name: statement.excluded[name] for name in rows[0] if name not in ("user_id", self.key)}
            keys = ["user_id", self.key] if self.key else ["user_id"]
            await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=replaced))

    def _key_of(self, item: Any) -> Any:
        return getattr(item, self.key) if self.key else ""

    def _values(self, item: Any, key: DataKey, now: datetime) -> dict[str, Any]:
        values = {**self._empty, **self.rows.values(item)}
        for name in self.rows.output_only & set(self.rows.names):
            values[name] = getattr(item, name).ToDatetime(tzinfo=UTC) if item.HasField(name) else None
        row_id = values.get("id") or key.owner
        for name in self._encrypted:
            if values[name] is not None:
                values[name] = key.encrypt(self.table.name, name, row_id, values[name])
        return {**bindable(self.table, values), "user_id": key.owner, "updated_at": now}


def _empty(column: sa.Column[Any]) -> Any:
    if column.nullable:
        return None
    return [] if isinstance(column.type, (ARRAY, JSONB)) else False


LISTED = ("created_at", "id")
LOCK = ("is_locked", "locked_at")
PARTS = (
    Part("goals", pb.FitnessGoal, tables.fitness_goals, "id", ("priority", *LISTED)),
    Part("constraints", pb.PhysicalConstraint, tables.physical_constraints, "id", LISTED),
    Part("dietary_preferences", pb.DietaryPreferences, tables.dietary_preferences),
    Part("meal_plan", pb.MealPlan, tables.meal_plans, computed=LOCK),
    Part("meal_schedules", pb.MealSchedule, tables.meal_schedules, "meal_number", ("meal_number",)),
    Part("workout_schedule", pb.WorkoutSchedule, tables.workout_schedules, computed=LOCK[:1]),
    Part("hydration_preferences", pb.HydrationPreferences, tables.hydration_preferences),
)
