"""Prints the limits of a process that a confined process of the labs service has started."""

import subprocess
import sys

from services.labs.confined import confine

TELLS = """
import json, resource
limits = {"memory_bytes": resource.RLIMIT_AS, "processor_seconds": resource.RLIMIT_CPU}
print(json.dumps({name: resource.getrlimit(limit)[1] for name, limit in limits.items()}))
"""

if __name__ == "__main__":
    confine(*sys.argv[1:])
    subprocess.run([sys.executable, "-c", TELLS], check=True)
