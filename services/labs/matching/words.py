"""Words of marker names that mean the same, say only where it was measured or how, or are easily mistaken."""

from collections.abc import Mapping

# Another spelling of a word; whole words only.
SAME = {
    spelling: word
    for word, spellings in {
        "hemoglobin": ("hgb", "hb", "haemoglobin", "hemoglobine"),
        "cholesterol": ("chol", "cholest", "cholesterin", "colesterol"),
        "triglyceride": ("trig", "trigs", "triglyc", "triglyzeride", "trigliceridos"),
        "creatinine": ("creat", "crea", "kreatinin", "creatinina"),
        "bilirubin": ("bili", "bilirubine", "bilirrubina"),
        "total": ("tot", "gesamt", "totale", "totales"),
        "vitamin": ("vit", "vitamine", "vitamina"),
        "alkaline": ("alk", "alkalische"),
        "neutrophil": ("neut", "neuts", "neutro"),
        "lymphocyte": ("lymph", "lymphs", "lymphozyten"),
        "monocyte": ("mono", "monos", "monozyten"),
        "eosinophil": ("eos", "eosin"),
        "basophil": ("baso", "basos"),
        "platelet": ("plt", "plts"),
        "antibody": ("ab", "antibodie"),
        "estradiol": ("oestradiol",),
        "absolute": ("absolut", "absoluto"),
        "percent": ("%", "pct", "percentage"),
        "alpha": ("α",),
        "beta": ("β",),
        "gamma": ("γ",),
        "aluminum": ("aluminium",),
        "ratio": ("quotient", "rapport", "cociente"),
        # The S is no plural.
        "dhea_s": ("dheas",),
    }.items()
    for spelling in spellings
}

# Of a differential count, whether the share or the number is meant; the unit can say it instead.
SHARE_OR_NUMBER: Mapping[str, str] = {
    "percent": "share",
    "relative": "share",
    "absolute": "number",
    "abs": "number",
    "count": "number",
    "#": "number",
    "number": "number",
}

# How it was measured, which makes no other marker of it. Not "direct", "total",
# "free", "hs" or "qualitative": those do.
METHODS = frozenset(
    {"calc", "calculated", "calculation", "automated", "auto", "level", "result", "value", "assay"}
    | {
        "quantitative",
        "quant",
        "measured",
        "reflex",
        "immunoassay",
        "ecl",
        "eclia",
        "clia",
        "eia",
        "ia",
        "lcms",
        "lcmsms",
    }
    | {
        "ms",
        "lc",
        "fasting",
        "roche",
        "abbott",
        "siemens",
        "beckman",
        "ckd",
        "epi",
        "mdrd",
        "2009",
        "2021",
        "ifcc",
        "ngsp",
    }
    | {"dcct", "nuchtern", "with", "w", "spiegel", "taux", "dosage"}
    | {"berechnet", "kalkuliert", "calcule", "calculee", "calculado", "calculada", "enzymatisch", "enzymatique"}
    | {"westergren", "mcnc", "scnc", "ccnc", "acnc", "ncnc", "mfr", "vfr", "nfr"}
)

# Groups of specimens in which a marker is the same one.
GROUPS: Mapping[str, str] = {
    "serum": "blood",
    "plasma": "blood",
    "blood": "blood",
    "arterial_blood": "blood",
    "red_cells": "red_cells",
    "urine": "urine",
    "urine_24h": "urine",
    "stool": "stool",
    "saliva": "saliva",
    "semen": "semen",
    "breath": "breath",
}
OTHER = "other"

# What says the specimen: the specimen itself, or a group whose members it leaves open.
SPECIMENS = {
    word: specimen
    for specimen, words in {
        "serum": ("serum", "ser", "serpl", "serums", "suero", "s"),
        "plasma": ("plasma", "plas", "pla", "plasmatique", "edta", "p"),
        "blood": ("blood", "bld", "wb", "blut", "vollblut", "sang", "sangre", "venous", "capillary", "b"),
        "arterial_blood": ("arterial", "arteriell"),
        "urine": ("urine", "ur", "ua", "urin", "urines", "orina", "urinary", "u", "urinalysis"),
        "stool": ("stool", "feces", "faeces", "fecal", "faecal", "stuhl", "selles", "heces", "stl"),
        "saliva": ("saliva", "salivary", "speichel", "salive", "sal"),
        "semen": ("semen", "seminal", "sperma", "ejaculate", "ejakulat"),
        "breath": ("breath", "atem"),
        OTHER: ("csf", "liquor", "cerebrospinal", "ascites", "ascitic", "pleural", "synovial", "peritoneal", "sweat"),
    }.items()
    for word in words
}
# Read on its own as a column's text, not in names, where they mean something else.
ONLY_COLUMNS = frozenset({"s", "p", "b", "u", "sal", "pla", "ser", "plas"})
# What goes with blood, and says no more of it.
OF_WHOLE_BLOOD = frozenset({"whole"})
# What goes with urine, and says no more of it: one void, or a day's.
OF_ONE_VOID = frozenset({"random", "spot", "void"})
OF_A_DAY = frozenset({"24", "24h", "24hr", "24hour", "h", "hr", "hour", "timed"})
RED_CELLS = frozenset({"rbc", "erythrocyte", "erythrocytes", "red cells", "red blood cells", "erythrozyten"})

# Words that are a slip of the pen away from a marker's and are another substance.
OTHER_SUBSTANCES = frozenset(
    {"creatine", "cortisone", "corticosterone", "estriol", "estrone", "epitestosterone", "cystine", "homocystine"}
    | {
        "cysteine",
        "tyrosine",
        "histidine",
        "histamine",
        "methionine",
        "ornithine",
        "threonine",
        "arginine",
        "carnitine",
    }
    | {
        "carnosine",
        "nitrite",
        "nitrate",
        "sulfite",
        "sulfate",
        "iodide",
        "iodine",
        "inulin",
        "lectin",
        "leptin",
        "renin",
    }
    | {"rennin", "resistin", "cholestanol", "sitosterol", "lathosterol", "campesterol", "prealbumin", "myoglobin"}
    | {"haptoglobin", "hemopexin", "manganese", "magnesium", "fluoride", "bromide", "phosphate", "phosphatase", "urate"}
    | {"lactate", "lactase", "lactose", "sucrose", "fructose", "galactose", "maltose", "mannose", "xylose", "dextrose"}
    | {
        "myelocyte",
        "metamyelocyte",
        "promyelocyte",
        "thyroglobulin",
        "thyrotropin",
        "tryptase",
        "trypsin",
        "tryptophan",
    }
    | {"androstenediol", "androstenedione", "androstanediol", "androsterone", "pregnenolone", "progesterone"}
    | {"transferrin", "ferritin", "calcitonin", "calcitriol", "calcidiol", "calprotectin", "troponin", "tropomyosin"}
    | {"selenium", "gliadin", "glucagon", "gastrin", "secretin", "elastase", "elastin", "globulin", "globin"}
    | {"glutamine", "glutamate", "lysine", "leucine", "isoleucine", "glycine", "valine", "alanine", "taurine"}
)
