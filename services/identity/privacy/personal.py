"""What identity holds about people, as far as its tables do not say it themselves."""

from services.identity.accounts import account_invitations, accounts
from services.identity.base import IDEMPOTENCY_KEYS, metadata
from services.identity.credentials import password_history
from services.identity.oauth.tables import oauth_identities
from services.identity.privacy.tables import data_export_requests, deletion_requests
from services.identity.second_factors.challenges import challenges
from services.identity.second_factors.passkeys import passkeys
from services.identity.second_factors.recovery_codes import recovery_codes
from services.identity.second_factors.totp import totp_factors
from services.identity.sessions.store import refresh_tokens
from services.identity.sharing.tables import grants
from services.identity.users import users
from services.identity.verification import verification_tokens
from services.kit.personal import PersonalData

PERSONAL = PersonalData(
    metadata,
    owners={users.name: "id", accounts.name: "owner_id"},
    mentions={grants.name: "grantee_id"},
    left_out={
        challenges.name: "halves of log-ins, kept for five minutes",
        IDEMPOTENCY_KEYS.name: "answers to repeated requests, kept for a day; what they say is in the tables",
    },
    kept={deletion_requests.name: "the record that somebody was erased, which does not say who"},
    secret={
        data_export_requests.name: {"object_key": "where the file is, for nobody else to use"},
        users.name: {"password_hash": "opens the account"},
        account_invitations.name: {"token_sha256": "of a credential"},
        recovery_codes.name: {"code_sha256": "opens the account"},
        passkeys.name: dict.fromkeys(("credential_id", "public_key"), "for machines: what it is called is exported"),
        totp_factors.name: {"secret": "opens the account"},
        refresh_tokens.name: {"token_sha256": "of a credential"},
        grants.name: {"token_sha256": "of an invitation"},
        oauth_identities.name: {
            "access_token_enc": "opens the account at the provider",
            "refresh_token_enc": "opens the account at the provider",
        },
        verification_tokens.name: {"token_sha256": "of a credential"},
        password_history.name: {"password_hash": "opened the account, and may open others"},
    },
)
