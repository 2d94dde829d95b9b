"""`python -m services.identity serve | worker | migrate | rotate-keys | make-admin`."""

from functools import partial

import sqlalchemy as sa

from services.identity.accounts import AccountsServicer
from services.identity.accounts.invitations import declare_mail_job
from services.identity.admin import AdminServicer
from services.identity.attempts import Attempts, forget_old
from services.identity.audit import AuditServicer, DenialsServicer
from services.identity.callers import CallersServicer
from services.identity.credential_mail import CredentialMail
from services.identity.credentials import CredentialsServicer
from services.identity.first_admin import make_admin
from services.identity.letters import Letters
from services.identity.oauth import OAuthServicer, declare_notice
from services.identity.oauth.addresses import Addresses
from services.identity.oauth.flows import Flows
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
from services.identity.sessions import Sessions, SessionsServicer
from services.identity.settings import IdentitySettings
from services.identity.sharing import GrantsServicer
from services.identity.sharing.invitations import Invitations
from services.identity.tokens import AccessTokens
from services.identity.users import UsersServicer
from services.kit.client import open_channels
from services.kit.database import Database
from services.kit.jobs import Jobs
from services.kit.main import main
from services.kit.parts import Parts, Service, Servicer
from vitalis.common.v1 import audit_pb2 as common_audit_pb2
from vitalis.identity.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    admin_pb2,
    admin_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    callers_pb2,
    callers_pb2_grpc,
    credentials_pb2,
    credentials_pb2_grpc,
    log_in_pb2,
    log_in_pb2_grpc,
    oauth_pb2,
    oauth_pb2_grpc,
    passkeys_pb2,
    passkeys_pb2_grpc,
    preferences_pb2,
    preferences_pb2_grpc,
    registration_pb2,
    registration_pb2_grpc,
    second_factors_pb2,
    second_factors_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    sharing_pb2,
    sharing_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
)


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
            Servicer(
                CallersServicer(database),
                callers_pb2_grpc.add_CallersServiceServicer_to_server,
                callers_pb2.DESCRIPTOR.services_by_name["CallersService"],
            ),
            Servicer(
                UsersServicer(database),
                users_pb2_grpc.add_UsersServiceServicer_to_server,
                users_pb2.DESCRIPTOR.services_by_name["UsersService"],
            ),
            Servicer(
                AdminServicer(database),
                admin_pb2_grpc.add_AdminServiceServicer_to_server,
                admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
            ),
            Servicer(
                AccountsServicer(database, jobs, mail_invitation),
                accounts_pb2_grpc.add_AccountsServiceServicer_to_server,
                accounts_pb2.DESCRIPTOR.services_by_name["AccountsService"],
            ),
            Servicer(
                PreferencesServicer(database),
                preferences_pb2_grpc.add_PreferencesServiceServicer_to_server,
                preferences_pb2.DESCRIPTOR.services_by_name["PreferencesService"],
            ),
            Servicer(
                GrantsServicer(database, Invitations(jobs, database, settings.mailer)),
                sharing_pb2_grpc.add_GrantsServiceServicer_to_server,
                sharing_pb2.DESCRIPTOR.services_by_name["GrantsService"],
            ),
            Servicer(
                RegistrationServicer(database, passwords, attempts, sessions, jobs, verification_mail),
                registration_pb2_grpc.add_RegistrationServiceServicer_to_server,
                registration_pb2.DESCRIPTOR.services_by_name["RegistrationService"],
            ),
            Servicer(
                SessionsServicer(database, passwords, attempts, sessions, access_tokens, factors),
                sessions_pb2_grpc.add_SessionsServiceServicer_to_server,
                sessions_pb2.DESCRIPTOR.services_by_name["SessionsService"],
            ),
            Servicer(
                AuditServicer(database, channels),
                audit_pb2_grpc.add_AuditServiceServicer_to_server,
                audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
            ),
            Servicer(
                DenialsServicer(database),
                audit_pb2_grpc.add_DenialsServiceServicer_to_server,
                audit_pb2.DESCRIPTOR.services_by_name["DenialsService"],
            ),
            Servicer(
                OAuthServicer(database, flows, sessions, factors, proofs, addresses, identity_notice, jobs),
                oauth_pb2_grpc.add_OAuthServiceServicer_to_server,
                oauth_pb2.DESCRIPTOR.services_by_name["OAuthService"],
            ),
            Servicer(
                LogInServicer(database, factors, sessions),
                log_in_pb2_grpc.add_LogInServiceServicer_to_server,
                log_in_pb2.DESCRIPTOR.services_by_name["LogInService"],
            ),
            Servicer(
                SecondFactorsServicer(database, factors, proofs),
                second_factors_pb2_grpc.add_SecondFactorsServiceServicer_to_server,
                second_factors_pb2.DESCRIPTOR.services_by_name["SecondFactorsService"],
            ),
            Servicer(
                PasskeysServicer(database, factors, proofs),
                passkeys_pb2_grpc.add_PasskeysServiceServicer_to_server,
                passkeys_pb2.DESCRIPTOR.services_by_name["PasskeysService"],
            ),
            Servicer(
                CredentialsServicer(database, passwords, attempts, credential_mail),
                credentials_pb2_grpc.add_CredentialsServiceServicer_to_server,
                credentials_pb2.DESCRIPTOR.services_by_name["CredentialsService"],
            ),
        ],
        jobs,
        personal,
        tuple(channels.values()),
    )


SERVICE = Service("identity", IdentitySettings, build, {"make-admin": make_admin})

if __name__ == "__main__":
    main(SERVICE)
