"""``request.summary``: what a record keeps for it, and its fields before the request's record is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from chest.chests.log import summary_fields
from chest.recorder.part_records import PartRecords
from chest.recorder.recorder import Recorder
from chest.request.context import RequestContext
from chest.request.metadata import copied_metadata
from chest.request.parts.sub_record import SubRecord
from chest.request.sanitizer.redaction import Redaction
from chest.request.wsgi import WSGIEnvironment, value_in
from chest.settings.settings import Settings

__all__ = ["RequestSummaries", "SummaryAttributes"]

AGENT: Final = "user_agent.original"
LANGUAGE: Final = "http.request.header.accept-language"
QUERY: Final = "url.query"
"""OpenTelemetry's names; a header is a list there."""

_MOST_CHARACTERS: Final = 1024


class SummaryAttributes:
    """Adds agent, language and, if it is wanted, the query of a request to its attributes.

    Only if a chest shows them (``wants_summary``): no other store gets user agents.

    :param clean_text: removes the secrets from a text.
    """

    def __init__(self, clean_text: Callable[[str], str]) -> None:
        self._clean_text = clean_text

    @classmethod
    def for_recorder(cls, recorder: Recorder | None, settings: Settings | None) -> SummaryAttributes | None:
        """Attributes for a recorder's requests; None if its chests show no attributes.

        :param settings: of the requests; None takes the recorder's.
        """
        if recorder is None or not any(getattr(chest, "wants_summary", False) for chest in recorder.chests):
            return None
        settings = recorder.settings if settings is None else settings
        return cls(Redaction(settings.redact, settings.unredacted).clean_text)

    def tell(self, context: RequestContext, environ: WSGIEnvironment, *, with_query: bool) -> None:
        """Add the attributes to the request's record."""
        context.attributes.update(shown_of(environ, self._clean_text, with_query=with_query))


class RequestSummaries:
    """Makes the fields of ``request.summary`` as the request's record will tell them: by the same selection and redaction.

    :param settings: of the application's recorder; without one the defaults.
    """

    def __init__(self, settings: Settings) -> None:
        self._records = PartRecords(settings, "", tracks=True)
        self._clean_text = Redaction(settings.redact, settings.unredacted).clean_text

    def fields(
        self,
        environ: WSGIEnvironment,
        context: RequestContext,
        *,
        request_id: str = "",
        status: str | None = None,
        user_id: object = None,
        variables: Mapping[str, Any] | None = None,
        duration_ns: int = 0,
        with_query: bool = False,
        error: BaseException | None = None,
    ) -> dict[str, Any]:
        """The fields, with ``msg`` if the request failed.

        :param context: the request's; what was said on it is told too.
        :param request_id: if the context has none.
        :param status: of the response; None without a response.
        :param user_id: of the user, if the application has not said it on the context.
        :param variables: those that may name a user.
        :param error: what the request failed with.
        """
        part, metadata = SubRecord(), copied_metadata(context)
        part.begin(environ)
        part.begin_ns -= duration_ns
        part.status = status
        metadata.attributes = {**shown_of(environ, self._clean_text, with_query=with_query), **metadata.more()}
        if metadata.user is None:
            metadata.user = user_id
        if error is not None:
            part.raised(error)
        record = self._records.made(part, context.request_id or request_id, variables or {}, metadata)
        return {} if record is None else summary_fields(record)


def shown_of(environ: WSGIEnvironment, clean_text: Callable[[str], str], *, with_query: bool) -> dict[str, Any]:
    """What a summary shows of the request that no other record needs, as attributes."""
    shown: dict[str, Any] = {}
    agent, language, query = (
        value_in(environ, key) for key in ("HTTP_USER_AGENT", "HTTP_ACCEPT_LANGUAGE", "QUERY_STRING")
    )
    if agent is not None:
        shown[AGENT] = agent[:_MOST_CHARACTERS]
    if language is not None:
        shown[LANGUAGE] = [language[:_MOST_CHARACTERS]]
    if with_query and query:
        readable = query.encode("latin-1", "replace").decode("utf-8", "replace")
        shown[QUERY] = clean_text(f"/?{readable}")[2:][:_MOST_CHARACTERS]
    return shown
