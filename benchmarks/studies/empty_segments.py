"""What do the first cases of a project teach whose readers removed the empty segments?

    uv run python -m benchmarks.studies.empty_segments --folder DIR [--seeds 3]

Three participants with two stations each. Readers tidy empty segments away, so in two of the six cases the structures
that cannot be seen at the station count as not annotated. They are taken as absent there, since others of the station were
judged and have none (``absent``, as a round does), or the whole background of these cases is ignored (``background ignored``,
as rounds did with fewer than five judged participants of the station).
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.studies.augmentation import COARSE
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant

_WITHOUT_EMPTY_SEGMENTS = (("abdomen", 0), ("pelvis", 1))  # station, and which of its participants


def prepare(study: Study) -> Sequence[Variant]:
    """Write both data sets."""
    cohort = study.cohort(training=3, sequences=("in",))
    chosen = [
        [case.name for case in cohort.training if case.station == station][number]
        for station, number in _WITHOUT_EMPTY_SEGMENTS
    ]
    absent = study.dataset("first_cases", cohort.training)
    ignored = study.dataset("first_cases_ignored", cohort.training, background_unknown=chosen)
    return [
        Variant("absent", absent, cohort.held_out, COARSE),
        Variant("background ignored", ignored, cohort.held_out, COARSE),
    ]


if __name__ == "__main__":
    run_study("empty_segments", __doc__, prepare)
