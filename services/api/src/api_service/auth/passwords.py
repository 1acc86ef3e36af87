"""Passwords: validation, and argon2id in a bounded pool of threads.

Parameters are OWASP's floor (Password Storage Cheat Sheet): m=19456 KiB, t=2, p=1, about 26 ms of a core. The hashing
releases the GIL, so threads are enough. The number of threads and of waiting calls is limited, because otherwise a
burst of logins would use up all memory.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from api_service.auth.errors import HashingBusyError, PasswordRefusedError

MINIMUM_LENGTH = 8
MAXIMUM_LENGTH = 256

T = TypeVar("T")


def normalise(password: str) -> str:
    """Returns the form in which a password is hashed (NFC), so that it is the same however a system types it."""
    return unicodedata.normalize("NFC", password)


def choose(password: str, *, field: str = "password") -> str:
    """Validates and normalises a new password; `field` is its field in the request.

    Raises:
        PasswordRefusedError: It doesn't have 8 to 256 characters, or it is a common one.
    """
    chosen = normalise(password)
    if not MINIMUM_LENGTH <= len(chosen) <= MAXIMUM_LENGTH:
        raise PasswordRefusedError(f"a password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters", field=field)
    if chosen.casefold() in _common():
        raise PasswordRefusedError("this password is one of the most common ones; please choose another", field=field)
    return chosen


@cache
def _common() -> frozenset[str]:
    lines = (resources.files(__package__) / "common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


class Passwords:
    """Hashes and verifies passwords, a few at a time."""

    def __init__(
        self,
        *,
        threads: int = 2,
        waiting: int = 100,
        hasher: PasswordHasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, type=Type.ID),  # noqa: B008
    ) -> None:
        """Starts no threads yet, but computes the dummy hash that passwords of unknown addresses are compared with.

        Args:
            threads: How many passwords are hashed at once.
            waiting: How many further calls may wait; more are rejected.
            hasher: The parameters of new hashes.
        """
        self._hasher = hasher
        self._dummy = hasher.hash("a password that is never used")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._limit = threads + waiting
        self._pending = 0

    async def hash(self, password: str) -> str:
        """Returns the argon2id hash of a normalised password.

        Raises:
            HashingBusyError: Too many calls wait.
        """
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Returns whether the normalised password matches the hash; False without a hash, after the same work.

        Raises:
            HashingBusyError: Too many calls wait.
        """
        matches = await self._in_thread(lambda: self._matches(password_hash or self._dummy, password))
        return matches and password_hash is not None

    def needs_rehash(self, password_hash: str) -> bool:
        """Returns whether the hash has other parameters than new hashes."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Stops the threads; waiting calls are not started."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._pending >= self._limit:
            raise HashingBusyError("too many passwords are being hashed")
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._pending -= 1
