rule collect:
    """One table of all replicates of a network."""
    input:
        parts=needs("collect", "parts"),
    output:
        table="results/tables/{dataset}/{model}/{table}.csv",
    log:
        "logs/tables/{dataset}/{model}/{table}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("collect"),
        code=code("collect"),
    message:
        "Table {wildcards.table} of {wildcards.model} on {wildcards.dataset}"
    shell:
        "python -m earlyphase collect --spec {params.spec:q} --code {params.code:q} "
        "--out {output.table:q} > {log:q} 2>&1"


rule figure:
    """Draw one figure of one network, and write the numbers it shows."""
    input:
        tables=needs("figure", "tables"),
    output:
        svg=report("results/figures/{dataset}/{model}/{figure}.svg"),
        png="results/figures/{dataset}/{model}/{figure}.png",
        table="results/figures/{dataset}/{model}/{figure}.csv",
    log:
        "logs/figures/{dataset}/{model}/{figure}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("figure"),
        code=code("figure"),
    message:
        "Figure {wildcards.figure} of {wildcards.model} on {wildcards.dataset}"
    shell:
        "python -m earlyphase figure --spec {params.spec:q} --code {params.code:q} "
        "--tables {input.tables:q} "
        "--out-svg {output.svg:q} --out-png {output.png:q} --out-table {output.table:q} > {log:q} 2>&1"


rule claims:
    """Judge the paper's claims on every network of the study."""
    input:
        tables=needs("claims", "tables"),
    output:
        table=report("results/claims.csv"),
        contrasts="results/contrasts.csv",
    log:
        "logs/claims.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("claims"),
        code=code("claims"),
    message:
        "Judge the claims"
    shell:
        "python -m earlyphase claims --spec {params.spec:q} --code {params.code:q} "
        "--tables {input.tables:q} --out {output.table:q} --out-contrasts {output.contrasts:q} > {log:q} 2>&1"
