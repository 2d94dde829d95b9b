"""Puts the parts of privacy together: what they serve, their jobs, and what identity holds about people."""

from collections.abc import Mapping
from dataclasses import replace

import grpc

from services.identity.privacy.consents import ConsentsServicer
from services.identity.privacy.deletions import DeletionsServicer
from services.identity.privacy.deletions.job import Eraser
from services.identity.privacy.exports import PREFIX, ExportsServicer
from services.identity.privacy.exports.job import Exporter
from services.identity.privacy.inactivity import InactivityNotices
from services.identity.privacy.links import Links
from services.identity.privacy.others import OtherServices
from services.identity.privacy.personal import PERSONAL
from services.identity.second_factors.proof import Proofs
from services.identity.settings import IdentitySettings
from services.kit.database import Database
from services.kit.files import Files
from services.kit.jobs import Jobs
from services.kit.personal import Folder, PersonalData
from services.kit.privacy import PersonData


def privacy(
    settings: IdentitySettings,
    database: Database,
    jobs: Jobs,
    channels: Mapping[str, grpc.aio.Channel],
    proofs: Proofs,
) -> tuple[list[object], PersonalData]:
    """The servicers, and what identity holds; declares the jobs. `channels` lead to all other services."""
    files = Files(settings.object_store_url)
    # Exports hold nothing of their own, and go with their person.
    held = replace(PERSONAL, folders=[Folder(files, PREFIX, exported=False)])
    own = PersonData(database, held, has_queue=True)
    others = OtherServices(channels)
    links = Links(settings.signing_key_files)
    export_job = Exporter(database, own, others, files, links, settings).declare(jobs)
    mail_deletion, erase = Eraser(database, own, others, links, settings).declare(jobs)
    InactivityNotices(database, settings).declare(jobs)
    return [
        ExportsServicer(database, files, links, settings.public_url, jobs, export_job),
        DeletionsServicer(database, proofs, links, jobs, mail_deletion, erase),
        ConsentsServicer(database),
    ], held
