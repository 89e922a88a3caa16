"""How much of a structure lies in its possible place, as other participants of the station show it?

    uv run python -m benchmarks.studies.places --folder DIR

For every phantom participant and station, places are made from one, two and three others (all choices are too many: each time
the next ones), and the voxels of each structure that lie in its place are counted. No training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.studies.cohort import make_cohort
from mrseg_label.labels import LabelScheme
from mrseg_label.rounds.possible_places import FEWEST_PLACED, body_box, occupancies, possible_place
from mrseg_label.segments.files import read_label_map


def main() -> None:
    """Print the share of voxels inside, and the share of the image that a place takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--participants", type=int, default=12)
    arguments = parser.parse_args()
    scheme = LabelScheme.default()
    labels = list(range(1, len(scheme) + 1))
    stations = []
    for station in ("abdomen", "pelvis"):
        cases = make_cohort(arguments.folder, 1, arguments.participants, 0, ("in",), stations=(station,)).training
        bodies = [body_box(case.image) for case in cases]
        maps = [read_label_map(case.truth) for case in cases]
        stations.append(
            (cases, bodies, maps, [occupancies(*one, body, labels) for one, body in zip(maps, bodies, strict=True)])
        )
    for others in range(1, FEWEST_PLACED + 1):
        inside = total = 0
        worst: list[tuple[float, str]] = []
        extents: list[float] = []
        for cases, bodies, maps, occupied in stations:
            for number, (label_map, geometry) in enumerate(maps):
                for label in occupied[number]:
                    following = [occupied[(number + step) % len(cases)].get(label) for step in range(1, len(cases))]
                    found = [one for one in following if one is not None][:others]
                    if len(found) < others:
                        continue
                    place = possible_place(found, geometry, bodies[number])
                    structure = label_map == label
                    here, of = np.count_nonzero(structure & place), np.count_nonzero(structure)
                    inside, total = inside + here, total + of
                    worst.append((here / of, f"{scheme.names[label - 1]} of {cases[number].name}"))
                    extents.append(float(place.mean()))
        whole = np.mean([share == 1 for share, _ in worst])
        print(
            f"from {others}: {inside / total:.5f} of the voxels inside; {whole:.3f} of {len(worst)} structures wholly"
        )
        print(f"a place takes {np.median(extents):.2f} of the image (median)")
        for share, name in sorted(worst)[:5]:
            print(f"{share:.3f} {name}")


if __name__ == "__main__":
    main()
