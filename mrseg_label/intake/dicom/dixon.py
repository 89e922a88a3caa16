"""Dixon channels in series descriptions: the word may stand first, in the middle or last.

======= ============================================================ ==============================================
vendor  product                                                      series descriptions
======= ============================================================ ==============================================
GE      LAVA-Flex, IDEAL                                             ``WATER: Ax LAVA Flex``, ``InPhase: ...``
Philips mDIXON                                                       ``W mDIXON``, ``sT1W_mDIXON_ip``, ``mDIXON OP``
Siemens VIBE Dixon, TSE Dixon                                        ``t1_vibe_dixon_tra_in``, ``..._W_ND``
Canon   WFOP, Fat-Sep; United Imaging: WFI                           ``Quick3D WFOP Water``, ``gre_wfi_tra_opp``
======= ============================================================ ==============================================

Some of these words are also English ("in inspiration", "post OP", "w contrast") or name fat suppression ("fat sat"), so
short words count only beside the name of a sequence that has such channels, and not beside words of prose.
"""

from __future__ import annotations

import re

from mrseg_label.intake.sequences import sequence_in_name

DIXON = ("in", "opp", "fat", "water")
_GAP = r"[\s_.-]*"
_SEPARATED = r"[\s_/&+,|.-]*(?:and|und|or|oder)?[\s_/&+,|.-]*"
_START, _END = r"(?<![a-z0-9])", r"(?![a-z0-9])"


def _words(expression: str) -> re.Pattern[str]:
    return re.compile(f"{_START}(?:{expression}){_END}", re.IGNORECASE)


_IN = rf"in{_GAP}ph(?:ase)?|in|ip"
_OPP = rf"(?:opposed|opp|out{_GAP}of|out|op){_GAP}ph(?:ase)?|opposed|opp|oop|out|op"
# What names two channels names none; fat suppression and fat fraction are no channels.
_BOTH_PHASES = _words(rf"(?:{_IN}){_SEPARATED}(?:{_OPP})|(?:{_OPP}){_SEPARATED}(?:{_IN})")
_NO_CHANNEL = (
    _words(r"(?:no|non|without|ohne)\s+(?:fat|water)"),
    _words(rf"water{_SEPARATED}fat(?!{_GAP}s[au])(?:{_GAP}(?:sep|shift)[a-z]*)?|fat{_SEPARATED}water|w[/&+]f|f[/&+]w"),
    _words(rf"(?:fat|water){_GAP}(?:sat|sup|exc|sel|sep|frac|free|null|bath|shift)[a-z]*"),
    _BOTH_PHASES,
    re.compile(rf"{_START}w/o?\s?", re.IGNORECASE),  # with, without
)
_DIXON = _words(
    rf"[a-z0-9]*dixon[a-z]*|flex|ideal|iq|wfi|wfop|wfs|fat{_GAP}sep[a-z]*|water{_SEPARATED}fat|fat{_SEPARATED}water"
)
_GRADIENT_ECHO = _words(rf"[a-z]*vibe|lava|[a-z]*thrive|f?spgr|t?ffe|tfe|flash|fl[23]d|quick{_GAP}3d|fame|t1w?|gre")
_LONG = {
    "in": _words(rf"in{_GAP}ph(?:ase)?|[a-z0-9]*dixon(?:in|ip)"),
    "opp": _words(rf"(?:opposed|opp|out{_GAP}of|out|op){_GAP}ph(?:ase)?|opposed|opp|oop|[a-z0-9]*dixon(?:opp|op|out)"),
    "water": _words(rf"water{_GAP}only|[a-z0-9]*dixonw(?:ater)?"),
    "fat": _words(rf"fat{_GAP}only|[a-z0-9]*dixonf(?:at)?"),
}
_SHORT = {"in": "in", "ip": "in", "out": "opp", "op": "opp", "w": "water", "f": "fat", "water": "water", "fat": "fat"}
_WORD = re.compile(r"[^\W_]+")
# Words of prose before and after which a short word is no channel.
_BEFORE = {
    "in": {"wash", "breath", "breathe", "zoom", "plug"},
    "op": {"post", "pre", "prä", "prae", "nach", "vor", "status", "st", "p", "z", "after", "before", "co"},
    "out": {"wash", "breath", "breathe", "time"},
    "w": {"t1", "t2", "pd", "dw", "diff", "pdw", "rho"},
    "water": {"oral", "with", "after", "post", "drink", "no", "per", "po"},
    "fat": {"with", "peri", "mesenteric"},
}
_AFTER = {
    "in": {"ex", "insp", "exsp", "exp", "phasen", "patient", "der", "the", "a", "and", "vivo", "vitro"},
    "out": {"of"},
    "op": {"planung", "planning", "situs", "site", "tag", "day"},
    "w": {"contrast", "gd", "km", "iv", "fs", "o", "c", "fatsat", "and", "breath", "the", "kontrast"},
    "f": {"u", "up"},
    "water": {"enema", "contrast", "oral"},
    "fat": {"pad", "lobule"},
}
_PROSE = re.compile(r"(?:in|ex|s)*sp(?:ir|\b)|expir|exhal|inhal|breath|atem|supine|prone|rest|stress|position|neutral")
# Between blanks "in" is a channel only before such a word; between other marks it is no prose.
_TECHNICAL = re.compile(
    r"m?dixon.*|lava|flex|ideal|.*vibe|.*thrive|f?spgr|t?ffe|tfe|t[12]w?|fl[23]d|tra|trans.*|ax|axial|cor|coronal|sag.*|"
    r"bh|nd|p\d|\d+.*|abd.*|pelv.*|liver|leber|mpr|dis\d?d|ph|wfi|wfop|quick3d|post|pre|gd"
)
_MAP_WORDS = re.compile(
    rf"^(?:fat{_GAP}frac\w*|pdff|r2{_GAP}(?:\*|star)|t2{_GAP}(?:\*|star)(?=\s*:|{_GAP}map))|"
    rf"(?:fat{_GAP}frac(?:tion)?|(?<![a-z])pdff|r2{_GAP}(?:\*|star)|t2{_GAP}(?:\*|star){_GAP}map)(?:{_GAP}map)?\W*$",
    re.IGNORECASE,
)
_SHORT_MAP_WORDS = re.compile(r"^ff(?![a-z0-9])|(?<![a-z0-9])(?:ff|fp|wp)$", re.IGNORECASE)
# Fat precesses more slowly than water by 3.4 ppm (Ma J. J Magn Reson Imaging 2008;28:543, doi 10.1002/jmri.21492).
_SHIFT_HZ_PER_TESLA = 42.577 * 3.4
_PHASE_TOLERANCE = 0.17  # of a turn


def channel_in_text(text: str) -> str:
    """Return the Dixon channel that a series description names, or an empty string if it names none or several."""
    cleaned = text
    for phrase in _NO_CHANNEL:
        cleaned = phrase.sub(" | ", cleaned)
    named = {channel for channel, expression in _LONG.items() if expression.search(cleaned)}
    if len(named) == 1:
        return named.pop()
    if named:
        return ""
    last = _last_word(cleaned)
    if last:
        return last
    found = _short_words(cleaned, bool(_DIXON.search(text)), bool(_GRADIENT_ECHO.search(text)))
    return found.pop() if len(found) == 1 else ""


def names_both_phases(text: str) -> bool:
    """Whether a description names in-phase and opposed-phase together, as that of a dual-echo scan does."""
    return bool(_BOTH_PHASES.search(text))


def channel_by_echo(echo_ms: float | None, field_tesla: float | None) -> str:
    """Derive ``in`` or ``opp`` from the echo time; an empty string where it lies between the two or is unknown.

    Parameters
    ----------
    field_tesla : strength of the main field; some scanners write gauss.
    """
    if not echo_ms or not field_tesla:
        return ""
    tesla = field_tesla / 10_000 if field_tesla > 100 else field_tesla
    turn = (echo_ms / 1000 * tesla * _SHIFT_HZ_PER_TESLA) % 1
    if min(turn, 1 - turn) <= _PHASE_TOLERANCE:
        return "in"
    return "opp" if abs(turn - 0.5) <= _PHASE_TOLERANCE else ""


def is_map(text: str) -> bool:
    """Whether a description is that of a map computed from a Dixon scan (fat fraction, R2*, T2*)."""
    short = _DIXON.search(text) and _SHORT_MAP_WORDS.search(text.strip())
    return bool(_MAP_WORDS.search(text.strip()) or short)


def _last_word(text: str) -> str:
    named = sequence_in_name(text)
    words = [word for word in re.split(r"[\s._-]+", text.casefold()) if word]
    if named not in DIXON:
        return ""
    if len(words) > 1 and words[-1] in _SHORT and words[-2].strip("./") in _BEFORE.get(words[-1], ()):
        return ""
    return named


def _short_words(text: str, dixon: bool, gradient_echo: bool) -> set[str]:
    lowered = text.casefold()
    matches = list(_WORD.finditer(lowered))
    found = set()
    for index, match in enumerate(matches):
        word = match[0]
        if word not in _SHORT:
            continue
        before = matches[index - 1][0] if index else ""
        after = matches[index + 1][0] if index + 1 < len(matches) else ""
        if before in _BEFORE.get(word, ()) or after in _AFTER.get(word, ()):
            continue
        if word in ("in", "out") and _PROSE.match(after):
            continue
        following = lowered[match.end() : match.end() + 1]
        preceding = lowered[max(match.start() - 1, 0) : match.start()]
        if index == 0 and following in (":", ")", "]"):  # "WATER: Ax LAVA", "(Water) Ax LAVA"
            found.add(_SHORT[word])
            continue
        blank = following in (" ", "") and preceding in (" ", "")
        if word == "in":
            accepted = (dixon or gradient_echo) and (not blank or bool(_TECHNICAL.fullmatch(after)) or not after)
        elif word in ("w", "f", "water", "fat"):
            accepted = dixon or (gradient_echo and not blank)
        else:
            accepted = dixon or gradient_echo
        if accepted:
            found.add(_SHORT[word])
    return found
