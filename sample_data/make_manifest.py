"""Write MANIFEST.json: SHA-256 and size of every file of this data set, verified when it is loaded.

    .venv/bin/python sample_data/make_manifest.py

For another folder of the same layout, give its path as the argument.
"""

from __future__ import annotations

import sys
from pathlib import Path

from validation.datasets.folder import FILES
from validation.datasets.manifest import write_manifest

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    print(write_manifest(folder, FILES))
