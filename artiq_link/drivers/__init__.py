"""Drivers: the code that talks to one make of hardware each."""
