"""Units as laboratories print them, read into UCUM.

A spelling can mean two things: `G/L` is giga per litre in Vienna and, where a
report prints capitals only, gram per litre. Then all of its readings are
returned, and the marker decides (see conversion.py). A spelling that is not
known is no unit: nothing is guessed from a part of it.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from services.labs.units.ucum import Unit, UnknownUnit, parse

_LONGEST = 60

_WHOLE = {
    "%": (
        "%",
        "percent",
        "pct",
        "vol%",
        "vol.-%",
        "vol-%",
        "% of total",
        "prozent",
        "% by volume",
        "%vol",
        "% by wt",
        "% by wt.",
        "% by weight",
    ),
    "[ppth]": ("‰", "promille"),
    "1": ("1", "{1}", "none", "unitless", "dimensionless"),
    "{ratio}": ("ratio", "quotient", "quot.", "fraction", "rapport", "cociente", "ratio units"),
    "{index}": ("index", "indice", "índice", "iv", "index value"),
    "{INR}": ("inr",),
    "{titer}": ("titer", "titre", "{titre}"),
    "{score}": ("score", "points"),
    "{Zscore}": ("sd", "s.d.", "sds", "z-score", "zscore", "{zscore}"),
    "{s_co_ratio}": ("s/co", "s/co ratio", "s/c ratio", "signal/cutoff"),
    "[pH]": ("ph", "ph units"),
    "mm[Hg]": ("mmhg", "mm hg", "mm(hg)", "torr"),
    "mg/dL": ("mg%", "mgs%", "mg %"),
    "g/dL": ("g%", "gm%", "g %"),
    "ug/dL": ("ug%", "mcg%", "ug %"),
    "um3": ("cu um", "cu micron", "cu microns", "cubic micron", "cubic microns"),
    # What is a unit for a millilitre is printed with it or without.
    **{
        f"[{letter}PL'U]": tuple(
            spelling.format(f"{letter}pl".lower())
            for spelling in ("{} u/ml", "{}-u/ml", "{}u/ml", "{}/ml", "{} units/ml", "u {}/ml")
        )
        for letter in "GMA"
    },
    "/[HPF]": ("hpf",),
    "/[LPF]": ("lpf",),
}
# Molarities; in capitals they would be something else.
_MOLAR = {"mM": "mmol/L", "uM": "umol/L", "nM": "nmol/L", "pM": "pmol/L"}


def _prefixed(atom: str, spellings: tuple[str, ...], prefixes: str) -> Iterator[tuple[str, str]]:
    """(spelling, UCUM) of an atom with metric prefixes; `mc` and `mcg` are an American micro."""
    spelt = {"u": ("u", "mc"), "": ("",)}
    for prefix in ("", *prefixes):
        for before, name in product(spelt.get(prefix, (prefix,)), spellings):
            yield before + name, prefix + atom


_NUMERATORS = dict(
    [
        *_prefixed("g", ("g", "gm", "gr", "gram", "grams", "gms"), "kmunpf"),
        *_prefixed("mol", ("mol", "mole", "moles", "mols"), "munpf"),
        *_prefixed("eq", ("eq", "equiv", "val"), "mu"),
        *_prefixed("osm", ("osm", "osmol", "osmole", "osmoles"), "mu"),
        *_prefixed("U", ("u", "unit", "units", "u.", "einheiten"), "kmun"),
        *_prefixed("[IU]", ("iu", "ui", "ie", "i.u.", "i.e.", "[iu]", "intl units", "int. units"), "kmun"),
        *_prefixed("kat", ("kat", "katal"), "mun"),
        *_prefixed("L", ("l", "liter", "litre"), "dmunpf"),
        *_prefixed("Pa", ("pa",), "km"),
        *_prefixed("[CFU]", ("cfu", "kbe", "ufc"), ""),
    ]
)
_NUMERATORS |= {
    spelling: code
    for code, spellings in {
        "ug": ("microgram", "micrograms", "microg"),
        "mg": ("milligram", "milligrams"),
        "ng": ("nanogram", "nanograms"),
        "pg": ("picograms",),
        "umol": ("micromol",),
        "mmol": ("millimol",),
        "mm": ("mm",),
        "cm": ("cm",),
        "nm": ("nm",),
        "um3": ("um3", "um^3", "u3"),
        "s": ("s", "sec", "sec.", "secs", "second", "seconds", "sek", "sek.", "seg", "seg.", "secondes", "segundos"),
        "ms": ("ms",),
        "min": ("min", "mins", "minute", "minutes"),
        "h": ("h", "hr", "hrs", "hour", "hours"),
        "d": ("d", "day", "days"),
        "Ao": ("å", "angstrom", "angstroms"),
        "{cells}": ("cells", "cell", "zellen"),
        "{#}": ("#", "count"),
        "{copies}": ("copies", "copy", "cp", "cps", "kopien"),
        "{particles}": ("particles",),
        "[arb'U]": ("au", "arb u"),
        "{AI}": ("ai", "antibody index"),
        "{RU}": ("ru",),
        "[EU]": ("eu",),
        "[GPL'U]": ("gpl", "gpl units"),
        "[MPL'U]": ("mpl", "mpl units"),
        "[APL'U]": ("apl",),
        "[beth'U]": ("bu",),
        "%": ("%",),
    }.items()
    for spelling in spellings
}
# By case: with a capital these are what they are here, whatever else they might be in capitals.
_NUMERATORS_AS_PRINTED = {"E": "U", "uE": "uU", "mE": "mU", "kE": "kU"}

_THOUSAND = ("k", "th", "thou", "thou.", "thous", "thousand", "thousands", "tsd", "tsd.", "miles", "milliers", "t")
_MILLION = ("m", "mil", "mill", "mill.", "mio", "mio.", "mln", "million", "millions", "millones", "millionen")
# A thousand in Spanish and Portuguese, a million in the United States.
_EITHER = ("mil",)
# Words for powers of ten, by what they are counted in.
_COUNTED: dict[str, dict[str, int]] = {
    "uL": dict.fromkeys(_THOUSAND, 3) | dict.fromkeys(_MILLION, 6),
    "mL": dict.fromkeys(_THOUSAND[1:-1], 3) | dict.fromkeys(_MILLION[1:], 6),
    # G and T by case: g/L is gram per litre.
    "L": {"G": 9, "gpt": 9, "giga": 9, "mrd": 9, "mrd.": 9, "bil": 9, "billion": 9, "T": 12, "tpt": 12, "tera": 12}
    | {"tril": 12, "trillion": 12},
}

_DENOMINATORS = {
    spelling: code
    for code, spellings in {
        "L": ("l", "liter", "litre", "lt", "ltr"),
        "dL": ("dl", "100ml", "100 ml", "deciliter", "decilitre"),
        "mL": ("ml", "milliliter", "millilitre", "cc", "cm3", "ccm"),
        "uL": ("ul", "mcl", "mm3", "cumm", "cu mm", "cmm", "cu.mm", "mmc", "microliter", "microlitre"),
        "nL": ("nl",),
        "pL": ("pl",),
        "fL": ("fl",),
        "h": ("h", "hr", "hour", "1h", "1 h", "hrs", "std", "st", "stunde"),
        "min": ("min", "minute", "mn"),
        "s": ("s", "sec"),
        "d": (
            "d",
            "day",
            "tag",
            "die",
            "jour",
            "día",
            "24h",
            "24 h",
            "24hr",
            "24 hr",
            "24hrs",
            "24 hrs",
            "24 hours",
            "24 std",
        ),
        "(24.h)": ("(24.h)",),
        "g": ("g", "gm", "gram"),
        "mg": ("mg",),
        "ug": ("ug", "mcg"),
        "kg": ("kg",),
        "mol": ("mol", "mole"),
        "mmol": ("mmol",),
        "umol": ("umol",),
        "[HPF]": ("hpf", "[hpf]", "high power field"),
        "[LPF]": ("lpf", "[lpf]", "low power field"),
        "100{WBC}": (
            "100wbc",
            "100 wbc",
            "100 wbcs",
            "100{wbc}",
            "100 leuk",
            "100 leukocytes",
            "100 leuko",
            "100 leucocytes",
        ),
        "10*6": ("10*6", "10^6", "10e6", "million", "mill"),
        "%": ("%",),
    }.items()
    for spelling in spellings
}
_BODY_SURFACE = re.compile(r"1[.,]73\s*(?:m\s*\^?\**2|m\s*sq|sq\.?\s*m|qm|m)?|\{1\.73_m2\}", re.IGNORECASE)
# The substance that a denominator is an amount of.
_OF = (
    (re.compile(r"(g|mg|mmol|umol|mol)[\s_.-]*[({]?(?:creat(?:inine)?|crea|krea|kreatinin|cr|crt)[)}]?"), "creat"),
    (re.compile(r"(g|mol)[\s_.-]*[({]?(?:hb|hgb|hemoglobin|haemoglobin)[)}]?"), "Hb"),
    (re.compile(r"(g|mg)[\s_.-]*[({]?(?:prot|protein)[)}]?"), "prot"),
    (re.compile(r"(g|kg)[\s_.-]*[({]?(?:stool|feces|faeces|stuhl|selles|heces)[)}]?"), "stool"),
)

# `x10E3`, `10*3`, `10^9`, `10exp9`, `x10(6)`, `10**12`, `x 10 3`, and `109`, of which a PDF has lost the superscript.
_POWER = re.compile(
    r"(?:[x*]\s*)?10\s*(?:\*\*|\^|\*|exp|e\+?|x|\()\s*0?(?P<written>\d{1,2})\s*\)?(?P<counted>.*)"
    r"|(?:[x*]\s*)?10\s*(?P<flat>3|6|9|12)(?P<counted_flat>(?:[ .*]\D*)?)"
    r"|1?e(?P<short>3|6|9|12)"
    r"|(?:[x*]\s*)?1[.,]?000(?P<counted_thousand>(?:\s\D*)?)",
    re.IGNORECASE,
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
# How it was come by, at which temperature, and what everybody knows of the substance below the line.
_NOISE = re.compile(
    r"\s*[(\[]?\b(?:calc(?:ulated)?\.?|berechnet|ber\.|calculée?|calculad[oa])[)\]]?$"
    r"|\s*\((?:ngsp|ifcc|dcct)\)$|\s+(?:ngsp|ifcc|dcct)$"
    r"|\s*\(?(?:bei\s|at\s)?\s?37\s?°\s?c\)?$|(?<=kg)\s?(?:h2o|water)$|(?<=l)\s(?:rbc|erythrocytes)$",
    re.IGNORECASE,
)
_EQUIVALENTS = re.compile(r"\s*[({\[]?\b(feu|ddu)\b[)}\]]?\s*", re.IGNORECASE)
_OF_TOTAL = re.compile(
    r"^%\s*\(?(?:of\s+)?(?:total\s+|ges\.?\s*|v\.\s*)?(?:hb|hgb|hba1c|hemoglobin|haemoglobin|wbc|fatty\s+acids)\)?$",
    re.I,
)
_PER_LITRE = re.compile(r"(?<=[a-z\]])[\s.·*]*(?P<unit>d?l|ml|h|min|kg)\^?-1(?=$|[\s.·*])", re.IGNORECASE)


@lru_cache(maxsize=8192)
def read_unit(text: str) -> tuple[Unit, ...]:
    """The readings of a printed unit, the likeliest first. Raises UnknownUnit when there is none."""
    if len(text) > _LONGEST:
        raise UnknownUnit
    plain, telling = _plain(text)
    # First as a laboratory would mean it, then as UCUM: "mL/min/1.73" is valid UCUM and means something else there.
    codes = dict.fromkeys(code + telling for code in _codes(plain)) or [text]
    return tuple(parse(code) for code in codes)


def is_unit(text: str) -> bool:
    """Whether a printed text is a unit that is known."""
    try:
        read_unit(text)
    except UnknownUnit:
        return False
    return True


def is_unprinted(text: str) -> bool:
    """Whether there is no unit where one would stand: nothing, or only that the result was calculated."""
    return len(text) <= _LONGEST and not _NOISE.sub("", text).strip()


def _plain(text: str) -> tuple[str, str]:
    """The text without what only decorates it, and the telling annotation it carried."""
    text = re.sub(r"(?<=10)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda found: "^" + found[1], text).translate(_SUPERSCRIPTS)
    text = unicodedata.normalize("NFKC", text).replace("μ", "u").replace("µ", "u")
    text = text.replace("ˆ", "^").replace("∕", "/").replace("⁄", "/").replace("×", "x")
    telling = ""
    if found := _EQUIVALENTS.search(text):
        telling = "{" + found[1].upper() + "}"
        text = text[: found.start()] + text[found.end() :]
    text = re.sub(r"(?:^|\s+)per\s+", "/", " ".join(text.split()), flags=re.IGNORECASE)
    text = re.sub(r"\s*/\s*", "/", _NOISE.sub("", text)).strip(" ,;")
    text = _PER_LITRE.sub(r"/\g<unit>", text)
    return "%" if _OF_TOTAL.match(text) else text, telling


def _codes(text: str) -> Iterator[str]:
    if text in _MOLAR:
        yield _MOLAR[text]
        return
    lower = text.lower()
    for code, spellings in _WHOLE.items():
        if lower in spellings:
            yield code
            return
    parts = text.split("/")
    if len(parts) == 1 and " " in text:
        # "mg dl": the line between them was lost.
        parts = text.split(" ")
        if len(parts) != 2 or parts[1].lower() not in _DENOMINATORS:
            return
    below = [_denominator(part) for part in parts[1:]]
    if None in below:
        return
    first = below[0] if below else ""
    for above in _numerators(parts[0], first or ""):
        yield "/".join([above, *(code for code in below if code)])


def _denominator(text: str) -> str | None:
    if _BODY_SURFACE.fullmatch(text):
        return "{1.73_m2}"
    lower = text.lower().rstrip(".")
    if known := _DENOMINATORS.get(lower):
        return known
    for pattern, substance in _OF:
        if found := pattern.fullmatch(lower):
            return f"{found[1]}{{{substance}}}"
    return None


def _numerators(text: str, below: str) -> Iterator[str]:
    """The readings of what stands above the line; `below` is the first thing under it."""
    text = text.strip()
    if not text:
        if below:
            yield ""
        return
    if below and (power := _POWER.fullmatch(text)):
        yield from _power_of_ten(power)
        return
    if not below and text in ("D", "G", "H", "S", "u"):
        # Alone these are flags, initials and what is left of a micro.
        return
    lower = text.lower()
    exponent = _COUNTED.get(below, {}).get(text if len(text) == 1 and below == "L" else lower)
    if exponent is not None:
        yield f"10*{exponent}"
        if lower in _EITHER:
            yield "10*3"
    if text in _NUMERATORS_AS_PRINTED:
        if below:
            yield _NUMERATORS_AS_PRINTED[text]
    elif (exponent is None or text == "G") and (code := _NUMERATORS.get(lower)):
        yield code


def _power_of_ten(power: re.Match[str]) -> Iterator[str]:
    exponent = int(power["written"] or power["flat"] or power["short"] or 3)
    counted = (power["counted"] or power["counted_flat"] or power["counted_thousand"] or "").strip(" .*").lower()
    code = _NUMERATORS.get(counted)
    if not counted or (code and code.startswith("{")):
        yield f"10*{exponent}"
    elif code:
        yield f"10*{exponent}.{code}"
