"""What the database itself lets a grantee do with a grant: read it, and nothing else."""

import psycopg
import pytest

from services.kit.caller import Caller
from tests.identity.sharing.people import Sharing


async def test_a_grantee_sees_what_was_given_and_changes_nothing(
    sharing: Sharing, ada: Caller, carla: Caller, eve: Caller
) -> None:
    grant = await sharing.accepted(ada, carla)
    pending = await sharing.offered(ada, "eve@example.com")
    with psycopg.connect(sharing.identity.database.app_url, autocommit=True) as app:

        def ids(subject: str) -> set[str]:
            app.execute("SELECT set_config('app.subject_id', %s, false)", [subject])
            return {str(row[0]) for row in app.execute("SELECT id FROM grants")}

        assert ids("") == set()
        assert ids(ada.subject) == {grant.id, pending.id}
        # An offer is found by its token alone.
        assert ids(eve.subject) == set()
        assert ids(carla.subject) == {grant.id}
        changed = app.execute(
            "UPDATE grants SET scopes = '{profile.read}', expires_at = NULL WHERE id = %s", [grant.id]
        )
        assert changed.rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DELETE FROM grants")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(
                "INSERT INTO grants (id, user_id, grantee_email, scopes, relation, consent_version, consent_address,"
                " invitation_expires_at)"
                " VALUES (gen_random_uuid(), %s, 'carla@example.com', '{profile.read}', 'person', '', '', now())",
                [ada.subject],
            )
        # Whose name it is, only who was given something learns.
        name = "SELECT grant_owner_name(%s)"
        assert app.execute(name, [grant.id]).fetchone() == ("Ada",)
        for somebody in (eve.subject, ada.subject, ""):
            app.execute("SELECT set_config('app.subject_id', %s, false)", [somebody])
            assert app.execute(name, [grant.id]).fetchone() == (None,)


async def test_what_a_grant_is_the_database_holds_too(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    grant = await sharing.accepted(ada, carla)
    for change in (
        "grantee_id = user_id",
        "scopes = '{}'",
        "scopes = '{*}'",
        "scopes = '{\"wearables.read,x\"}'",
        "status = 'other'",
        "grantee_id = NULL",
        "ended_at = now()",
        "status = 'revoked'",
        "relation = 'friend'",
        "token_sha256 = decode(repeat('00', 32), 'hex')",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            sharing.sql(f"UPDATE grants SET {change} WHERE id = %s", grant.id)


async def test_a_grant_goes_with_its_grantee_and_with_its_owner(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    for leaves in (carla, ada):
        grantee = carla if leaves is carla else await sharing.somebody("carla@example.com")
        await sharing.accepted(ada, grantee)
        sharing.sql("DELETE FROM users WHERE id = %s", leaves.subject)
        assert sharing.sql("SELECT count(*) FROM grants") == [(0,)]
