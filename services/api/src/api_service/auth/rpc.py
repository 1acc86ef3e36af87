"""AuthService: the public gRPC service for accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.accounts import Accounts
from api_service.auth.authentication import Authenticator
from api_service.auth.models import User
from api_service.database import Database
from headrace.chassis.rpc.interceptors import Context
from saas.auth.v1 import auth_service_pb2 as pb
from saas.auth.v1 import auth_service_pb2_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["AuthService"].full_name

AddBilling = Callable[[AsyncSession, User, pb.Account], Awaitable[None]]
"""Fills in an account's subscription and entitlements, in the caller's transaction."""


class AuthServicer(auth_service_pb2_grpc.AuthServiceServicer):
    """Returns AuthService; errors are raised and become statuses in `api_service.rpc.errors`."""

    def __init__(self, accounts: Accounts, access: Authenticator, database: Database, add_billing: AddBilling) -> None:
        self._accounts = accounts
        self._access = access
        self._database = database
        self._add_billing = add_billing

    async def Register(self, request: pb.RegisterRequest, _context: Context) -> pb.RegisterResponse:  # noqa: N802
        """See the contract."""
        await self._accounts.register(request.email, request.password)
        return pb.RegisterResponse()

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, _context: Context) -> pb.VerifyEmailResponse:  # noqa: N802
        """See the contract."""
        await self._accounts.verify_email(request.token)
        return pb.VerifyEmailResponse()

    async def ResendVerification(  # noqa: N802
        self, request: pb.ResendVerificationRequest, _context: Context
    ) -> pb.ResendVerificationResponse:
        """See the contract."""
        await self._accounts.resend_verification(request.email)
        return pb.ResendVerificationResponse()

    async def Login(self, request: pb.LoginRequest, _context: Context) -> pb.LoginResponse:  # noqa: N802
        """See the contract."""
        token, expires_at = await self._accounts.log_in(request.email, request.password)
        answer = pb.LoginResponse(access_token=token)
        answer.expires_at.FromDatetime(expires_at)
        return answer

    async def RequestPasswordReset(  # noqa: N802
        self, request: pb.RequestPasswordResetRequest, _context: Context
    ) -> pb.RequestPasswordResetResponse:
        """See the contract."""
        await self._accounts.request_password_reset(request.email)
        return pb.RequestPasswordResetResponse()

    async def ResetPassword(self, request: pb.ResetPasswordRequest, _context: Context) -> pb.ResetPasswordResponse:  # noqa: N802
        """See the contract."""
        await self._accounts.reset_password(request.token, request.new_password)
        return pb.ResetPasswordResponse()

    async def GetAccount(self, _request: pb.GetAccountRequest, context: Context) -> pb.GetAccountResponse:  # noqa: N802
        """See the contract."""
        async with self._database.transaction() as session:
            user = await self._access.caller(session, context)
            account = pb.Account(id=str(user.id), email=user.email)
            await self._add_billing(session, user, account)
        account.created_at.FromDatetime(user.created_at)
        if user.email_verified_at is not None:
            account.email_verified_at.FromDatetime(user.email_verified_at)
        return pb.GetAccountResponse(account=account)
