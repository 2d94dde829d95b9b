"""Health profiles: body and energy, allergies, intolerances, medical conditions, dietary restrictions."""
