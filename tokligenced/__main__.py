"""`python -m tokligenced` is `tokligenced`."""

import sys

from tokligenced.cli import main

sys.exit(main())
