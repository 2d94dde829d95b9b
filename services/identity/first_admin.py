"""`python -m services.identity make-admin EMAIL`: the first administrator, who makes the others.

Runs with the migrator's URL, which whoever operates the server has and no
process that people reach.
"""

import sys
from collections.abc import Sequence

import psycopg

from services.identity.users import normalise_email
from services.kit.settings import MigrateSettings, load

FIND = """
    SELECT id, role FROM users
    WHERE email = %s AND email_verified_at IS NOT NULL AND deleted_at IS NULL AND account_status = 'active'
    FOR UPDATE
"""


def make_admin(arguments: Sequence[str]) -> None:
    """Makes the person with this verified address an administrator; their sessions end. Audited as the command."""
    if len(arguments) != 1:
        sys.exit("usage: python -m services.identity make-admin EMAIL")
    url = load(MigrateSettings, "IDENTITY_").migrator_database_url.get_secret_value()
    with psycopg.connect(url) as connection:
        found = connection.execute(FIND, [normalise_email(arguments[0])]).fetchone()
        if not found:
            sys.exit("nobody who is active has verified this address")
        user_id, role = found
        if role == "admin":
            print("is an administrator already")
            return
        connection.execute(
            "SELECT set_config('app.subject_id', %s, true), set_config('app.request_id', 'make-admin', true)",
            [str(user_id)],
        )
        connection.execute("UPDATE users SET role = 'admin', updated_at = now() WHERE id = %s", [user_id])
        connection.execute(
            "UPDATE sessions SET revoked_at = now(), revoked_reason = 'forced'"
            " WHERE user_id = %s AND revoked_at IS NULL",
            [user_id],
        )
        print("they are an administrator now, and have to log in again")
