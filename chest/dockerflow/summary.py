"""``SummaryAttributes``: of a request what ``request.summary`` shows beside its record, brought into the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chest.recorder import Recorder
from chest.request.context import RequestContext
from chest.request.redaction import Redaction
from chest.settings import Settings
from chest.wsgi import WSGIEnvironment

__all__ = ["SummaryAttributes"]

AGENT: Final = "user_agent.original"
LANGUAGE: Final = "http.request.header.accept-language"
QUERY: Final = "url.query"
"""OpenTelemetry's names; a header is a list there."""

_MOST_CHARACTERS: Final = 1024


class SummaryAttributes:
    """Puts agent, language and, where it is wanted, the query of a request among its attributes.

    Only where a chest shows them (``wants_summary``): who did not ask for it has no user agents in a store.

    :param clean_url: takes the secrets out of a URL.
    """

    def __init__(self, clean_url: Callable[[str], str]) -> None:
        self._clean_url = clean_url

    @classmethod
    def for_recorder(cls, recorder: Recorder | None, settings: Settings | None) -> SummaryAttributes | None:
        """Attributes for a recorder's requests; None where none of its chests shows them.

        :param settings: of the requests; None takes the recorder's.
        """
        if recorder is None or not any(getattr(chest, "wants_summary", False) for chest in recorder.chests):
            return None
        settings = recorder.settings if settings is None else settings
        return cls(Redaction(settings.redact, settings.unredacted).clean_url)

    def tell(self, context: RequestContext, environ: WSGIEnvironment, *, with_query: bool) -> None:
        """Bring them into the request's record."""
        attributes = context.attributes
        if "HTTP_USER_AGENT" in environ:
            attributes[AGENT] = environ["HTTP_USER_AGENT"][:_MOST_CHARACTERS]
        if "HTTP_ACCEPT_LANGUAGE" in environ:
            attributes[LANGUAGE] = [environ["HTTP_ACCEPT_LANGUAGE"][:_MOST_CHARACTERS]]
        query = environ.get("QUERY_STRING")
        if with_query and query:
            readable = query.encode("latin-1", "replace").decode("utf-8", "replace")
            attributes[QUERY] = self._clean_url(f"/?{readable}")[2:][:_MOST_CHARACTERS]
