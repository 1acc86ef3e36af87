"""BillingService: the public gRPC service for billing."""

from api_service.auth.authentication import Authenticator
from api_service.billing.checkout import Checkouts
from api_service.database import Database
from headrace.chassis.rpc.interceptors import Context
from saas.billing.v1 import billing_service_pb2 as pb
from saas.billing.v1 import billing_service_pb2_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["BillingService"].full_name


class BillingServicer(billing_service_pb2_grpc.BillingServiceServicer):
    """Returns BillingService; errors are raised and become statuses in `billing.rpc_errors`."""

    def __init__(self, database: Database, access: Authenticator, checkouts: Checkouts) -> None:
        self._database = database
        self._access = access
        self._checkouts = checkouts

    async def CreateCheckoutSession(  # noqa: N802
        self, request: pb.CreateCheckoutSessionRequest, context: Context
    ) -> pb.CreateCheckoutSessionResponse:
        """See the contract."""
        async with self._database.transaction() as session:
            user = await self._access.caller(session, context)
        page = await self._checkouts.start(user, price_id=request.price_id, client_key=request.client_key)
        return pb.CreateCheckoutSessionResponse(session_id=page.session_id, url=page.url)
