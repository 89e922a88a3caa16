"""Whatever a reader does to the list of segments, the stored voxels equal the screen's by name."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import decode
from tests.unit.segments.test_files import oblique, save_seg

SCHEME = LabelScheme.default()
GRID = oblique((7, 6, 5))
OTHER_NAMES = {"left_kidney": "Kidney left", "esophagus": "oesophagus", "liver": " LIVER", "right_lung": "lung_right"}
TOOLS = ("background", "foreground_scribbles", "background_scribbles")


@dataclass
class Segment:
    """A segment on the screen."""

    name: str
    voxels: NDArray[np.bool_]


class Screen:
    """Slicer's list of segments: what a reader does to it, and how the module saves it."""

    def __init__(self, presegmentation: NDArray[np.uint8]) -> None:
        self.segments = [Segment(structure.name, presegmentation == structure.id) for structure in SCHEME]

    def expected(self) -> tuple[NDArray[np.uint8], set[str], set[str]]:
        """By name: the mask (of overlapping segments the later), structures with voxels, structures sent empty."""
        mask = np.zeros(GRID.shape, dtype=np.uint8)
        for name, segment in self._structures():
            mask[segment.voxels] = SCHEME[name].id
        drawn = {name for name, _ in self._structures() if (mask == SCHEME[name].id).any()}
        return mask, drawn, {name for name, segment in self._structures() if not segment.voxels.any()}

    def _structures(self) -> list[tuple[str, Segment]]:
        ours = {other.strip(): name for name, other in OTHER_NAMES.items()}
        shown = [s for s in self.segments if s.name not in TOOLS]
        return [(ours.get(s.name.strip(), s.name), s) for s in shown]

    def label_info(self) -> list[dict[str, Any]]:
        """As the module sends it: tools' segments left out, idx off by their number before the entry."""
        return [
            {"name": segment.name, "idx": position + 1}
            for position, segment in enumerate(self.segments)
            if segment.name not in TOOLS
        ]

    def save(self, folder: Path, suffix: str, axcodes: str) -> Path:
        """Save as the module does: a label map in the order of the list, or the whole node, cropped, in layers."""
        path = folder / f"label{suffix}"
        if suffix == ".seg.nrrd":
            return self._save_node(path)
        labels = np.zeros(GRID.shape, dtype=np.int16)
        for value, segment in enumerate((s for s in self.segments if s.name not in TOOLS), start=1):
            labels[segment.voxels] = value
        turned = nib.Nifti1Image(labels, GRID.affine).as_reoriented(
            nib.orientations.ornt_transform(
                nib.io_orientation(GRID.affine), nib.orientations.axcodes2ornt(tuple(axcodes))
            )
        )
        if suffix == ".nrrd":
            lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ turned.affine
            header = {
                "space": "left-posterior-superior",
                "space directions": lps[:3, :3].T,
                "space origin": lps[:3, 3],
                "kinds": ["domain"] * 3,
                "encoding": "gzip",
            }
            nrrd.write(str(path), np.asarray(turned.dataobj), header)
        else:
            nib.save(turned, path)
        return path

    def _save_node(self, path: Path) -> Path:
        layers: list[NDArray[np.uint8]] = []
        fields: list[tuple[str, int, int]] = []
        for segment in self.segments:
            free = (index for index, layer in enumerate(layers) if not (layer[segment.voxels] > 0).any())
            index = next(free, len(layers))
            if index == len(layers):
                layers.append(np.zeros(GRID.shape, dtype=np.uint8))
            # Values are unique within a layer and no position in the list.
            value = 1 + sum(layer == index for _, layer, _ in fields)
            layers[index][segment.voxels] = value
            fields.append((segment.name, index, value))
        stack = np.stack(layers)
        filled = np.argwhere(stack.any(axis=0))
        first, last = (
            (filled.min(axis=0), filled.max(axis=0) + 1) if len(filled) else (np.zeros(3, int), np.ones(3, int))
        )
        affine = GRID.affine.copy()
        affine[:3, 3] = (GRID.affine @ [*first, 1])[:3]
        cropped = stack[:, first[0] : last[0], first[1] : last[1], first[2] : last[2]]
        return save_seg(path, cropped if len(layers) > 1 else cropped[0], affine, fields)


@st.composite
def edited(draw: st.DrawFn) -> Screen:
    """A pre-segmentation with some structures, then a few edits of the list and of the segments."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    some = random.choice(len(SCHEME), 6, replace=False) + 1
    screen = Screen(random.choice(np.append(some, [0] * 6), GRID.shape).astype(np.uint8))
    edits = st.sampled_from(["remove", "add", "rename", "move", "empty", "overlap", "paint"])
    for edit in draw(st.lists(edits, max_size=12)):
        segments = screen.segments
        at = int(random.integers(len(segments)))
        if edit == "remove":
            # Readers remove what a station does not show: often many at once.
            del segments[at : min(at + int(random.integers(1, 8)), len(segments) - 1)]
        elif edit == "add":
            name = TOOLS[int(random.integers(len(TOOLS)))]
            if name not in [s.name for s in segments]:
                segments.insert(at, Segment(name, random.random(GRID.shape) < 0.2))
        elif edit == "rename":
            segments[at].name = OTHER_NAMES.get(segments[at].name, segments[at].name)
        elif edit == "move":
            segments.insert(int(random.integers(len(segments))), segments.pop(at))
        elif edit == "empty":
            segments[at].voxels = np.zeros(GRID.shape, dtype=bool)
        elif edit == "overlap":
            segments[at].voxels = segments[at].voxels | segments[int(random.integers(len(segments)))].voxels
        else:
            segments[at].voxels = segments[at].voxels | (random.random(GRID.shape) < 0.1)
    return screen


@settings(max_examples=200, deadline=None)
@given(
    screen=edited(),
    suffix=st.sampled_from([".nii.gz", ".nrrd", ".seg.nrrd", ".nii"]),
    axcodes=st.sampled_from(["LPS", "RAS", "SAR", "PIL"]),
)
def test_stored_voxels_equal_the_screen_by_name(screen: Screen, suffix: str, axcodes: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = screen.save(Path(folder), suffix, axcodes)
        result = decode(SCHEME, Geometry.from_json(GRID.to_json()), path, screen.label_info())
    mask, drawn, empty = screen.expected()
    assert np.array_equal(result.mask, mask)
    assert {name for name, count in result.voxels.items() if count} == drawn
    absent = {name for name, count in result.voxels.items() if not count}
    # In a label map a completely covered segment looks like an empty one; in a segmentation it does not.
    assert absent == empty if suffix == ".seg.nrrd" else absent >= empty
