"""Selectors: the v3 expression language over labels. `parse` is the way in."""

from tortie.model.selector.nodes import Selector
from tortie.model.selector.parser import parse

__all__ = ["Selector", "parse"]
