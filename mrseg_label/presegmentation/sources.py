"""Sources: the ways to make a draft. A source is a network and the way in which it gets the image.

A source is written ``NETWORK:PREPARATION``, such as ``total_fast:inverted``, ``total:equalized``, ``total_mr``,
``mrsegmentator`` or ``model:round-2``; a preparation alone, such as ``inverted``, means ``total_fast``. The networks are those of :mod:`mrseg_label.presegmentation.networks` and the
model versions of the workspace. Where no preparation is written, a network that was trained on CT alone gets an MR image
by its contrast, and every other network gets the image as it is:

=========== ============================================== =======================================================
preparation images                                         reason
=========== ============================================== =======================================================
inverted    in, opp, T1, T2, and any unknown contrast      fat is bright but dark on CT, and bone the other way round:
                                                           inverted, the tissues are in the order of CT
equalized   water, fat-suppressed (such as T1fs)           fat is dark as on CT, and inversion would make it bright:
                                                           the order is kept, contrast is spread over the soft tissue
raw         CT                                             the network was trained on Hounsfield units
=========== ============================================== =======================================================

Measured through TotalSegmentator's API with the stand-in weights on phantoms that they had not seen (mean DSC over
the structures that are present, one abdomen / one pelvis):

======= ============= ============= =============
        raw           inverted      equalized
======= ============= ============= =============
CT      0.80 / 0.81
in      0.09 / 0.00   0.27 / 0.15   0.06 / 0.00
opp     0.05 / 0.00   0.46 / 0.36   0.14 / 0.00
T1      0.08 / 0.00   0.33 / 0.19   0.06 / 0.00
water   0.08 / 0.04   0.06 / 0.01   0.25 / 0.17
T1fs    0.23 / 0.04   0.07 / 0.01   0.25 / 0.16
======= ============= ============= =============

**These defaults rest on two acquisitions of a phantom and on stand-in weights.** With the published weights the order
may differ: the authors of the paper drafted on the water image alone, on which every model that they tried did best.
``mrseg-label demo`` compares the preparations with the weights that are installed, and a setting such as
``BOOTSTRAP_SOURCES="water=raw,T1fs=total_mr"`` overrides the defaults.

References
----------
Häntze H et al. Improve cross-modality segmentation by treating MRI images as inverted CT scans. arXiv:2405.03713.
https://doi.org/10.48550/arXiv.2405.03713
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum

from mrseg_label.errors import ConfigurationError
from mrseg_label.presegmentation.networks import NETWORKS, TOTAL_FAST

MODEL = "model:"  # how a source begins that is a model version of the workspace
CONTRAST_ADVICE = (
    "by default the contrast chooses how a CT network gets an MR image, which rests on two acquisitions of a phantom with "
    "the stand-in weights; the authors of MRSegmentator drafted on water images. Compare the sources on images of your "
    "own before you rely on it (BOOTSTRAP_SOURCES)"
)


class Preparation(StrEnum):
    """How an image is prepared for a network."""

    RAW = "raw"
    INVERTED = "inverted"
    EQUALIZED = "equalized"


@dataclass(frozen=True)
class Source:
    """A way to make a draft.

    Attributes
    ----------
    network : a name of :data:`~mrseg_label.presegmentation.networks.NETWORKS`, or ``model:VERSION``.
    preparation : how the network gets the image; None until the contrast of an image has decided it.
    """

    network: str
    preparation: Preparation | None = Preparation.RAW

    def __str__(self) -> str:
        if self.network == TOTAL_FAST.name and self.preparation is not None:
            return str(self.preparation)  # as drafts of earlier versions state it
        if self.preparation is None or (self.preparation is Preparation.RAW and not self.is_for_ct):
            return self.network
        return f"{self.network}:{self.preparation}"

    @property
    def is_for_ct(self) -> bool:
        """Whether the network is known to have been trained on CT alone."""
        network = NETWORKS.get(self.network)
        return network is not None and not network.trained_on_mr

    @property
    def version(self) -> str | None:
        """The model version that the network is; None for a published network."""
        return self.network.removeprefix(MODEL) if self.network.startswith(MODEL) else None

    @classmethod
    def of_version(cls, version: str) -> Source:
        """The source that a model version is, on the image as it is."""
        return cls(f"{MODEL}{version}")

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read a source; a preparation alone means the network ``total_fast``.

        Raises
        ------
        ConfigurationError
            There is no such network or preparation.
        """
        name = text.strip()
        if name.lower() in list(Preparation):
            return cls(TOTAL_FAST.name, Preparation(name.lower()))
        known = [*NETWORKS, *Preparation]
        network, separator, preparation = name.partition(":")
        network = network.lower()
        if f"{network}:" == MODEL:
            version, separator, preparation = preparation.partition(":")
            network = f"{MODEL}{version}" if version else ""
        if not network or (network not in NETWORKS and not network.startswith(MODEL)):
            near = next(iter(get_close_matches(network or name.lower(), known, 1)), None)
            advice = f"did you mean {near}? There are" if near else "use one of"
            raise ConfigurationError(f"{name!r} is not a source; {advice} {', '.join(known)} and {MODEL}VERSION")
        if not separator:
            is_for_ct = network in NETWORKS and not NETWORKS[network].trained_on_mr
            return cls(network, None if is_for_ct else Preparation.RAW)
        try:
            return cls(network, Preparation(preparation.lower()))
        except ValueError:
            near = next(iter(get_close_matches(preparation.lower(), list(Preparation), 1)), None)
            advice = f"did you mean {near}? There are" if near else "use one of"
            raise ConfigurationError(
                f"{name!r} is not a source: {preparation!r} is no preparation; {advice} {', '.join(Preparation)}"
            ) from None


# By sequence type in lower case, without blanks or punctuation. Sequences that are not listed are inverted.
DEFAULT_PREPARATIONS: Mapping[str, Preparation] = {
    "in": Preparation.INVERTED,
    "opp": Preparation.INVERTED,
    "t1": Preparation.INVERTED,
    "t2": Preparation.INVERTED,
    "fat": Preparation.INVERTED,
    "water": Preparation.EQUALIZED,
    "w": Preparation.EQUALIZED,
    "t1fs": Preparation.EQUALIZED,
    "t2fs": Preparation.EQUALIZED,
    "pdfs": Preparation.EQUALIZED,
    "stir": Preparation.EQUALIZED,
    "ct": Preparation.RAW,
}
UNKNOWN_CONTRAST = Preparation.INVERTED
_CT = "ct"
_ANY = "*"
_UNKNOWN = "* whose contrast is unknown"
_Configured = dict[str, tuple[Source, ...]]


def choose_sources(sequence: str, configured: str = "") -> tuple[Source, ...]:
    """Choose the sources for a sequence type: one, or several that are combined.

    Parameters
    ----------
    sequence : as in the catalogue (``in``, ``opp``, ``water``, ``t1``, ``ct``, ...); may be empty or unknown.
    configured : the setting BOOTSTRAP_SOURCES, see :func:`parse_sources`; it overrides the defaults.

    Raises
    ------
    ConfigurationError
        The setting is malformed, see :func:`parse_sources`.
    """
    chosen = parse_sources(configured)
    name = _normalized(sequence)
    found = chosen.get(name) or chosen.get(_ANY)
    if found is None and name not in DEFAULT_PREPARATIONS:
        found = chosen.get(_UNKNOWN)
    found = found or (Source(TOTAL_FAST.name, None),)
    return tuple(
        replace(source, preparation=preparation_for(sequence)) if source.preparation is None else source
        for source in found
    )


def choose_source(sequence: str, configured: str = "") -> Source:
    """Choose the source for a sequence type: the first of :func:`choose_sources`."""
    return choose_sources(sequence, configured)[0]


def preparation_for(sequence: str) -> Preparation:
    """Choose by the contrast of a sequence how a CT network gets its images."""
    name = _normalized(sequence)
    if name in DEFAULT_PREPARATIONS:
        return DEFAULT_PREPARATIONS[name]
    if not name:
        return UNKNOWN_CONTRAST
    from mrseg_label.imaging.fat_suppression import is_fat_suppressed  # NumPy and more are behind it

    return Preparation.EQUALIZED if is_fat_suppressed(sequence) else UNKNOWN_CONTRAST


def parse_sources(text: str) -> _Configured:
    """Parse BOOTSTRAP_SOURCES: pairs such as ``T1=inverted,water=total_mr+mrsegmentator``.

    ``*`` stands for every sequence that is not named. A preparation alone, as in ``*=raw``, leaves the sequences
    alone whose contrast is known (:data:`DEFAULT_PREPARATIONS`); a network, as in ``*=total_mr``, does not.

    Returns
    -------
    Sources by sequence type in lower case, without blanks or punctuation.

    Raises
    ------
    ConfigurationError
        A part is not a pair, a source is unknown or named twice, or a sequence occurs twice.
    """
    chosen: _Configured = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,;]", text))):
        sequence, equals, sources = part.partition("=")
        name = _ANY if sequence.strip() == _ANY else _normalized(sequence)
        if not equals or not name:
            raise ConfigurationError(
                f"BOOTSTRAP_SOURCES: {part!r} is not of the form SEQUENCE=SOURCE; write for example T1=inverted"
            )
        try:
            found = tuple(Source.parse(source) for source in sources.split("+"))
        except ConfigurationError as error:
            raise ConfigurationError(f"BOOTSTRAP_SOURCES: {error}") from None
        if name == _ANY and sources.strip().lower() in list(Preparation):
            name = _UNKNOWN
        if len(set(found)) < len(found):
            raise ConfigurationError(f"BOOTSTRAP_SOURCES: {part!r} names a source twice; remove one of the two")
        if name in chosen:
            raise ConfigurationError(f"BOOTSTRAP_SOURCES names {sequence.strip()!r} twice; remove one of the two")
        chosen[name] = found
    return chosen


def without_joined(text: str) -> str:
    """Leave in BOOTSTRAP_SOURCES only the first source of each sequence."""
    return re.sub(r"\+[^,;]*", "", text)


def sources_in_use(configured: str = "") -> Iterator[tuple[str, Source]]:
    """List what makes the drafts before a round has trained a model: the sequence types, each with each of its sources.

    A CT is left out unless the setting names it: a cohort of MR has none.
    """
    named = [name for name in parse_sources(configured) if name not in (_ANY, _UNKNOWN)]
    for sequence in dict.fromkeys([*named, *(name for name in DEFAULT_PREPARATIONS if name != _CT), ""]):
        for source in choose_sources(sequence, configured):
            yield sequence, source


def networks_in_use(configured: str = "") -> list[str]:
    """List the networks of :func:`sources_in_use`, each once."""
    return list(dict.fromkeys(source.network for _, source in sources_in_use(configured)))


def _normalized(sequence: str) -> str:
    return re.sub(r"[\W_]+", "", sequence).casefold()
