"""The cohort of a study: phantom participants to train on and others to score on, with their truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.simulation.phantom.cohort import Planned, write_acquisition
from mrseg_label.simulation.phantom.participant import Participant
from mrseg_label.simulation.phantom.rendering import DIXON

STATIONS = ("abdomen", "pelvis")
_FIRST_HELD_OUT = 500  # index of the phantom's participants, so that both groups can grow


@dataclass(frozen=True)
class Case:
    """One image with its truth, in the label ids of the default scheme and on the image's grid."""

    participant: str
    station: str
    sequence: str
    image: Path
    truth: Path

    @property
    def name(self) -> str:
        """For example ``P001_abdomen_in``."""
        return f"{self.participant}_{self.station}_{self.sequence}"


@dataclass(frozen=True)
class StudyCohort:
    """The cases of a study; no participant is in both groups."""

    training: tuple[Case, ...]
    held_out: tuple[Case, ...]


def make_cohort(
    folder: Path,
    seed: int,
    training: int = 4,
    held_out: int = 4,
    sequences: Sequence[str] = ("in", "opp"),
    held_out_sequences: Sequence[str] | None = None,
    stations: Sequence[str] = STATIONS,
) -> StudyCohort:
    """Make a cohort under ``folder``, or take over what is there of the same seed.

    Parameters
    ----------
    training, held_out : number of participants, each with all stations.
    sequences : of the training images; each is a case of its own, as in a round.
    held_out_sequences : of the images to score on; the first training sequence by default.
    """
    scored = (sequences[0],) if held_out_sequences is None else tuple(held_out_sequences)
    return StudyCohort(
        tuple(_cases(folder, seed, range(training), stations, sequences)),
        tuple(_cases(folder, seed, range(_FIRST_HELD_OUT, _FIRST_HELD_OUT + held_out), stations, scored)),
    )


def _cases(
    folder: Path, seed: int, indices: Iterable[int], stations: Sequence[str], sequences: Sequence[str]
) -> Iterable[Case]:
    images, truths = folder / f"cohort_{seed}" / "images", folder / f"cohort_{seed}" / "truth"
    for index in indices:
        participant = Participant.draw(seed, index)
        for station in stations:
            # All Dixon channels are rendered at once, so that a later study in this folder finds those it needs.
            planned = Planned(index, station, tuple(dict.fromkeys((*DIXON, *sequences))))
            truth = truths / planned.truth_path(participant)
            wanted = {sequence: images / planned.image_path(participant, sequence) for sequence in sequences}
            # The truth is written last, so that an acquisition that has it is whole.
            if not truth.exists() or not all(path.exists() for path in wanted.values()):
                write_acquisition(planned, seed, images, truths)
            for sequence, image in wanted.items():
                yield Case(participant.code, station, sequence, image, truth)
