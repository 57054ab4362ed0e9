"""The tests: the same folders as the package, a file for each module."""
