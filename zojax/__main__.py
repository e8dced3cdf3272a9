"""``python -m zojax`` is the command ``zojax``."""

import sys

from zojax.cli import main

if __name__ == "__main__":
    sys.exit(main())
