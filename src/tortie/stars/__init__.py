"""Stars: probes that measure who reaches whom, and the collector that draws it.

Everything here runs inside a container on a bare distribution Python, so it uses the standard library only and
nothing of Tortie outside this package (`lab/image.py` copies it into the image as it stands).
"""
