"""`python -m services.labs serve | worker | migrate | rotate-keys | load-biomarkers`."""

from services.kit.database import Database
from services.kit.jobs import Jobs
from services.kit.main import main
from services.kit.parts import Parts, Service
from services.kit.personal import PersonalData
from services.labs.base import metadata
from services.labs.biomarkers.aliases import BiomarkerAliasesServicer
from services.labs.biomarkers.servicer import BiomarkersServicer
from services.labs.biomarkers.store import load_biomarkers
from services.labs.body_composition import BodyCompositionServicer
from services.labs.epigenetics import EpigeneticsServicer
from services.labs.matching.servicer import MatchingServicer
from services.labs.panels import PanelsServicer
from services.labs.settings import LabsSettings
from services.labs.trends import TrendsServicer
from services.labs.visits import VisitsServicer


def build(settings: LabsSettings, database: Database) -> Parts:
    """The servicers and the jobs of labs."""
    return Parts(
        [
            VisitsServicer(database),
            BiomarkersServicer(),
            BiomarkerAliasesServicer(database),
            BodyCompositionServicer(database),
            EpigeneticsServicer(database),
            MatchingServicer(database),
            PanelsServicer(database),
            TrendsServicer(database),
        ],
        Jobs("labs", database),
        PersonalData(
            metadata,
            left_out={
                "idempotency_keys": "answers to repeated requests, kept for a day; what they say is in the tables"
            },
        ),
    )


SERVICE = Service("labs", LabsSettings, build, {"load-biomarkers": load_biomarkers})

if __name__ == "__main__":
    main(SERVICE)
