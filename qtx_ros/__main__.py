"""`python3 -m qtx_ros VERB`."""

import sys

from qtx_ros.cli import main

sys.exit(main())
