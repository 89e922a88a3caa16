"""Pseudonyms, and texts without what identifies a patient."""

from __future__ import annotations

import unicodedata

from mrseg_label.imaging.dicom import Patient
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.intake.dicom.redaction import Redaction


def test_pseudonyms_need_the_key_and_stay() -> None:
    patient = Patient("id\0\0H4711", frozenset({"H4711"}))
    one, other = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert (
        one.participant_code(patient)
        == Pseudonyms(b"a" * 32).participant_code(patient)
        != other.participant_code(patient)
    )
    assert "4711" not in one.participant_code(patient)


def test_redaction_finds_names_however_they_are_joined() -> None:
    patient = Patient("k", frozenset({"Doe^John", "Doe", "John", "4711"}))
    redact = Redaction({patient}, {"4711"})
    assert redact("/data/DOE_JOHN/x") == "/data/***/x"
    assert redact("/data/johndoe/4711/Johnson") == "/data/***/4711/Johnson"
    assert Redaction({patient})("a/4711/b") == "a/***/b"


def test_redaction_finds_names_and_dates_however_they_are_written() -> None:
    patient = Patient("k", frozenset({"Müller^Jürgen", "Müller", "Jürgen", "20251124", "Weiß", "Goessl", "471"}))
    redact = Redaction([patient], ["Anna"])
    for text in (
        "Müller_Jürgen",
        unicodedata.normalize("NFD", "Müller, Jürgen"),
        "JUERGEN MUELLER",
        "muller",
        "MüllerJürgen",
        "2025-11-24",
        "24.11.2025",
        "Weiss",
        "Gößl",
        unicodedata.normalize("NFD", "Gössl"),
    ):
        assert redact(f"/data/{text}/T1").replace("*** ***", "***") == "/data/***/T1", text
    assert redact("MR20251124") == "MR***"
    assert redact("1.2.840.113619.2.1.99.dcm") == "***.dcm"
    for text in ("Anna", "Muellerstrasse", "scan471b", "120251124", "version 1.2.3"):
        assert redact(text) == text
