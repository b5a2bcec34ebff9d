"""`python -m inscape` is the `inscape` command."""

import sys

from inscape.experiments.cli import main

if __name__ == "__main__":
    sys.exit(main())
