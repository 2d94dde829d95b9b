"""The funnel: how many come to each step, how long it takes them, and how many complete each day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from services.kit.caller import Caller
from services.kit.database import uuid7
from tests.harness import failure, reason
from tests.identity.conftest import Identity
from tests.identity.onboarding.admins import Admin, consent
from tests.identity.onboarding.people import ORDER, Onboarder, somebody
from vitalis.identity.v1 import onboarding_admin_pb2 as pb


async def test_the_funnel_of_nobody(admin: Admin) -> None:
    assert await admin.funnel() == pb.GetOnboardingFunnelResponse()
    assert await admin.funnel(flow_version="1.0", start_date="0001-01-01", end_date="9999-12-31") == (
        pb.GetOnboardingFunnelResponse()
    )
    assert await admin.funnel(end_date="0001-01-01") == pb.GetOnboardingFunnelResponse()
    error = await failure(admin.funnel(start_date="2026-02-01", end_date="2026-01-31"))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "end_date")


def event(
    identity: Identity, one: Caller | str, step: int, began: datetime, seconds: float | None, **given: Any
) -> None:
    """Somebody who came to a step then and did it so many seconds later, if they did."""
    row = {
        "user_id": one if isinstance(one, str) else one.subject,
        "onboarding_id": given.get("onboarding", one if isinstance(one, str) else one.subject),
        "flow_version": given.get("version", "1.0"),
        "step": step,
        "step_name": ORDER[step],
        "started_at": began,
        "completed_at": None if seconds is None else began + timedelta(seconds=seconds),
    }
    columns = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute(f"INSERT INTO onboarding_step_events ({columns}) VALUES ({values})".encode(), row)


async def test_the_funnel_counts_steps_and_days(identity: Identity, admin: Admin) -> None:
    people = [await identity.make_person(f"person-{number}@example.com") for number in range(4)]
    monday, tuesday = datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 3, 23, 30, tzinfo=UTC)
    for one, began in zip(people, (monday, monday, monday, tuesday), strict=True):
        event(identity, one, 0, began, 0)
    for one, seconds in zip(people, (10, 20, 60), strict=False):
        event(identity, one, 1, monday, seconds)
    event(identity, people[3], 1, tuesday, None)
    event(identity, people[0], 11, monday + timedelta(days=1), 3600)
    # Of another version, and on another day than all that.
    event(identity, people[3], 0, monday, 0, version="1.1", onboarding=str(uuid7()))
    event(identity, people[3], 0, tuesday + timedelta(days=1), 0, onboarding=str(uuid7()))

    funnel = await admin.funnel(flow_version="1.0", start_date="2026-03-02", end_date="2026-03-03")
    welcome, experience, confirmation = funnel.steps
    assert (welcome.step_name, welcome.started, welcome.completed, welcome.drop_off) == ("welcome", 4, 4, 0)
    # It is on the screen before anything is known of it.
    assert not welcome.HasField("median_seconds")
    assert experience == pb.OnboardingStepFigures(
        flow_version="1.0",
        step=1,
        step_name="fitness_experience",
        started=4,
        completed=3,
        completion_rate_pct=75,
        median_seconds=20,
        average_seconds=30,
        drop_off=1,
        drop_off_rate_pct=25,
    )
    assert (confirmation.step, confirmation.started, confirmation.average_seconds) == (11, 1, 3600)
    assert list(funnel.days) == [
        pb.OnboardingDayFigures(date="2026-03-03", started=1),
        pb.OnboardingDayFigures(
            date="2026-03-02", started=3, completed=1, completion_rate_pct=33.33, average_completion_minutes=25 * 60
        ),
    ]
    both = await admin.funnel(start_date="2026-03-02", end_date="2026-03-02")
    assert [(each.flow_version, each.step, each.started) for each in both.steps] == [
        ("1.0", 0, 3),
        ("1.0", 1, 3),
        ("1.0", 11, 1),
        ("1.1", 0, 1),
    ]
    assert [(day.date, day.started) for day in both.days] == [("2026-03-02", 4)]


async def test_how_long_the_welcome_took_clients_say(identity: Identity, admin: Admin, ada: Onboarder) -> None:
    bob = await somebody(identity, "bob@example.com")
    await ada.save("welcome", seconds_shown=90)
    await bob.save("welcome", seconds_shown=30)
    # Of later steps it is known when they were come to.
    await bob.save("fitness_experience", seconds_shown=86400)
    welcome, experience, *_ = (await admin.funnel()).steps
    assert (welcome.started, welcome.completed, welcome.median_seconds, welcome.average_seconds) == (2, 2, 60, 60)
    assert experience.average_seconds < 86400
    await ada.save("welcome", seconds_shown=1)
    assert (await admin.funnel()).steps[0] == welcome
    for seconds in (-1, 86401):
        assert await reason(ada.save("fitness_experience", seconds_shown=seconds)) == "INVALID_FIELD"


async def test_the_funnel_of_an_onboarding_as_it_went(identity: Identity, admin: Admin, ada: Onboarder) -> None:
    await ada.finish()
    # What is saved or gone back to again counts once.
    bob = await somebody(identity, "bob@example.com")
    await bob.save_until("goals")
    await bob.save("welcome")
    await bob.go_back(1)
    await bob.save("fitness_experience")
    funnel = await admin.funnel()
    assert [(each.step_name, each.started, each.completed) for each in funnel.steps] == [
        ("welcome", 2, 2),
        ("fitness_experience", 2, 2),
        ("goals", 2, 1),
        *((name, 1, 1) for name in ORDER[3:]),
    ]
    assert all(each.HasField("median_seconds") for each in funnel.steps[3:])
    assert [(day.started, day.completed, day.completion_rate_pct) for day in funnel.days] == [(2, 1, 50)]
    # A reset takes nothing of what was.
    await consent(ada)
    await admin.reset(ada.user_id)
    assert (await admin.funnel()) == funnel
    # Who was reset has begun when they save the first step, as everybody.
    await ada.save("welcome", seconds_shown=40)
    funnel = await admin.funnel()
    assert [(day.started, day.completed) for day in funnel.days] == [(3, 1)]
    assert (funnel.steps[0].started, funnel.steps[0].median_seconds) == (3, 40)
