"""What of this installation goes to every host of a rollout."""

from __future__ import annotations

from tortie.cli import node_config
from tortie.packages.rollout.artefact import Artefact
from tortie.packages.rollout.inventory import CURRENT, Inventory, Product
from tortie.plugins import install
from tortie.plugins.cni import install as cni
from tortie.plugins.cni import launcher as cni_launcher
from tortie.plugins.launching import SOCKET, SPOOL
from tortie.plugins.netmodules import install as netmodules
from tortie.plugins.netmodules import launcher as netmodules_launcher
from tortie.wire.netmodules import modules


def product(artefact: Artefact, inventory: Inventory, python: str) -> Product:
    """`python`: the interpreter of the hosts."""
    socket_path = inventory.node.get("TORTIE_CNI_SOCKET", SOCKET)
    spool = inventory.node.get("TORTIE_CNI_SPOOL", SPOOL)
    folder = inventory.net_modules.bin_dir if inventory.net_modules else ""
    command = install.text(netmodules_launcher, socket_path, spool, python)
    return Product(
        artefact=artefact.name,
        tag=artefact.tag,
        unit=node_config.unit(CURRENT),
        cni=dict.fromkeys(cni.NAMES, install.text(cni_launcher, socket_path, spool, python)),
        net_modules={netmodules.NAME: command, netmodules.MODULES: modules(f"{folder}/{netmodules.NAME}")},
    )
