"""The energy that a body needs: the basal metabolic rate, and what activity makes of it.

Basal metabolic rate: Mifflin MD, St Jeor ST, Hill LA, Scott BJ, Daugherty SA,
Koh YO: A new predictive equation for resting energy expenditure in healthy
individuals. Am J Clin Nutr 51 (1990) 241-247, on 498 adults of 19 to 78 years.
Activity factors: those in common use with such an equation, after McArdle WD,
Katch FI, Katch VL: Exercise Physiology.
"""

from typing import NamedTuple

BMR_SOURCE = "Mifflin-St Jeor (Mifflin et al. 1990, Am J Clin Nutr 51:241), found on adults of 19 to 78 years"
ACTIVITY_SOURCE = "activity factors after McArdle, Katch and Katch, Exercise Physiology"
# Kilocalories a day that the formula adds for a sex; it knows no other.
SEX_TERMS = {"male": 5, "female": -161}
ACTIVITY_FACTORS = {"sedentary": 1.2, "light": 1.375, "moderate": 1.55, "active": 1.725, "very_active": 1.9}


class Energy(NamedTuple):
    """Kilocalories a day, or None and why. `absent_because` has the values of the rule `energy_absence`."""

    bmr_kcal: int | None
    activity_factor: float | None
    daily_energy_kcal: int | None
    absent_because: tuple[str, ...]


def energy(
    *, sex: str | None, age_years: int | None, height_cm: float | None, weight_kg: float | None, activity: str | None
) -> Energy:
    """What follows from what is known; nothing is guessed for what is not."""
    factor = ACTIVITY_FACTORS[activity] if activity else None
    reasons = [
        reason
        for reason, missing in {
            "no_date_of_birth": age_years is None,
            "no_sex": not sex,
            "no_formula_for_sex": bool(sex) and sex not in SEX_TERMS,
            "no_height": height_cm is None,
            "no_weight": weight_kg is None,
        }.items()
        if missing
    ]
    bmr = None
    if not reasons:
        assert sex is not None
        assert age_years is not None
        assert height_cm is not None
        assert weight_kg is not None
        bmr = 10 * weight_kg + 6.25 * height_cm - 5 * age_years + SEX_TERMS[sex]
        if bmr <= 0:
            bmr, reasons = None, ["outside_formula"]
    if factor is None:
        reasons.append("no_activity_level")
    daily = None if bmr is None or factor is None else round(bmr * factor)
    return Energy(None if bmr is None else round(bmr), factor, daily, tuple(reasons))
