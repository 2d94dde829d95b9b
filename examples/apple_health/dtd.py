"""The document type definition that Health writes, well-formed and as iOS 16 wrote it."""

_CHARACTERISTICS = ("DateOfBirth", "BiologicalSex", "BloodType", "FitzpatrickSkinType", "CardioFitnessMedicationsUse")
_WORKOUT = """workoutActivityType! duration durationUnit totalDistance totalDistanceUnit totalEnergyBurned
    totalEnergyBurnedUnit sourceName! sourceVersion device creationDate startDate! endDate!"""
_SUMMARY = """dateComponents activeEnergyBurned activeEnergyBurnedGoal activeEnergyBurnedUnit appleMoveTime
    appleMoveTimeGoal appleExerciseTime appleExerciseTimeGoal appleStandHours appleStandHoursGoal"""
_HEAD = """<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 12 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary|ClinicalRecord|Audiogram|\
VisionPrescription)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
"""
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("ExportDate", "EMPTY", "value!"),
    (
        "Me",
        "EMPTY",
        " ".join(f"HKCharacteristicTypeIdentifier{name}!" for name in _CHARACTERISTICS),
    ),
    (
        "Record",
        "((MetadataEntry|HeartRateVariabilityMetadataList)*)",
        "type! unit value sourceName! sourceVersion device creationDate startDate! endDate!",
    ),
    (
        "Correlation",
        "((MetadataEntry|Record)*)",
        "type! sourceName! sourceVersion device creationDate startDate! endDate!",
    ),
    (
        "Workout",
        "((MetadataEntry|WorkoutEvent|WorkoutRoute|WorkoutStatistics)*)",
        _WORKOUT,
    ),
    (
        "WorkoutActivity",
        "((MetadataEntry)*)",
        "uuid! startDate! endDate duration durationUnit",
    ),
    ("WorkoutEvent", "((MetadataEntry)*)", "type! date! duration durationUnit"),
    ("WorkoutStatistics", "EMPTY", "type! startDate! endDate! average minimum maximum sum unit"),
    (
        "WorkoutRoute",
        "((MetadataEntry|FileReference)*)",
        "sourceName! sourceVersion device creationDate startDate! endDate!",
    ),
    ("FileReference", "EMPTY", "path!"),
    (
        "ActivitySummary",
        "EMPTY",
        _SUMMARY,
    ),
    ("MetadataEntry", "EMPTY", "key! value!"),
    ("HeartRateVariabilityMetadataList", "(InstantaneousBeatsPerMinute*)", ""),
    ("InstantaneousBeatsPerMinute", "EMPTY", "bpm! time!"),
    (
        "ClinicalRecord",
        "EMPTY",
        "type! identifier! sourceName! sourceURL! fhirVersion! receivedDate! resourceFilePath!",
    ),
    (
        "Audiogram",
        "(SensitivityPoint*)",
        "type! sourceName! sourceVersion device creationDate startDate! endDate!",
    ),
    ("SensitivityPoint", "EMPTY", "frequencyValue! frequencyUnit! leftEarValue leftEarUnit rightEarValue rightEarUnit"),
    (
        "VisionPrescription",
        "((RightEye|LeftEye|Attachment|MetadataEntry)*)",
        "type! dateIssued! expirationDate brand",
    ),
    ("RightEye", "EMPTY", "sphere sphereUnit cylinder cylinderUnit axis axisUnit add addUnit"),
    ("Attachment", "EMPTY", "identifier"),
)
_NOTES = {
    "Correlation": (
        "<!-- Note: Any Records that appear as children of a correlation also appear as top-level records in this "
        "document. -->\n"
    )
}


def document_type(broken: bool) -> str:
    """The DOCTYPE with its internal subset; `broken` leaves an ATTLIST open, as iOS 16 does."""
    lines = [_HEAD]
    for name, content, attributes in _ROWS:
        lines.append(f"{_NOTES.get(name, '')}<!ELEMENT {name} {content}>\n")
        if attributes:
            lines.append(f"<!ATTLIST {name}\n")
            for attribute in attributes.split():
                need = "REQUIRED" if attribute.endswith("!") else "IMPLIED"
                lines.append(f"  {attribute.removesuffix('!')} CDATA #{need}\n")
            if not (broken and name == "VisionPrescription"):
                lines.append(">\n")
    return "".join([*lines, "]>\n"])
