"""As whom a signed-in person's request calls its service, now and for as long as it runs.

An access token says who somebody was up to a quarter of an hour ago. Whether
their session still lives, which role they have and what somebody else's grant
gives them, identity says; it is believed for `caller_memory_seconds`, ten at
most. The arithmetic of what that comes to stands in
docs/decisions/0071-callers-are-resolved.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from re import compile as pattern
from typing import NamedTuple

import structlog

from gateway.backend import Metadata
from gateway.tokens import InvalidTokenError, Person
from services.kit.caller import ANONYMOUS, MARGIN_SECONDS, TOKEN_METADATA, Caller, CallerSigner
from services.kit.errors import ServiceError
from vitalis.identity.v1 import callers_pb2

log = structlog.get_logger("gateway.callers")

ADMIN = "admin"
MEMORY_SIZE = 20_000
# After identity has failed to answer, how long nobody is made to wait for it.
PAUSE_SECONDS = 1.0
# One spelling for one person: another one is nobody.
USER_ID = pattern("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Ask = Callable[[str, str, str], Awaitable[callers_pb2.ResolveCallerResponse]]


class Standing(NamedTuple):
    """What is known of a session's person and one subject.

    `caller` is who may call, or `refusal` says why nobody may. It is believed
    until `fresh_until` (monotonic), and what was signed or begun on it ends at
    `ends` (Unix seconds). `known` is false for the access token's own word.
    """

    caller: Caller
    refusal: Callable[[], ServiceError] | None
    fresh_until: float
    ends: float
    known: bool


class Callers:
    """Resolves callers, and remembers for a moment what identity said."""

    def __init__(self, ask: Ask, memory_seconds: float) -> None:
        self._ask = ask
        self._memory = memory_seconds
        self._standings: dict[tuple[str, str], Standing] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[Standing | None]] = {}
        self._paused_until = 0.0

    async def admit(
        self, person: Person, subject: str, *, as_admin: bool = False, or_admin_for: str | None = None
    ) -> Standing:
        """The standing of a person who wants to reach a subject's data, their own or another's.

        An RPC with `admins` names its scope as `or_admin_for`: an admin whom no
        grant gives that scope calls as an admin. Raises UNAUTHENTICATED if the session has ended, SUBJECT_MISMATCH
        without a grant, SCOPE_MISSING for an admin who is none, and UNAVAILABLE
        if only identity could say and cannot be reached.
        """
        standing = await self._standing(person, person.id if as_admin else subject)
        if or_admin_for is not None and _is_admin_without(standing, or_admin_for):
            return standing._replace(caller=replace(person.caller, role=ADMIN, subject=subject), refusal=None)
        if standing.refusal:
            raise standing.refusal()
        if not as_admin:
            return standing
        if not standing.known:
            raise _unavailable()
        if standing.caller.role != ADMIN:
            raise ServiceError("SCOPE_MISSING", "needs the role admin")
        return standing._replace(caller=replace(standing.caller, subject=subject))

    async def _standing(self, person: Person, subject: str) -> Standing:
        key = (person.session, subject)
        standing = self._standings.get(key)
        if standing and standing.fresh_until > time.monotonic():
            return standing
        is_own = subject == person.id
        if not is_own and not USER_ID.fullmatch(subject):
            raise no_access()
        if found := await self._resolve(person, subject):
            return found
        if not is_own:
            raise _unavailable()
        # Identity cannot be reached. Whoever was turned away stays so; else the access token is believed.
        if standing and standing.refusal:
            return standing
        return Standing(person.caller, None, time.monotonic() + PAUSE_SECONDS, person.expires, known=False)

    async def _resolve(self, person: Person, subject: str) -> Standing | None:
        """What identity says, asked once for all who want to know it now; None if it does not answer."""
        key = (person.session, subject)
        task = self._asking.get(key)
        if task is None:
            if time.monotonic() < self._paused_until:
                return None
            task = self._asking[key] = asyncio.create_task(self._ask_identity(person, subject))
            task.add_done_callback(lambda _: self._asking.pop(key))
        return await asyncio.shield(task)

    async def _ask_identity(self, person: Person, subject: str) -> Standing | None:
        # The answer's age counts from here: what it tells was true at some time after this.
        asked, asked_at = time.monotonic(), time.time()
        try:
            answer = await self._ask(person.id, person.session, subject)
        except ServiceError as error:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            log.warning("identity cannot say who calls", reason=error.reason.name)
            return None
        left, ends = self._memory, self._memory + MARGIN_SECONDS
        refusal: Callable[[], ServiceError] | None = None
        caller = replace(person.caller, role=answer.role)
        if not answer.alive:
            refusal = InvalidTokenError
        elif subject != person.id:
            caller = replace(caller, subject=subject, scopes=frozenset(answer.grant.scopes), grant_id=answer.grant.id)
            if not answer.HasField("grant"):
                # Soon asked for again: whoever is given something tries at once.
                refusal, left = no_access, min(left, PAUSE_SECONDS)
            elif answer.grant.HasField("seconds_left"):
                left, ends = min(left, answer.grant.seconds_left), min(ends, answer.grant.seconds_left)
        standing = Standing(caller, refusal, asked + left, asked_at + ends, known=True)
        if len(self._standings) >= MEMORY_SIZE:
            self._standings.clear()
        self._standings[person.session, subject] = standing
        return standing


class Admission:
    """One request's leave to call its service: given once, asked for again while it runs."""

    __slots__ = ("_about", "_admit", "_service", "_signer", "_standing", "trace")

    def __init__(self, signer: CallerSigner, service: str, about: Metadata) -> None:
        """`about` describes the request (`describing`). Nobody calls yet."""
        self._signer = signer
        self._service = service
        self._about = about
        self._standing: Standing | None = None
        self._admit: Callable[[], Awaitable[Standing]] | None = None
        self.trace: Metadata = ()

    async def admit(self, admit: Callable[[], Awaitable[Standing]]) -> None:
        """Lets a person's request in, or raises what `admit` does."""
        self._admit = admit
        self._standing = await admit()

    async def metadata(self) -> Metadata:
        """What a call that begins now carries. Raises if the person has lost their leave since."""
        standing = self._standing
        if standing is None or self._admit is None:
            token = self._signer.token(ANONYMOUS, self._service)
        else:
            if standing.fresh_until <= time.monotonic():
                standing = self._standing = await self._admit()
            token = self._signer.token(standing.caller, self._service, standing.ends)
        return ((TOKEN_METADATA, token), *self._about, *self.trace)

    async def lost(self) -> ServiceError:
        """Waits until the person has lost their leave; why. Waits for ever if nobody needed one."""
        while self._standing and self._admit:
            await asyncio.sleep(max(0.0, self._standing.fresh_until - time.monotonic()))
            try:
                self._standing = await self._admit()
            except ServiceError as error:
                # A service that is restarted is no reason to break off what it allowed a moment ago.
                if error.reason.name != "UNAVAILABLE" or time.time() >= self._standing.ends:
                    return error
                await asyncio.sleep(PAUSE_SECONDS)
        return await asyncio.Future()


def _is_admin_without(standing: Standing, scope: str) -> bool:
    """Whether somebody is an admin, and has no grant of a scope for the other person that the standing is about."""
    return (
        standing.caller.role == ADMIN
        and standing.caller.is_delegate
        and standing.refusal in (None, no_access)
        and scope not in standing.caller.scopes
    )


def no_access() -> ServiceError:
    """One answer, whether or not there is such a person."""
    return ServiceError("SUBJECT_MISMATCH", "you have no access to this person's data")


def _unavailable() -> ServiceError:
    return ServiceError("UNAVAILABLE", "who may see this cannot be found out now; try again", retry_after_seconds=1)
