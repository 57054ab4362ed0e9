"""The AD9910: its words and plans, for the chip itself and for the simulation of it."""
