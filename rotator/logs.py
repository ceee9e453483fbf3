"""Structured logs: JSON in production, lines for people; no value gets into one (P6)."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from rotator.redaction import named, scrubbed
from rotator.settings import LogFormat

_QUIET: Final = ("httpx", "httpcore", "apscheduler", "sqlalchemy", "aiosqlite", "alembic")


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
    """A structlog processor: values go by type and by name, wherever in the structure they are."""
    for key, value in event.items():
        if not key.startswith("_"):  # what structlog keeps for its own use
            event[key] = named(key, value)
    return event


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Looks at the finished line once more: at what was made of objects and of libraries' calls."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return scrubbed(super().format(record))


def configure_logs(log_format: LogFormat, level: str) -> None:
    """Send everything, also what libraries log and warn of, through one pipeline to standard
    error."""
    as_json = log_format is LogFormat.JSON or (
        log_format is LogFormat.AUTO and not sys.stderr.isatty()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
