"""Logs: one JSON object per line on standard output, with the ids of its trace, and redacted.

Records of the standard library's loggers (grpc, psycopg, uvicorn) are handled in the same way; their `extra` becomes
fields.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Annotated, Any, Literal

import structlog
from opentelemetry import trace
from pydantic import BeforeValidator, Field
from structlog.typing import Processor

from headrace.chassis.settings import Settings, load
from headrace.chassis.telemetry.redaction import veil_event


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class LogSettings(Settings):
    """How a program logs."""

    log_format: Literal["json", "console"] = Field(
        default="json", description='"json" writes one object per line; "console" is for people at a terminal.'
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        default="INFO", description="The least severe level that is written: DEBUG, INFO, WARNING or ERROR."
    )


def start_logging() -> None:
    """Sets up structlog and the standard library's logging from LOG_FORMAT and LOG_LEVEL; once, at start."""
    settings = load(LogSettings)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings.log_format)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)


def add_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Adds the current span's ids, so that a log line can be matched to its trace."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event


def _rendering(log_format: str) -> list[Processor]:
    if log_format == "console":
        # The plain formatter: a pretty one also prints local variables, and with them passwords and addresses.
        return [
            structlog.processors.format_exc_info,
            veil_event,
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    return [
        structlog.processors.format_exc_info,
        veil_event,
        structlog.processors.JSONRenderer(default=repr, ensure_ascii=False),
    ]
