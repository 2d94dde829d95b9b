"""Conversions of one marker that are more than a factor: canonical value = value * slope + offset."""

from decimal import Decimal
from typing import NamedTuple


class Formula(NamedTuple):
    """A straight line from a unit's value to the canonical one; the way back is its inverse."""

    slope: Decimal
    offset: Decimal


FORMULAS = {
    # The master equation between the IFCC reference system (mmol/mol) and NGSP (%):
    # NGSP = 0.09148 * IFCC + 2.152. Hoelzel et al., Clin Chem 50 (2004) 166; ngsp.org/ifcc.asp.
    "hba1c_ifcc": Formula(Decimal("0.09148"), Decimal("2.152")),
    # Estimated average glucose from HbA1c, the ADAG study: eAG (mg/dL) = 28.7 * NGSP - 46.7,
    # eAG (mmol/L) = 1.59 * NGSP - 2.59. Nathan et al., Diabetes Care 31 (2008) 1473.
    "hba1c_eag_mg_dl": Formula(1 / Decimal("28.7"), Decimal("46.7") / Decimal("28.7")),
    "hba1c_eag_mmol_l": Formula(1 / Decimal("1.59"), Decimal("2.59") / Decimal("1.59")),
}
