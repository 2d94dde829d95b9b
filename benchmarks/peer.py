"""What the reading benchmark is compared with: FastAPI, SQLAlchemy's ORM and pydantic in one process.

Written as their tutorials write it. It verifies the same access tokens and
sends the same query to the same table. It does less: it connects as the tables'
owner, past row security, and has no gateway, contract, rate limits or metrics.

    DATABASE_URL=postgresql+psycopg://… PUBLIC_KEY_FILE=… python -m benchmarks.peer PORT
"""

import datetime as dt
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class WearableDaily(Base):
    __tablename__ = "wearable_daily"

    user_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    date: Mapped[dt.date] = mapped_column(primary_key=True)
    source: Mapped[str]
    resting_hr_bpm: Mapped[int | None]
    max_hr_bpm: Mapped[int | None]
    hrv_rmssd_ms: Mapped[float | None]
    hrv_sdnn_ms: Mapped[float | None]
    steps: Mapped[int | None]
    active_calories_kcal: Mapped[int | None]
    total_calories_kcal: Mapped[int | None]
    active_minutes: Mapped[int | None]
    moderate_intensity_minutes: Mapped[int | None]
    vigorous_intensity_minutes: Mapped[int | None]
    distance_m: Mapped[int | None]
    floors_climbed: Mapped[int | None]
    spo2_avg_pct: Mapped[float | None]
    spo2_min_pct: Mapped[float | None]
    respiratory_rate_avg: Mapped[float | None]
    stress_avg: Mapped[int | None]
    body_battery_start: Mapped[int | None]
    body_battery_end: Mapped[int | None]
    readiness_score: Mapped[int | None]
    recovery_score: Mapped[int | None]
    skin_temp_deviation_c: Mapped[float | None]
    vo2_max_ml_kg_min: Mapped[float | None]
    source_as_of: Mapped[dt.datetime | None]
    import_id: Mapped[uuid.UUID | None]
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]


class Day(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    user_id: uuid.UUID
    date: dt.date
    source: str
    resting_hr_bpm: int | None
    max_hr_bpm: int | None
    hrv_rmssd_ms: float | None
    hrv_sdnn_ms: float | None
    steps: int | None
    active_calories_kcal: int | None
    total_calories_kcal: int | None
    active_minutes: int | None
    moderate_intensity_minutes: int | None
    vigorous_intensity_minutes: int | None
    distance_m: int | None
    floors_climbed: int | None
    spo2_avg_pct: float | None
    spo2_min_pct: float | None
    respiratory_rate_avg: float | None
    stress_avg: int | None
    body_battery_start: int | None
    body_battery_end: int | None
    readiness_score: int | None
    recovery_score: int | None
    skin_temp_deviation_c: float | None
    vo2_max_ml_kg_min: float | None
    source_as_of: dt.datetime | None
    import_id: uuid.UUID | None
    created_at: dt.datetime
    updated_at: dt.datetime


class Page(BaseModel):
    wearable_daily: list[Day]
    next_page_token: str


app = FastAPI()
bearer = HTTPBearer()
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)
public_key = Path(os.environ["PUBLIC_KEY_FILE"]).read_text()


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


async def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> uuid.UUID:
    try:
        claims: dict[str, Any] = jwt.decode(
            credentials.credentials, public_key, algorithms=["EdDSA"], audience="vitalis-api", issuer="vitalis"
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "the access token is not valid") from None
    return uuid.UUID(claims["sub"])


@app.get("/api/v1/users/me/wearable-daily", response_model=Page)
async def list_wearable_daily(
    user_id: Annotated[uuid.UUID, Depends(current_user)],
    opened: Annotated[AsyncSession, Depends(session)],
    page_size: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Any:
    query = (
        select(WearableDaily)
        .where(WearableDaily.user_id == user_id)
        .order_by(WearableDaily.date.desc(), WearableDaily.source.desc())
        .limit(page_size + 1)
    )
    days = list((await opened.scalars(query)).all())
    token = f"{days[page_size - 1].date}" if len(days) > page_size else ""
    return {"wearable_daily": days[:page_size], "next_page_token": token}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
