"""What a viewer shows of an examination: images, masks, structures and the places where two masks differ."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field


class MaskKind(StrEnum):
    """What a mask is."""

    PRESEGMENTATION = "pre-segmentation"
    ANNOTATION = "annotation"


class ViewedImage(BaseModel):
    """An image of the acquisition."""

    id: str
    sequence: str
    primary: bool = Field(description="whether it is the one that readers open")


class ViewedMask(BaseModel):
    """A mask of the acquisition that this reader may see."""

    id: str
    kind: MaskKind
    text: str = Field(description="what it is, for people")


class ViewedStructure(BaseModel):
    """A structure of the label scheme."""

    id: int
    name: str
    shown_name: str
    color: tuple[int, int, int]


class ViewedKind(BaseModel):
    """A way in which a voxel of two masks differs, with its colour."""

    id: int
    color: tuple[int, int, int]


class ViewOut(BaseModel):
    """An examination as a viewer shows it.

    Everything lies on the grid of its acquisition; the ids in the masks are those of the label scheme.
    """

    examination: str
    participant: str
    station: str
    sequence: str
    images: list[ViewedImage] = Field(description="of the acquisition, the requested examination first")
    masks: list[ViewedMask] = Field(description="pre-segmentations, then annotations; each newest first")
    hidden: bool = Field(description="whether readings are hidden from this reader, who reads the case independently")
    first: str | None = Field(description="the mask that is shown first, if there is one")
    second: str | None = Field(description="the mask that it is compared with")
    neighbours: list[str] = Field(
        description="annotations of neighbouring stations that show part of it, which may be drawn over it; for people"
    )
    structures: list[ViewedStructure]
    differences: list[ViewedKind]


class DifferencePlaceOut(BaseModel):
    """Connected voxels that one of two masks counts to a structure and the other does not."""

    structure: int = Field(description="id in the label scheme")
    name: str = Field(description="its name for people")
    ml: float
    only_first_ml: float
    only_second_ml: float
    mm: tuple[float, float, float] = Field(description="a voxel of it near its centre, RAS")


class DifferencesOut(BaseModel):
    """The places where two masks of a case differ, largest first."""

    first: str
    second: str
    places: list[DifferencePlaceOut]
    complete: bool = Field(description="false where smaller places were left out")
