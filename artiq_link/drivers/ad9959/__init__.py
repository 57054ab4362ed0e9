"""The AD9959: four channels on one chip."""
