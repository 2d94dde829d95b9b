"""The words of reports: titles of columns, results that are no numbers, and what stands before numbers nobody measured.

English, and the common ones of German, French and Spanish reports.
"""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Titles of columns, word by word.
COLUMN_TITLES = _words(
    """
    test tests analyte component name result results value values flag flags unit units reference range ranges interval
    current previous prior last and date lab in out of normal standard status method specimen your
    untersuchung analyse analyt parameter messgröße ergebnis messwert einheit referenzbereich referenzwerte normbereich
    normwert wert vorwert bewertung material methode kommentar
    analyses examen examens résultat résultats unité unités valeurs valeur référence références usuelles norme normes
    antériorité antériorités précédent de
    análisis prueba parámetro determinación resultado resultados unidad unidades valores valor referencia rango
    intervalo anterior indicador
    """
)
# Of these, which say that the column has what was measured before, and which that it has what was measured now.
PREVIOUS_TITLES = _words("previous prior last vorwert antériorité antériorités précédent anterior")
RESULT_TITLES = _words("result results value current ergebnis messwert wert résultat résultats resultado resultados")

# Results that are no numbers.
RESULT_WORDS = _words(
    """
    negative positive reactive nonreactive non-reactive detected undetected trace traces clear cloudy turbid hazy yellow
    straw amber normal abnormal none rare few moderate many present absent immune nonimmune equivocal indeterminate
    negativ positiv nachweisbar unauffällig klar gelb
    négatif négative positif positive absence présence absent présent
    negativo negativa positivo positiva ausente presente indetectable
    """
)
RESULT_PHRASES = frozenset(
    {"not detected", "none seen", "none detected", "non reactive", "not immune", "dark yellow", "light yellow"}
    | {"nicht nachweisbar", "nicht nachgewiesen", "non réactif", "non détecté", "no detectado", "no reactivo"}
)
# Of these, which are enough of a result where neither a unit nor a range stands beside them.
DECISIVE = _words(
    """
    negative positive reactive nonreactive non-reactive detected undetected negativ positiv négatif négative positif
    negativo negativa positivo positiva
    """
) | {"not detected", "non reactive", "none detected", "nicht nachweisbar", "non détecté", "no detectado", "no reactivo"}
NO_RANGES = frozenset(
    {"not estab.", "not established", "not estab", "not applicable", "n/a", "nicht etabliert", "non établi"}
    | {"no establecido"}
)
# A laboratory's word about a result or a range, which is no part of either.
VERDICTS = _words("optimal desirable borderline normal")
# For whom a range holds, before its numbers.
WHOSE = _words(
    "m f w male female males females man woman men women adult adults männer frauen mann frau erwachsene homme femme"
    " hommes femmes hombre mujer hombres mujeres adultos"
)
# Lines of such words tell how a result is to be understood, and are none: `Optimal <100 mg/dL`.
INTERPRETATIONS = (
    VERDICTS
    | WHOSE
    | _words(
        """
        near above below high low very mildly moderately severely elevated reduced acceptable ideal goal target risk
        average moderate mild severe critical deficient deficiency insufficient insufficiency sufficient sufficiency
        toxic toxicity therapeutic prediabetes prediabetic diabetes diabetic non-diabetic nondiabetic impaired
        increased decreased range to or and of the for with years year months days trimester first second third
        follicular luteal ovulation mid-cycle midcycle menopause postmenopausal premenopausal postmenopause pregnancy
        fasting non-fasting am pm morning evening children child age
        zielwert ziel mangel ausreichend erhöht grenzwertig hoch niedrig kinder jahre nüchtern follikelphase lutealphase
        carence insuffisance déficit optimale souhaitable élevé élevée phase folliculaire lutéale ménopause ans
        deseable óptimo alto bajo elevado insuficiencia deficiencia fase folicular lútea años niños limítrofe
        """
    )
)
# A name that is too long for its column goes on with such words in the next line.
QUALIFIERS = _words(
    "free total direct indirect absolute abs calculated calc bioavailable ratio percent random fasting ionized"
    " intact quantitative qualitative igg igm iga ige antibody antibodies screen count frei gesamt berechnet libre"
    " totale directe calculé"
)
# What stands before numbers that nobody measured.
NO_NAMES = re.compile(
    r"(age|alter|edad|âge|dob|born|date|datum|fecha|née?|geb|geboren|page|seite|página|phone|tel|tél|telefon|teléfono|fax"
    r"|account|acct|patient|paciente|specimen|collected|received|reported|order|id|zip|npi|clia|report|printed|room"
    r"|suite|control|dossier|demande|entnahme|eingang|befund|prélevé|validé|édité|extracción)\b"
    r"|.*\b(id|no|nr|number|phone|fax|n[°º])\.?:?$",
    re.IGNORECASE,
)
# Names that end in a number, of which a result before another one could be part: `IGF 1`, `CA 125`, `Vitamin B 12`.
NUMBERED = re.compile(
    r"(?:igf|ca|il|interleukin|b|t|c|cd|factor|faktor|omega|hsv|hpv|type|typ|complement|apo|q)", re.IGNORECASE
)
