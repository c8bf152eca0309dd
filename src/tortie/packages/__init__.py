"""Packages: repositories of them, their options and templates, and apps made of them; the Cosmos API in front."""
