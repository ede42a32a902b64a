"""`python -m mock_server`: the same command as `usage-mock`."""

import sys

from mock_server.command.cli import main

if __name__ == "__main__":
    sys.exit(main())
