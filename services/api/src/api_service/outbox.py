"""The service's outbox: jobs are added in the transaction that needs them, and sent after its commit."""

from api_service.database import metadata
from headrace.outbox import Outbox

outbox = Outbox(metadata, name="outbox")
