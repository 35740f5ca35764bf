"""Energies and reasons of rows by a fitted detector."""
