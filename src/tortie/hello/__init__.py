"""The web app of the Hello document: counts page views in Redis and says who answered.

Imports the standard library only: it also runs on the distribution's Python inside a container.
"""
