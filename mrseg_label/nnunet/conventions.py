"""What a trained model expects of its images, and what its labels mean.

nnU-Net keeps neither: some of its readers hand the network an image as its file lies, and the names of labels are
those of the group that trained it. Both are stated once, at import, and kept in a file beside ``plans.json``, so that
they leave with the model. A model that a round trained needs no such file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrseg_label.axis_codes import parse_axcodes
from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.environment import READER, plain_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONVENTIONS_FILE = "mrseg_model.json"
CANONICAL = "RAS"  # what READER brings every image to


@dataclass(frozen=True)
class ModelConventions:
    """What a model was trained on.

    Attributes
    ----------
    orientation : axis codes of the images that the network was trained on, such as ``RAS``.
    structures : structure of the scheme that each label of the model means, by the model's name; None for a label that
        the scheme lacks, whose voxels become background. If it is None itself, every label is named as its structure.
    """

    orientation: str
    structures: Mapping[str, str | None] | None = None

    @classmethod
    def read(cls, folder: Path) -> ModelConventions:
        """Read the conventions of the model in ``folder``, which holds ``plans.json``.

        Raises
        ------
        InvalidInput
            A file is damaged, or nobody has stated how the images of the model lay.
        """
        stated = stated_conventions(folder)
        return cls(require_orientation(folder, stated.get("orientation")), stated.get("structures"))

    def write(self, folder: Path) -> None:
        """Write the conventions into ``folder``, unless nnU-Net's own files say the same."""
        if self.orientation == CANONICAL and self.structures is None and reader_of(folder) == READER:
            return
        content = {"orientation": self.orientation, "structures": self.structures}
        text = json.dumps({key: value for key, value in content.items() if value is not None}, indent=1)
        (folder / CONVENTIONS_FILE).write_text(text, encoding="utf-8")

    def label_ids(self, labels: Mapping[str, int], scheme: LabelScheme) -> dict[int, int]:
        """Map each label id of the model to a label id of the scheme.

        Parameters
        ----------
        labels : label id by the model's name, without background and ``ignore``.

        Raises
        ------
        InvalidInput
            A label means no structure of the scheme.
        """
        result = {}
        for name, number in labels.items():
            structure = name if self.structures is None else self.structures.get(name)
            if structure is None:
                continue
            if structure not in scheme:
                raise InvalidInput(
                    f"the model's label {name!r} means {structure!r}, which is not in this workspace's label scheme; "
                    "import the model again"
                )
            result[number] = scheme[structure].id
        return result

    def lookup(self, labels: Mapping[str, int], scheme: LabelScheme) -> NDArray[np.uint8]:
        """Make a table from label ids of the model to those of the scheme: ``table[model_map]`` is our label map.

        Returns
        -------
        (65536,) uint8; 0 for labels without a structure.
        """
        import numpy as np  # what is stated of a model is also read by commands that need no arrays

        table = np.zeros(65536, dtype=np.uint8)
        for theirs, ours in self.label_ids(labels, scheme).items():
            table[theirs] = ours
        return table


def stated_conventions(folder: Path) -> dict[str, Any]:
    """Read what was stated at the import of a model; empty if nothing was."""
    path = folder / CONVENTIONS_FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        structures = content.get("structures", {})
        valid = all(isinstance(name, str) and isinstance(value, str | None) for name, value in structures.items())
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{path.name} of the model cannot be read ({error}); import the model again") from error
    if not valid:
        raise InvalidInput(f"{path.name} of the model is damaged; import the model again")
    return dict(content)


def reader_of(folder: Path) -> str:
    """Return the name of the reader that a model was trained with; empty if its plans name none.

    Raises
    ------
    InvalidInput
        ``plans.json`` cannot be read.
    """
    try:
        reader = json.loads((folder / "plans.json").read_text(encoding="utf-8")).get("image_reader_writer", "")
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidInput(f"plans.json of the model cannot be read ({error}); export the model again") from error
    return str(reader)


def require_orientation(folder: Path, stated: str | None) -> str:
    """Find the orientation of the images that a model was trained on.

    Parameters
    ----------
    stated : axis codes that somebody stated, if somebody did.

    Raises
    ------
    InvalidInput
        The model's reader brings every image to another orientation than the stated one, or to none and none is stated.
    """
    reader = reader_of(folder)
    try:
        orientation = parse_axcodes(stated) if stated else None
    except GeometryError as error:
        raise InvalidInput(str(error)) from error
    if reader == READER:
        if orientation not in (None, CANONICAL):
            raise InvalidInput(
                f"the model's reader, {READER}, brings every image to {CANONICAL}, which contradicts the stated "
                f"orientation {orientation}; leave it out"
            )
        return CANONICAL
    if orientation is None:
        raise InvalidInput(
            f"the model's reader, {reader or 'not named in its plans'}, takes an image as its file lies, so the model "
            "works only on images that lie as those that it was trained on; state how they lay with --orientation, "
            "for example --orientation LPS for the published MRSegmentator weights"
        )
    return orientation


def stated_heads(folder: Path, scheme: LabelScheme) -> dict[int, tuple[int, ...]] | None:
    """List the classes of a model for each label id of the scheme, as stated at its import; None if nothing was."""
    structures = stated_conventions(folder).get("structures")
    if structures is None:
        return None
    labels = plain_labels(json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["labels"])
    heads: dict[int, tuple[int, ...]] = {}
    for theirs, ours in ModelConventions(CANONICAL, structures).label_ids(labels, scheme).items():
        heads[ours] = (*heads.get(ours, ()), theirs)
    return heads
