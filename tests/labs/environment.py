"""Prints the names of its environment's variables, as a confined process of the labs service."""

import json
import os

print(json.dumps(sorted(os.environ)))
