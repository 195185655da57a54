"""Tables to figures.

A figure is a registered function: tables by name -> (figure, the points it shows). `reads` are the tables
that it needs, `uses` those that it also draws where there are any; it is given these and no others.
Importing this package imports each of its modules, which registers what they draw.
"""

from importlib import import_module
from pkgutil import iter_modules

from earlyphase.registry import figure
from earlyphase.results.figures.style import add_note, render

__all__ = ["add_note", "figure", "render"]

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")
