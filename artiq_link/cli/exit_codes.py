"""Exit codes of the programs; argparse exits with 2 as well where the command line is wrong."""

SUCCESS, SERVER_FAILED, NO_CONNECTION = 0, 1, 2

INTERRUPTED, PIPE_CLOSED = 130, 141
"""As shells report programs that Ctrl-C or a closed pipe ended: 128 and the signal's number."""
