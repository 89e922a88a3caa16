"""``/dashboard/examinations/ID/view``: an examination in the browser by WebGL2; ``/slices``: the same as pictures of the server."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from pydantic import BeforeValidator
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http import paths
from mrseg_label.http.downloads import record_download, record_first_sight, send_recorded
from mrseg_label.http.public_address import public_path
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.documents.viewing import DifferencesOut, ViewedMask, ViewOut
from mrseg_label.reports.downloads import SUFFIX
from mrseg_label.reports.neighbours import NEIGHBOURS, pack_labels
from mrseg_label.reports.slices import PlaneName, Shown, SliceRequest, draw_slice, places_by_slice, read_slice
from mrseg_label.reports.viewing import (
    find_viewed_image,
    find_viewed_mask,
    read_differences,
    read_view,
    read_viewed_neighbours,
)
from mrseg_label.web.pages import page
from mrseg_label.worklist.signs import note_viewed

# NiiVue holds its font and its lighting as "data:" images. Scripts and styles are files of this server here too.
_IMAGES, _IMAGES_OF_NIIVUE = "img-src 'self'", "img-src 'self' data:"
TICKS = 11  # links to slices at even distances
PLACES = 20  # differences that the plain view lists
SMALL, LARGE = 320, 640  # pixels of the longer side of a slice
_Id = Annotated[str, Query(max_length=64)]
_Number = Annotated[float | None, Query(allow_inf_nan=False), BeforeValidator(lambda given: given or None)]


@dataclass(frozen=True)
class _Choice:
    """What the reader chose; an empty text means what is shown at first, ``-`` no mask."""

    image: _Id = ""
    first: _Id = ""
    second: _Id = ""
    shown: Shown | None = None
    plane: PlaneName = PlaneName.AXIAL
    at: Annotated[int | None, Query(ge=0, le=100_000), BeforeValidator(lambda given: given or None)] = None
    structure: Annotated[int, Query(ge=0, le=255)] = 0
    low: _Number = None
    high: _Number = None

    def of(self, view: ViewOut) -> SliceRequest:
        """Complete the choice for an examination."""
        images = [one.id for one in view.images]
        masks = {one.id for one in view.masks}
        first = self.first if self.first in masks else None
        second = self.second if self.second in masks else None
        if not self.first and not self.second:
            first, second = view.first, view.second
        shown = None if self.shown is Shown.NEIGHBOURS and not view.neighbours else self.shown
        given = asdict(self) | {
            "image": self.image if self.image in images else images[0],
            "first": first,
            "second": second,
            "shown": shown or (Shown.SECOND if second else Shown.FIRST if first else Shown.NOTHING),
        }
        return SliceRequest(**given)


Choice = Annotated[_Choice, Depends()]


def add_routes(routes: APIRouter, workspace: OpenedWorkspace) -> None:
    """Add the two views, and what they show."""
    catalog = workspace.catalog

    @routes.get(paths.VIEW)
    def get_viewer(request: Request, reader: CurrentReader, examination: str, choice: Choice) -> Response:
        view = read_view(workspace, examination, reader)
        note_viewed(catalog, reader, view.examination)
        wanted = choice.of(view)
        values: dict[str, Any] = {"view": view, "data": _data(request, view, wanted), "kinds": _kinds(view)}
        reply = page(request, "dashboard/viewer.html", script=True, **values)
        policy = reply.headers["Content-Security-Policy"]
        reply.headers["Content-Security-Policy"] = policy.replace(_IMAGES, _IMAGES_OF_NIIVUE)
        return reply

    @routes.get(paths.VIEW_IMAGE)
    def get_image(request: Request, reader: CurrentReader, examination: str) -> Response:
        return send_recorded(request, catalog, reader, find_viewed_image(workspace, examination, reader))

    @routes.get(paths.VIEW_MASK)
    def get_mask(request: Request, reader: CurrentReader, examination: str, mask: str) -> Response:
        if mask == NEIGHBOURS:
            content = pack_labels(workspace, *read_viewed_neighbours(workspace, examination, reader))
            record_download(catalog, reader, f"{examination}-{NEIGHBOURS}{SUFFIX}")
            return Response(content, media_type="application/gzip", headers={"Cache-Control": "private, no-store"})
        return send_recorded(request, catalog, reader, find_viewed_mask(workspace, examination, mask, reader))

    @routes.get(paths.VIEW_DIFFERENCES)
    def get_differences(reader: CurrentReader, examination: str, first: _Id, second: _Id) -> DifferencesOut:
        return read_differences(workspace, examination, first, second, reader)

    @routes.get(paths.SLICES)
    def get_slices(request: Request, reader: CurrentReader, examination: str, choice: Choice) -> Response:
        view = read_view(workspace, examination, reader)
        note_viewed(catalog, reader, view.examination)
        wanted = choice.of(view)
        found = read_slice(workspace, wanted, reader)
        if choice.at is None:  # once, and not with every slice
            record_download(catalog, reader, f"{wanted.image}.png")
        record_first_sight(catalog, reader, [f"{mask}{SUFFIX}" for mask in (wanted.first, wanted.second) if mask])
        differences = None
        if wanted.first and wanted.second:
            differences = read_differences(workspace, view.examination, wanted.first, wanted.second, reader)
        step = max(1, (found.count - 1) / (TICKS - 1))
        values: dict[str, Any] = {
            "view": view,
            "wanted": wanted,
            "found": found,
            "axis": "RAS"[found.plane.value],
            "planes": list(PlaneName),
            "choices": [one for one in Shown if one is not Shown.NEIGHBOURS or view.neighbours],
            "ticks": sorted({round(step * number) for number in range(TICKS) if step * number < found.count}),
            "legend": _legend(view, wanted, found.labels_shown),
            "places": [] if differences is None else places_by_slice(found, differences.places[:PLACES]),
            "query": partial(_query, wanted, found.at),
        }
        return page(request, "dashboard/slices.html", **values)

    @routes.get(paths.SLICE)
    def get_slice(reader: CurrentReader, examination: str, choice: Choice, *, small: bool = False) -> Response:
        wanted = choice.of(read_view(workspace, examination, reader))
        picture = draw_slice(workspace, wanted, reader, SMALL if small else LARGE)
        return Response(picture, media_type="image/png", headers={"Cache-Control": "private, no-cache"})


def _data(request: Request, view: ViewOut, wanted: SliceRequest) -> dict[str, Any]:
    """Make what the script of the viewer needs: what is chosen, and where everything is read from."""

    def link(path: str, **names: str) -> str:
        return public_path(request, path.format(examination=names.pop("examination", view.examination), **names))

    # There they are a layer of their own, over what is shown.
    shown = (Shown.SECOND if wanted.second else Shown.FIRST) if wanted.shown is Shown.NEIGHBOURS else wanted.shown
    return {
        "image": wanted.image,
        "first": wanted.first,
        "second": wanted.second,
        "shown": shown,
        "neighbours": link(paths.VIEW_MASK, mask=NEIGHBOURS) if view.neighbours else None,
        "neighbours_on": wanted.shown is Shown.NEIGHBOURS,
        "images": [
            {"id": one.id, "sequence": one.sequence, "url": link(paths.VIEW_IMAGE, examination=one.id)}
            for one in view.images
        ],
        "masks": [{"id": one.id, "url": link(paths.VIEW_MASK, mask=one.id)} for one in view.masks],
        "places": link(paths.VIEW_DIFFERENCES),
        "slices": link(paths.SLICES),
        "structures": [one.model_dump() for one in view.structures],
        "differences": [one.model_dump() for one in view.differences],
    }


def _query(wanted: SliceRequest, present: int, /, **changes: Any) -> str:
    """Write an address's query for another slice, plane or mask; ``first`` and ``second`` stay as they are chosen."""
    values = asdict(wanted) | {"at": present} | changes
    values |= {name: values[name] or "-" for name in ("first", "second")}
    return urlencode({name: value for name, value in values.items() if value not in (None, "")})


def _kinds(view: ViewOut, first: str = "the first", second: str = "the second") -> list[tuple[Any, str]]:
    texts = (f"only in {first}", f"only in {second}", "in both, as another structure")
    return list(zip(view.differences, texts, strict=True))


def _legend(view: ViewOut, wanted: SliceRequest, shown: frozenset[int]) -> list[tuple[tuple[int, int, int], str]]:
    if wanted.shown is Shown.DIFFERENCES:
        names = {one.id: _name(one) for one in view.masks}
        kinds = _kinds(view, names.get(wanted.first or "", "the first"), names.get(wanted.second or "", "the second"))
        return [(kind.color, text) for kind, text in kinds]
    return [(one.color, one.shown_name) for one in view.structures if one.id in shown]


def _name(mask: ViewedMask) -> str:
    return mask.text[:1].lower() + mask.text[1:]
