"""Changes of a coaching profile: made, changed, rolled back, archived, each inside the caller's transaction."""

from collections.abc import Sequence

from protovalidate import Validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.coaching_profile import rules, store
from services.identity.coaching_profile.differences import differences
from services.identity.coaching_profile.settle import masked, settle, strip, without
from services.identity.coaching_profile.store import Locked
from services.identity.coaching_profile.tables import user_profiles
from services.kit import audit
from services.kit.contract import RequiredFields, violation_of
from services.kit.errors import Violation, all_wrong
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

VALIDATOR = Validator()
REQUIRED = RequiredFields()
ARCHIVED = "PROFILE_ARCHIVED"


def violations(profile: CoachingProfile, before: CoachingProfile | None = None) -> list[Violation]:
    """Every rule that a whole profile breaks, by field path: of single fields, required ones, and between fields.

    A part of a profile is held to `rules.violations` alone, which asks for nothing that is absent.
    """
    found = REQUIRED.missing(profile)
    found += map(violation_of, VALIDATOR.collect_violations(profile))
    named = {violation.field for violation in found}
    # A field that does not hold by itself says nothing about others.
    between = rules.violations(without(profile, named), before)
    return found + [violation for violation in between if violation.field not in named]


async def create(connection: AsyncConnection, profile: CoachingProfile, reason: str) -> CoachingProfile:
    """Makes the profile of the transaction's subject, as their next version, locked; the profile as stored.

    Raises INVALID_FIELD with every violation, EMAIL_UNVERIFIED if it states
    allergies, and what the database raises if there is a profile.
    """
    made = CoachingProfile()
    made.CopyFrom(profile)
    strip(made)
    for goal in made.goals:
        goal.ClearField("id")
    for constraint in made.constraints:
        constraint.ClearField("id")
    after = await store.last(connection)
    settle(made, CoachingProfile(), after.now)
    refuse(violations(made), "")
    return await store.insert(connection, after, made, reason)


async def update(
    connection: AsyncConnection, before: Locked, sent: CoachingProfile, paths: Sequence[str], reason: str
) -> CoachingProfile:
    """The profile with the fields of the mask as they were sent; as it is if nothing differs.

    Raises INVALID_FIELD with every violation of the profile that it leads to.
    """
    after, found = changed(sent, before, paths)
    refuse(found, "profile.")
    return await _store(connection, before, after, reason)


def changed(sent: CoachingProfile, before: Locked, paths: Sequence[str]) -> tuple[CoachingProfile, list[Violation]]:
    """The profile that a change leads to, and every violation of it."""
    after = masked(sent, before.profile, list(paths))
    strange = [
        Violation(f"{field}[{index}].id", "is none of this profile's; leave it out for a new one")
        for field in ("goals", "constraints")
        for index, item in enumerate(getattr(after, field))
        if item.id and item.id not in {stored.id for stored in getattr(before.profile, field)}
    ]
    settle(after, before.profile, before.now)
    return after, [*strange, *violations(after, before.profile)]


async def roll_back(
    connection: AsyncConnection, before: Locked, target: CoachingProfile, reason: str
) -> CoachingProfile:
    """The profile as it was in `target`, an earlier state of it; whether it is locked stays.

    Raises INVALID_FIELD if that would not hold today.
    """
    after = masked(target, before.profile, ["*"])
    settle(after, before.profile, before.now)
    refuse(violations(after, target), "profile.")
    return await _store(connection, before, after, reason)


async def set_lock(connection: AsyncConnection, before: Locked, reason: str, *, is_locked: bool) -> CoachingProfile:
    """The profile locked or unlocked; as it is if it is so already."""
    if before.profile.is_locked == is_locked:
        return before.profile
    return await store.change(connection, before, before.profile, reason, is_locked=is_locked)


async def archive(connection: AsyncConnection, user_id: str) -> None:
    """Takes the profile of `user_id`, the transaction's subject, away and leaves its versions; nothing without one.

    The current version ends, the next profile begins with the number after it.
    """
    version = await store.remove(connection)
    if version is not None:
        details = {"version": version}
        await audit.record(connection, ARCHIVED, details, table=user_profiles.name, record_id=user_id)


async def _store(connection: AsyncConnection, before: Locked, after: CoachingProfile, reason: str) -> CoachingProfile:
    if not differences(before.profile, after):
        return before.profile
    return await store.change(connection, before, after, reason, is_locked=before.profile.is_locked)


def refuse(found: list[Violation], prefix: str) -> None:
    """Raises INVALID_FIELD for violations, all of them at once, by their paths behind `prefix`."""
    if found:
        raise all_wrong(
            "INVALID_FIELD", [Violation(prefix + violation.field, violation.description) for violation in found]
        )
