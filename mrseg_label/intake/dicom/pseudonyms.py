"""Pseudonyms: participant codes and tokens that follow from a key of the workspace.

A participant who is not named by the person who imports gets a code that follows from the patient id and a key of the
workspace (HMAC-SHA256): the same patient has the same code in every import, and without the key nobody can test
patient ids against codes. The key is part of the workspace and of its backups; both are as confidential as a list
of patients.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from mrseg_label.imaging.dicom import Patient

_LONG = 26  # 130 bits
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Pseudonyms:
    """Pseudonyms by the key of a workspace.

    Parameters
    ----------
    key : 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def participant_code(self, patient: Patient) -> str:
        """Return the participant code of a patient."""
        return f"P-{self.token('person', patient.key, length=12)}"

    def series(self, uid: str) -> str:
        """Return what stands for the UID of a series in the catalogue, long enough that no two series share it."""
        return self.token("series", uid, length=_LONG)

    def contents(self, study: str, series: Mapping[str, int]) -> str:
        """Return what stands for a study with these series and their numbers of instances."""
        parts = [part for uid in sorted(series) for part in (uid, str(series[uid]))]
        return self.token("contents", study, *parts, length=_LONG)

    def token(self, *parts: str, length: int = 10) -> str:
        """Return a token that stands for a UID or another text that could be looked up."""
        digest = hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).digest()
        return "".join(_ALPHABET[byte & 31] for byte in digest[:length])
