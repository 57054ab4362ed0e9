"""Exit codes of the programs; argparse exits with 2 as well where the command line is wrong."""

SUCCESS, SERVER_FAILED, NO_CONNECTION = 0, 1, 2

INTERRUPTED = 130
"""As shells report a program that Ctrl-C ended."""
