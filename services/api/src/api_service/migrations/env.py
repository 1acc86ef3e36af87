"""What Alembic runs first: the schema's steps on the connection of `api_service.migrate`."""

from alembic import context

from api_service.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
