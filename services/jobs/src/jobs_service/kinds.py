"""The kinds of a deployment, under its settings.

The server takes them from JOBS_KINDS, a worker from its handlers. The same settings apply to both, so a kind has the
same options in both.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from headrace.queue import Defaults, Headrace, KindOverride, Kinds, QueueError
from jobs_service.object_references import import_reference
from jobs_service.settings import JobsSettings, reject_setting

_VARIABLE = "JOBS_KINDS"


def load_kinds(references: Iterable[str], settings: JobsSettings) -> Kinds:
    """Imports the kinds that JOBS_KINDS names; ends the program with exit code 2 if they can't be used."""
    classes = list(dict.fromkeys(message for reference in references for message in _messages(reference)))
    try:
        known = set(Kinds(classes).all_names)
    except QueueError as error:
        reject_setting(_VARIABLE, str(error))
    if unknown := sorted(settings.jobs_kind_overrides.keys() - known):
        reject_setting(
            "JOBS_KIND_OVERRIDES",
            f"{', '.join(unknown)} is unknown: use one of {', '.join(sorted(known))}, or add its module to {_VARIABLE}",
        )
    return configured(classes, settings)


def configured(classes: Iterable[type[Any]], settings: JobsSettings) -> Kinds:
    """Builds kinds with the deployment's defaults and with the overrides that concern them."""
    classes = list(classes)
    names = set(Kinds(classes).all_names)
    return Kinds(
        classes,
        defaults=Defaults(max_retries=settings.jobs_max_retries, timeout=settings.jobs_timeout),
        overrides={
            name: KindOverride(
                queue=override.queue,
                max_retries=override.max_retries,
                timeout=override.timeout,
                priority=override.priority,
            )
            for name, override in settings.jobs_kind_overrides.items()
            if name in names
        },
    )


def _messages(reference: str) -> Iterator[type[Message]]:
    found = import_reference(_VARIABLE, reference)
    descriptor = getattr(found, "DESCRIPTOR", None)
    if isinstance(descriptor, FileDescriptor):
        found = Kinds.of_file(descriptor)
    elif isinstance(found, Headrace):
        found = found.handlers.kinds
    if not isinstance(found, Kinds):
        reject_setting(
            _VARIABLE,
            f"{reference} is {_described(found)}: expected a module that protoc generated, such as shop.kinds_pb2, or "
            "a headrace.queue.Headrace or Kinds",
        )
    if not found.names:
        reject_setting(
            _VARIABLE,
            f"{reference} has no job kinds: set `option (headrace.jobs.v1.job) = {{…}}` on a message and generate the "
            "module again",
        )
    for kind in found:
        if not issubclass(kind.message_class, Message):
            reject_setting(
                _VARIABLE,
                f"{kind.name} (from {reference}) is not a protobuf message: the server accepts protobuf kinds only",
            )
        yield kind.message_class


def _described(found: object) -> str:
    return "a module without protobuf messages" if type(found).__name__ == "module" else f"a {type(found).__name__}"
