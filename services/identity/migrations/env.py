"""The tables of identity, for Alembic."""

from services.identity.accounts import accounts
from services.identity.base import metadata
from services.identity.coaching_profile.tables import user_profiles
from services.identity.credentials import password_history
from services.identity.health_profile.tables import (
    allergens,
    allergies,
    dietary_restrictions,
    health_profiles,
    intolerances,
    medical_conditions,
)
from services.identity.oauth.tables import oauth_identities
from services.identity.onboarding.tables import onboarding_states
from services.identity.preferences import user_preferences
from services.identity.privacy.tables import consents
from services.identity.second_factors.challenges import challenges
from services.identity.second_factors.passkeys import passkeys
from services.identity.second_factors.totp import totp_factors
from services.identity.sessions.store import sessions
from services.identity.sharing.tables import grants
from services.kit.migrate import run_environment

# Importing an area's tables registers them.
TABLES = (
    accounts,
    allergens,
    allergies,
    challenges,
    consents,
    dietary_restrictions,
    grants,
    health_profiles,
    intolerances,
    medical_conditions,
    oauth_identities,
    onboarding_states,
    passkeys,
    password_history,
    sessions,
    totp_factors,
    user_preferences,
    user_profiles,
)
assert {table.metadata for table in TABLES} == {metadata}
run_environment(metadata)
