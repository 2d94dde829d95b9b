"""The tables of identity, for Alembic."""

from services.identity.sessions import sessions
from services.kit.migrate import run_environment

run_environment(sessions.metadata)
