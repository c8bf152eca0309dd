"""Many hosts on one machine: the demo, the development cluster and the test bed.

From Python: `tortie.lab.api.Lab.find(name)` gives a running lab; its hosts run commands and show their namespaces.
"""
