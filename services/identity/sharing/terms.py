"""What a person agrees to when they share. A changed text gets a new version, in the proto's example too."""

TERMS_VERSION = "2026-11-21"
TERMS = """\
The person you name may see, and where you say so change, the parts of your health data that you choose, until the \
date that you choose or until you take it back. Taking it back works within 30 seconds; what they have seen or copied \
by then, nobody can take back.

They learn your email address from the invitation, and your name once they accept. They see nothing else of your \
account, cannot pass on what you gave them, and every time they use it stands in your audit trail.
"""
