"""`python -m services.tracking serve | worker | migrate | rotate-keys`."""

import asyncio

from services.kit.database import Database, now
from services.kit.files import Files
from services.kit.jobs import Jobs
from services.kit.main import main
from services.kit.parts import Parts, Service
from services.kit.personal import Folder, PersonalData
from services.kit.scratch import sweep_scratch
from services.kit.uploads import UploadStore
from services.tracking.base import metadata
from services.tracking.imports import ImportsServicer, UploadSweeper
from services.tracking.imports.job import ImportRunner, declare_job
from services.tracking.imports.tables import PREFIX
from services.tracking.settings import TrackingSettings
from services.tracking.wearables import WearablesServicer, make_partitions
from services.tracking.wellbeing import WellbeingServicer

YEARS_AHEAD = 2


def build(settings: TrackingSettings, database: Database) -> Parts:
    """The servicers and the jobs of tracking."""
    jobs = Jobs("tracking", database)
    files = Files(settings.object_store_url)
    store = UploadStore(files, settings.upload_max_bytes)
    import_job = declare_job(jobs, ImportRunner(database, store, settings))

    @jobs.scheduled("23 3 * * *", "make_partitions_ahead")
    async def make_partitions_ahead() -> None:
        await make_partitions(database, now().year, now().year + YEARS_AHEAD)

    @jobs.scheduled("7 * * * *", "sweep_uploads")
    async def sweep_uploads() -> None:
        await UploadSweeper(database, files, settings.upload_retention_hours).sweep()
        await asyncio.to_thread(sweep_scratch, settings.scratch_directory)

    return Parts(
        [
            WearablesServicer(database),
            ImportsServicer(database, store, jobs, import_job),
            WellbeingServicer(database),
        ],
        jobs,
        PersonalData(
            metadata,
            left_out={
                "idempotency_keys": "answers to repeated requests, kept for a day; what they say is in the tables"
            },
            folders=[Folder(files, PREFIX)],
            locks=["imports:"],
        ),
    )


SERVICE = Service("tracking", TrackingSettings, build)

if __name__ == "__main__":
    main(SERVICE)
