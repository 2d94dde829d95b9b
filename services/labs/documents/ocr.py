"""The words of a picture, as Tesseract recognises them. Run in a confined process, whose limits it inherits."""

import csv
import io
import os
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageOps, ImageSequence

from services.labs.confined import die_with_parent
from services.labs.documents.pages import Line, Word
from services.labs.documents.skew import Turned, turned, ways_up
from services.labs.reports import UnreadableReportError

# At which Tesseract reads print best; points are 72 to the inch.
OCR_DPI = 300
SECONDS_A_PAGE = 40
# The pictures of a document, one after the other; beyond them it is more than there is time for.
MAX_PICTURES = 30
# A4 at 600 dpi has 35 million dots.
MOST_DOTS = 100_000_000
# The longer side of a page whose picture does not say how large it is: A4 and letter differ by little.
USUAL_SIDE_POINTS = 800.0
# Letter and A4 are below; what claims to be above is no page.
MAX_SIDE_POINTS = 1500.0
# Below this mean the page may stand on its head, or lie on its side.
UPRIGHT = 0.6
ENGLISH = "eng"
# Words, without accents, by which a report is known to be in another language. English is read best by English alone.
LANGUAGES = {
    language: frozenset(words.split())
    for language, words in {
        "deu": """
            labor entnahme befund untersuchung ergebnis einheit referenzbereich normbereich messwert geboren und bis
            glukose leukozyten erythrozyten hamoglobin kreatinin cholesterin natrium kalium harnstoff
        """,
        "fra": """
            laboratoire preleve prelevement examens resultats resultat unites valeurs usuelles medecin biologie sang
            leucocytes hematies hemoglobine glycemie plaquettes ferritine
        """,
        "spa": """
            laboratorio fecha prueba resultado resultados unidades valores referencia extraccion paciente medico hasta
            leucocitos hemoglobina glucosa creatinina colesterol plaquetas ferritina trigliceridos
        """,
    }.items()
}
LEAST_WORDS = 3
# Rulings and specks.
_NOISE = re.compile(r"[|_~«»“”‘’'\"`´•·\¦]+")
# Letters that look alike, in units that would be none: `mlU/L`, `mmol/I`.
_INTERNATIONAL = re.compile(r"(?<=[mkunµ])[l1|]U/|^[l1|]U/")
_LITRE = re.compile(r"(?<=[A-Za-z%])/([dmnpfuµ]?)(?:[I1|]|l\.)$")
_SPECK = re.compile(r"(?<=/)([dmnpfuµ]?L)\.$")


class NoOcrError(Exception):
    """The document is a picture, and Tesseract is not installed."""


def has_ocr() -> bool:
    return shutil.which("tesseract") is not None


def read_pictures(path: Path) -> Iterator[tuple[list[Line], float]]:
    """The lines and the width (points) of each picture of a file. Raises UnreadableReportError and NoOcrError."""
    if not has_ocr():
        raise NoOcrError
    try:
        with Image.open(path) as file:
            for number, frame in enumerate(ImageSequence.Iterator(file), start=1):
                if number > MAX_PICTURES:
                    raise UnreadableReportError(f"the document has more than {MAX_PICTURES} pictures")
                if frame.width * frame.height > MOST_DOTS:
                    raise UnreadableReportError("the picture is larger than a page needs")
                # A photograph says how the camera was held.
                picture = ImageOps.exif_transpose(frame)
                yield recognised(picture, number, _side_points(picture) / max(picture.size), path.parent)
    # Pillow raises SyntaxError for some broken PNGs, and an error of its own for a bomb.
    except (Image.DecompressionBombError, SyntaxError, MemoryError, OSError, ValueError):
        raise UnreadableReportError("the picture cannot be read") from None


def _side_points(picture: Image.Image) -> float:
    """How long the longer side is, if the picture says so and a page can be so long."""
    dots_per_inch = float((picture.info.get("dpi") or (0,))[0])
    side = max(picture.size) * 72 / dots_per_inch if dots_per_inch > 0 else 0.0
    return side if USUAL_SIDE_POINTS / 4 < side < MAX_SIDE_POINTS else USUAL_SIDE_POINTS


def recognised(picture: Image.Image, page: int, points: float, folder: Path) -> tuple[list[Line], float]:
    """The lines of a page's picture, and its width in points; `points` is how many a dot has.

    Files are kept in the folder meanwhile. Raises UnreadableReportError and NoOcrError.
    """
    if not has_ocr():
        raise NoOcrError
    grey = picture.convert("L")
    scale = OCR_DPI / 72 * points
    if not 0.9 < scale < 1.5:
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        grey, points = grey.resize(size, Image.Resampling.LANCZOS), points / scale
    rows, degrees, level = _upright(grey, folder / f"page-{page}.png", points)
    seen = Turned(degrees, (grey.width * points, grey.height * points), (level.width * points, level.height * points))
    return [Line(page, row, seen if degrees else None) for row in rows], level.width * points


def _upright(grey: Image.Image, file: Path, points: float) -> tuple[list[tuple[Word, ...]], float, Image.Image]:
    """The words of the page the way up in which they are words, how far it was turned for that, and that picture."""
    ways = []
    for degrees in ways_up(grey):
        level = turned(grey, degrees)
        try:
            rows = _read(level, file, points)
        except UnreadableReportError:
            # A page on its side may take for ever.
            continue
        ways.append((rows, degrees, level))
        if not rows or _sureness(rows) >= UPRIGHT:
            break
    if not ways:
        raise UnreadableReportError("the picture cannot be read")
    return max(ways, key=lambda way: _sureness(way[0]))


def _sureness(rows: list[tuple[Word, ...]]) -> float:
    words = [word.confidence for row in rows for word in row]
    return sum(words) / len(words) if words else 0.0


def _read(picture: Image.Image, file: Path, points: float) -> list[tuple[Word, ...]]:
    """The words of each line, in the language that the page is in."""
    try:
        picture.save(file)
        rows = _rows(file, ENGLISH, points)
        if language := _other_language(rows):
            rows = _rows(file, f"{language}+{ENGLISH}", points)
        return rows
    finally:
        file.unlink(missing_ok=True)


def _other_language(rows: list[tuple[Word, ...]]) -> str:
    """The language whose words there are, if that is installed; "" for English."""
    words = {_without_accents(word.text) for row in rows for word in row}
    found = Counter({language: len(words & of_it) for language, of_it in LANGUAGES.items()})
    ((language, count),) = found.most_common(1)
    return language if count >= LEAST_WORDS and language in _installed() else ""


def _without_accents(text: str) -> str:
    return unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode().strip(".:,;()")


def _rows(picture: Path, language: str, points: float) -> list[tuple[Word, ...]]:
    # One block of text, so that the rows of a table stay whole.
    table = _tesseract(picture, "stdout", "-l", language, "--psm", "6", "tsv")
    told = csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE)
    rows = []
    for _, words in groupby(told, key=lambda row: (row["block_num"], row["par_num"], row["line_num"])):
        found = [word for told_word in words if (word := _word(told_word, points))]
        if found:
            rows.append(tuple(sorted(found, key=lambda word: word.x0)))
    return rows


def _word(told: dict[str, str], points: float) -> Word | None:
    text = (told["text"] or "").strip().strip("|")
    if not text or float(told["conf"]) < 0 or _NOISE.fullmatch(text):
        return None
    text = _SPECK.sub(r"\1", _LITRE.sub(r"/\1l", _INTERNATIONAL.sub("IU/", text)))
    left, top, width, height = (int(told[name]) * points for name in ("left", "top", "width", "height"))
    return Word(text, left, top, left + width, top + height, float(told["conf"]) / 100)


@cache
def _installed() -> frozenset[str]:
    return frozenset(_tesseract("--list-langs").split())


def _tesseract(*arguments: str | Path) -> str:
    try:
        done = subprocess.run(
            ["tesseract", *arguments],
            capture_output=True,
            timeout=SECONDS_A_PAGE,
            check=True,
            encoding="utf-8",
            # Several workers share the machine, and a second thread makes a page hardly faster.
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            preexec_fn=die_with_parent,
        )
    except (subprocess.SubprocessError, OSError, UnicodeDecodeError):
        raise UnreadableReportError("the picture cannot be read") from None
    return done.stdout
