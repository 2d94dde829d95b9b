"""`python -m services.identity serve | worker | migrate | rotate-keys | make-admin`."""

from functools import partial

import sqlalchemy as sa

from services.identity.accounts import AccountsServicer
from services.identity.accounts.invitations import declare_mail_job
from services.identity.admin import AdminServicer
from services.identity.attempts import Attempts, forget_old
from services.identity.audit import AuditServicer, DenialsServicer
from services.identity.callers import CallersServicer
from services.identity.coaching_profile.context import CoachingContextServicer
from services.identity.coaching_profile.history import CoachingHistoryServicer
from services.identity.coaching_profile.rpcs import CoachingProfileServicer
from services.identity.credential_mail import CredentialMail
from services.identity.credentials import CredentialsServicer
from services.identity.first_admin import make_admin
from services.identity.health_profile.allergens import AllergensServicer
from services.identity.health_profile.allergies import AllergiesServicer
from services.identity.health_profile.conditions import (
    DietaryRestrictionsServicer,
    IntolerancesServicer,
    MedicalConditionsServicer,
)
from services.identity.health_profile.profile import HealthProfileServicer
from services.identity.letters import Letters
from services.identity.oauth import OAuthServicer, declare_notice
from services.identity.oauth.addresses import Addresses
from services.identity.oauth.flows import Flows
from services.identity.onboarding.assemble import onboarding
from services.identity.passwords import Passwords
from services.identity.preferences import PreferencesServicer
from services.identity.privacy.assemble import privacy
from services.identity.registration import RegistrationServicer, declare_verification_mail
from services.identity.second_factors.challenges import forget_challenges
from services.identity.second_factors.factors import SecondFactors
from services.identity.second_factors.log_in import LogInServicer
from services.identity.second_factors.manage import SecondFactorsServicer
from services.identity.second_factors.notices import Notices
from services.identity.second_factors.passkey_rpcs import PasskeysServicer
from services.identity.second_factors.proof import Proofs
from services.identity.sessions import SessionsServicer
from services.identity.sessions.store import Sessions
from services.identity.settings import IdentitySettings
from services.identity.sharing import GrantsServicer
from services.identity.sharing.invitations import Invitations
from services.identity.tokens import AccessTokens
from services.identity.users import UsersServicer
from services.kit.client import open_channels
from services.kit.database import Database
from services.kit.jobs import Jobs
from services.kit.main import main
from services.kit.parts import Parts, Service
from vitalis.common.v1 import audit_pb2 as common_audit_pb2


def build(settings: IdentitySettings, database: Database) -> Parts:
    """The servicers and the jobs of identity."""
    jobs = Jobs("identity", database)
    passwords = Passwords(
        threads=settings.password_threads,
        capacity=settings.password_capacity,
        memory_kib=settings.password_memory_kib,
        iterations=settings.password_iterations,
    )
    channels = open_channels("identity", settings, [common_audit_pb2.DESCRIPTOR.services_by_name["AuditLogService"]])
    mail_invitation = declare_mail_job(jobs, database, settings.mailer, settings.public_url)

    @jobs.scheduled("11 * * * *", "sweep_account_invitations")
    async def sweep_account_invitations() -> None:
        async with database.transaction() as connection:
            await connection.execute(sa.select(sa.func.sweep_account_invitations()))

    access_tokens = AccessTokens.from_files(settings.signing_key_files)
    flows = Flows(database, settings.oidc_providers)
    attempts = Attempts(database, access_tokens.derive("vitalis identity attempts"))
    sessions = Sessions(access_tokens, settings.lifetimes)
    mailer, letters = settings.mailer, Letters(settings.app_url)
    verification_mail = declare_verification_mail(jobs, database, mailer, letters)
    factors = SecondFactors(database, settings.relying_party, Notices(database, jobs, mailer))
    proofs = Proofs(database, passwords, attempts, factors)
    jobs.scheduled("*/10 * * * *", "forget_challenges")(partial(forget_challenges, database))
    privacy_servicers, personal = privacy(settings, database, jobs, channels, proofs)
    onboarding_servicers, confirmation = onboarding(settings.onboarding_flow, database, jobs, channels)
    credential_mail = CredentialMail(jobs, database, mailer, letters)
    addresses = Addresses(database, attempts, jobs, verification_mail)
    identity_notice = declare_notice(jobs, database, mailer, letters)
    jobs.scheduled("*/10 * * * *", "forget_oauth")(flows.forget)

    @jobs.scheduled("11 * * * *", "forget_logins")
    async def forget_logins() -> None:
        await forget_old(database)

    return Parts(
        [
            *privacy_servicers,
            CallersServicer(database),
            UsersServicer(database),
            AdminServicer(database),
            AccountsServicer(database, jobs, mail_invitation),
            PreferencesServicer(database),
            HealthProfileServicer(database),
            AllergensServicer(),
            AllergiesServicer(database),
            IntolerancesServicer(database),
            MedicalConditionsServicer(database),
            DietaryRestrictionsServicer(database),
            *onboarding_servicers,
            CoachingProfileServicer(database, proofs, confirmation.confirm),
            CoachingHistoryServicer(database, proofs),
            CoachingContextServicer(database),
            GrantsServicer(database, Invitations(jobs, database, settings.mailer)),
            RegistrationServicer(database, passwords, attempts, sessions, jobs, verification_mail),
            SessionsServicer(database, passwords, attempts, sessions, access_tokens, factors),
            AuditServicer(database, channels),
            DenialsServicer(database),
            OAuthServicer(database, flows, sessions, factors, proofs, addresses, identity_notice, jobs),
            LogInServicer(database, factors, sessions),
            SecondFactorsServicer(database, factors, proofs),
            PasskeysServicer(database, factors, proofs),
            CredentialsServicer(database, passwords, attempts, credential_mail),
        ],
        jobs,
        personal,
        tuple(channels.values()),
    )


SERVICE = Service("identity", IdentitySettings, build, {"make-admin": make_admin})

if __name__ == "__main__":
    main(SERVICE)
