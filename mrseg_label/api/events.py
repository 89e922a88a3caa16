"""``/events``: what changes, as server-sent events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from mrseg_label.catalog.types import Topic
from mrseg_label.errors import Forbidden, InvalidInput
from mrseg_label.http.event_streams import HEADERS, RESET, EventResponse, EventStreams
from mrseg_label.http.event_topics import permitted_topics
from mrseg_label.http.readers import CurrentIdentity, CurrentReader

_MEDIA_TYPE = EventResponse.media_type
# Of one event, as tools read the schema of a stream before OpenAPI 3.2.
_EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": [*Topic, RESET]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "description": "number of the change; absent from `reset`"},
        "retry": {"type": "integer", "minimum": 0, "description": "milliseconds"},
    },
    "required": ["event", "data"],
}
_RESPONSES: dict[int | str, dict[str, object]] = {
    200: {
        "content": {_MEDIA_TYPE: {"schema": _EVENT_SCHEMA}},
        "description": "events until the client leaves or the server ends",
    }
}
_Topics = Annotated[
    str | None,
    Query(max_length=200, description=f"only these, separated by commas, of {', '.join(Topic)}; all by default"),
]
_Last = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=2**63 - 1,
        description="`id` of the last event or sign of life that the client got; what changed since then comes first",
    ),
]
_Follow = Annotated[bool, Query(description="false: only what changed since `Last-Event-ID`, then the stream ends")]


def router(streams: EventStreams) -> APIRouter:
    """Assemble the route ``/events``."""
    routes = APIRouter(tags=["events"])

    @routes.head("/events", include_in_schema=False)
    def look_at_events() -> Response:
        return Response(media_type=_MEDIA_TYPE, headers=HEADERS)

    # In the event loop: nothing here blocks, and the streams belong to it.
    @routes.get(
        "/events",
        summary="Follow what changes, as server-sent events, each with the document that the matching GET gives",
        status_code=200,
        response_class=EventResponse,
        responses=_RESPONSES,
    )
    async def follow_events(
        reader: CurrentReader,
        identity: CurrentIdentity,
        topics: _Topics = None,
        last_event_id: _Last = None,
        follow: _Follow = True,
    ) -> EventResponse:
        permitted = permitted_topics(reader.role, identity.scopes if identity else ())
        wanted = permitted if topics is None else _parse(topics)
        if not wanted <= permitted:
            refused = ", ".join(sorted(wanted - permitted))
            raise Forbidden(f"{reader.name} has the role {reader.role}, which may not read events of: {refused}")
        return streams.open(reader, identity, wanted, last_event_id, follow=follow)

    return routes


def _parse(topics: str) -> frozenset[Topic]:
    names = [name.strip() for name in topics.split(",") if name.strip()]
    unknown = [name for name in names if name not in list(Topic)]
    if unknown or not names:
        found = f"there is no topic {unknown[0][:40]!r}" if unknown else "topics is empty"
        raise InvalidInput(f"{found}; choose from {', '.join(Topic)}")
    return frozenset(map(Topic, names))
