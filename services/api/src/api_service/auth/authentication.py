"""The account of a call's access token, as long as its login is valid."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.access_tokens import AccessTokenInvalidError, AccessTokens
from api_service.auth.models import User
from headrace.chassis.rpc.interceptors import Context


class Authenticator:
    """Finds the caller of public methods that need a login."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens

    async def caller(self, session: AsyncSession, context: Context) -> User:
        """Returns the account of the call's "authorization: Bearer <access token>".

        Raises:
            AccessTokenInvalidError: The token is missing, not this service's, expired, or of a login that a reset has
                ended.
        """
        token = self._tokens.read(_bearer(context))
        user = await session.scalar(select(User).where(User.id == token.user_id))
        if user is None or user.session_epoch != token.session_epoch:
            raise AccessTokenInvalidError("the login has ended")
        return user


def _bearer(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token:
                return token.strip()
    raise AccessTokenInvalidError('send "authorization: Bearer <access token>"')
