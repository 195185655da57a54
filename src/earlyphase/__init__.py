"""The early phase of neural network training, as a graph of files.

What a plugin needs is offered here: the decorators `augmentation`, `branch`, `claim`, `criterion`,
`dataset`, `figure`, `initialisation`, `network`, `optimizer`, `schedule`, `task`; what their functions take
and return, `Ticket`, `Measured`, `Contrast`, `Margin`, `Pruning`, `DataSet`, `Images`, `Law`, `Task`;
`generator`, an independent random stream for each purpose; `NotRun`, the reason for which a claim is not
judged; and `InvalidInput`, whose message is shown to the user. `load_ticket` puts a ticket of a finished
study into a network.
"""

from importlib import import_module

__version__ = "1.0.0"

PUBLIC = {  # name -> module below this package
    "augmentation": "registry",
    "branch": "registry",
    "criterion": "registry",
    "dataset": "registry",
    "figure": "registry",
    "initialisation": "registry",
    "claim": "registry",
    "network": "registry",
    "optimizer": "registry",
    "schedule": "registry",
    "task": "registry",
    "Law": "core.initial",
    "Ticket": "core.branches",
    "Pruning": "core.criteria",
    "DataSet": "datasets",
    "Images": "core.images",
    "Task": "core.tasks",
    "generator": "core.streams",
    "load_ticket": "runtime.tickets",
    "NotRun": "results.claims.claim",
    "Measured": "results.claims.claim",
    "Contrast": "results.claims.evidence",
    "Margin": "results.claims.evidence",
    "InvalidInput": "errors",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that nobody waits for torch who does not train."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{PUBLIC[name]}"), name)
