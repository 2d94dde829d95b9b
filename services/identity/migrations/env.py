"""The tables of identity, for Alembic."""

from services.identity.base import metadata
from services.identity.oauth.tables import oauth_identities
from services.identity.preferences import user_preferences
from services.identity.privacy.tables import consents
from services.identity.second_factors.challenges import challenges
from services.identity.second_factors.passkeys import passkeys
from services.identity.second_factors.totp import totp_factors
from services.identity.sessions import sessions
from services.identity.sharing.tables import grants
from services.kit.migrate import run_environment

# Importing an area's tables registers them.
assert {
    challenges.metadata,
    consents.metadata,
    grants.metadata,
    sessions.metadata,
    user_preferences.metadata,
    oauth_identities.metadata,
    passkeys.metadata,
    totp_factors.metadata,
} == {metadata}
run_environment(metadata)
