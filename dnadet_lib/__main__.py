"""`python -m dnadet_lib`: the command line, also where the script `dnadet` is not on the path."""

import sys

from dnadet_lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
