"""The biomarker dictionary: what laboratories measure, under which names, in which units."""
