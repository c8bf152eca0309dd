"""`tortie node` as its own process for the tests."""

import sys

from tortie.cli.node import node

if __name__ == "__main__":
    node(sys.argv[1:])
