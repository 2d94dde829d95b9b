"""`python -m services.labs serve | worker | migrate | rotate-keys | load-biomarkers`."""

import asyncio

from services.kit.database import Database
from services.kit.files import Files
from services.kit.jobs import Jobs
from services.kit.main import main
from services.kit.parts import Parts, Service
from services.kit.personal import Folder, PersonalData
from services.kit.scratch import sweep_scratch
from services.kit.uploads import UploadStore, sweep_orphans
from services.labs.base import metadata
from services.labs.biomarkers.aliases import BiomarkerAliasesServicer
from services.labs.biomarkers.servicer import BiomarkersServicer
from services.labs.biomarkers.store import load_biomarkers
from services.labs.body_composition import BodyCompositionServicer
from services.labs.documents.extraction import Extract, read_layouts
from services.labs.documents.job import DocumentReader, declare_jobs
from services.labs.documents.rpcs import DocumentsServicer
from services.labs.documents.tables import PREFIX as DOCUMENTS_PREFIX
from services.labs.documents.tables import documents
from services.labs.documents.value_rpcs import DocumentValuesServicer
from services.labs.epigenetics import EpigeneticsServicer
from services.labs.interchange.export import LabExportsServicer
from services.labs.interchange.imports import LabImportsServicer
from services.labs.interchange.job import LabImportRunner, declare_job
from services.labs.interchange.tables import PREFIX as IMPORTS_PREFIX
from services.labs.interchange.tables import lab_imports
from services.labs.matching.servicer import MatchingServicer
from services.labs.panels import PanelsServicer
from services.labs.settings import LabsSettings
from services.labs.trends import TrendsServicer
from services.labs.visits import VisitsServicer


def build(settings: LabsSettings, database: Database) -> Parts:
    """The servicers and the jobs of labs."""
    jobs = Jobs("labs", database)
    files = Files(settings.object_store_url)
    reader = DocumentReader(database, files, _extractor(settings), settings.scratch_directory)
    document_jobs = declare_jobs(jobs, reader)
    imports = UploadStore(files, settings.import_max_bytes)
    import_job = declare_job(jobs, LabImportRunner(database, files, settings.scratch_directory))

    # Documents stay, so there may be many to look at.
    @jobs.scheduled("47 2 * * *", "sweep_uploads", long=True)
    async def sweep_uploads() -> None:
        await sweep_orphans("labs", database, files, DOCUMENTS_PREFIX, documents)
        await sweep_orphans("labs", database, files, IMPORTS_PREFIX, lab_imports)
        await asyncio.to_thread(sweep_scratch, settings.scratch_directory)

    return Parts(
        [
            VisitsServicer(database),
            BiomarkersServicer(),
            BiomarkerAliasesServicer(database),
            BodyCompositionServicer(database),
            EpigeneticsServicer(database),
            LabExportsServicer(database),
            LabImportsServicer(database, imports, jobs, import_job),
            MatchingServicer(database),
            PanelsServicer(database),
            TrendsServicer(database),
            DocumentsServicer(database, UploadStore(files, settings.document_max_bytes), jobs, document_jobs),
            DocumentValuesServicer(database),
        ],
        jobs,
        PersonalData(
            metadata,
            left_out={
                "idempotency_keys": "answers to repeated requests, kept for a day; what they say is in the tables"
            },
            folders=[Folder(files, DOCUMENTS_PREFIX), Folder(files, IMPORTS_PREFIX)],
            locks=["lab-imports:"],
        ),
    )


def _extractor(settings: LabsSettings) -> Extract:
    if not settings.extractor_url:
        return read_layouts
    # Not at the top: who plugs none in does without the HTTP client in memory.
    from services.labs.documents.external import ExternalExtractor

    url, seconds = settings.extractor_url, settings.extractor_seconds
    return ExternalExtractor(url, seconds, pictures=settings.extractor_pictures).read


SERVICE = Service("labs", LabsSettings, build, {"load-biomarkers": load_biomarkers})

if __name__ == "__main__":
    main(SERVICE)
