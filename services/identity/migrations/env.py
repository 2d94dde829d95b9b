"""The tables of identity, for Alembic."""

from services.identity.base import metadata
from services.identity.oauth.tables import oauth_identities
from services.identity.preferences import user_preferences
from services.identity.sessions import sessions
from services.identity.sharing.tables import grants
from services.kit.migrate import run_environment

# Importing an area's tables registers them.
assert {grants.metadata, sessions.metadata, oauth_identities.metadata, user_preferences.metadata} == {metadata}
run_environment(metadata)
