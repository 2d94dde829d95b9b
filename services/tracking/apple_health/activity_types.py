"""Apple's workout types and the contract's."""

import re

PREFIX = "HKWorkoutActivityType"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|\d+|[a-z]+")

_BY_TYPE = {
    "running": ("Running", "TrackAndField", "WheelchairRunPace"),
    "walking": ("Walking", "WheelchairWalkPace"),
    "hiking": ("Hiking",),
    "cycling": ("Cycling", "HandCycling"),
    "swimming": ("Swimming",),
    "rowing": ("Rowing",),
    "strength_training": ("FunctionalStrengthTraining", "TraditionalStrengthTraining", "CoreTraining"),
    "hiit": ("HighIntensityIntervalTraining", "JumpRope"),
    "cross_training": ("CrossTraining", "MixedCardio", "MixedMetabolicCardioTraining", "SwimBikeRun"),
    "elliptical": ("Elliptical",),
    "stair_climbing": ("StairClimbing", "Stairs", "StepTraining"),
    "yoga": ("Yoga",),
    "pilates": ("Pilates", "Barre"),
    "dance": ("Dance", "CardioDance", "SocialDance", "DanceInspiredTraining"),
    "martial_arts": ("MartialArts", "Boxing", "Kickboxing", "Wrestling", "Fencing"),
    "climbing": ("Climbing",),
    "skiing": ("DownhillSkiing", "CrossCountrySkiing"),
    "snowboarding": ("Snowboarding",),
    "skating": ("SkatingSports",),
    "racket_sports": ("Tennis", "TableTennis", "Badminton", "Squash", "Racquetball", "Pickleball"),
    "team_sports": (
        "AmericanFootball",
        "AustralianFootball",
        "Baseball",
        "Basketball",
        "Cricket",
        "DiscSports",
        "Handball",
        "Hockey",
        "Lacrosse",
        "Rugby",
        "Soccer",
        "Softball",
        "Volleyball",
    ),
    "golf": ("Golf",),
    "water_sports": (
        "PaddleSports",
        "Sailing",
        "SurfingSports",
        "UnderwaterDiving",
        "WaterFitness",
        "WaterPolo",
        "WaterSports",
    ),
    "mind_and_body": ("MindAndBody", "Flexibility", "Cooldown", "PreparationAndRecovery", "TaiChi"),
    "other": (
        "Other",
        "Archery",
        "Bowling",
        "Curling",
        "EquestrianSports",
        "Fishing",
        "FitnessGaming",
        "Gymnastics",
        "Hunting",
        "Play",
        "SnowSports",
        "Transition",
    ),
}
ACTIVITY_TYPES = {name: kind for kind, names in _BY_TYPE.items() for name in names}


def activity_type(apple: str) -> str:
    """The contract's type of an `HKWorkoutActivityType…`; `other` for one that has no counterpart."""
    return ACTIVITY_TYPES.get(apple.removeprefix(PREFIX), "other")


def activity_name(apple: str) -> str:
    """`Functional Strength Training`."""
    return " ".join(_WORD.findall(apple.removeprefix(PREFIX)))[:200] or "Other"
