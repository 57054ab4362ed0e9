"""Tests of artiq_link.scaffold."""
