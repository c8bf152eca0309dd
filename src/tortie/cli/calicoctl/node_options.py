"""The options of `node run` in the 1.3 and 3 grammars."""

from __future__ import annotations

FLAGS = (
    "--no-default-ippools",
    "--dryrun",
    "--init-system",
    "--disable-docker-networking",
    "--use-docker-networking-container-labels",
)
VALUES = (
    *("--ip", "--ip6", "--as", "--name", "--ip-autodetection-method", "--ip6-autodetection-method", "--log-dir"),
    *("--node-image", "--backend", "--docker-networking-ifprefix"),
)
