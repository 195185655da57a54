use rule job as collect with:
    """One table of all replicates of a network."""
    input:
        parts=needs("collect", "parts"),
    output:
        table="results/tables/{dataset}/{model}/{table}.csv",
    log:
        "logs/tables/{dataset}/{model}/{table}.log",
    priority: 100
    params:
        spec=spec("collect"),
        code=code("collect"),
    message:
        "Table {wildcards.table} of {wildcards.model} on {wildcards.dataset}"


use rule job as figure with:
    """Draw one figure of one network, and write the numbers it shows."""
    input:
        tables=needs("figure", "tables"),
    output:
        svg=report("results/figures/{dataset}/{model}/{figure}.svg"),
        png="results/figures/{dataset}/{model}/{figure}.png",
        table="results/figures/{dataset}/{model}/{figure}.csv",
    log:
        "logs/figures/{dataset}/{model}/{figure}.log",
    priority: 100
    params:
        spec=spec("figure"),
        code=code("figure"),
    message:
        "Figure {wildcards.figure} of {wildcards.model} on {wildcards.dataset}"


use rule job as claims with:
    """Judge the paper's claims on every network of the study."""
    input:
        tables=needs("claims", "tables"),
    output:
        table=report("results/claims.csv"),
        contrasts="results/contrasts.csv",
    log:
        "logs/claims.log",
    priority: 100
    params:
        spec=spec("claims"),
        code=code("claims"),
    message:
        "Judge the claims"
