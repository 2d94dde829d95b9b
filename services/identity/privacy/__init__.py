"""What becomes of what is known about a person: exports, deletion, consents."""
