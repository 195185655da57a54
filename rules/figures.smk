rule collect_dense:
    """One table of the evaluations of all dense runs of a network."""
    input:
        metrics=needs("collect_dense", "metrics"),
    output:
        table="results/tables/dense_{dataset}_{model}.csv",
    log:
        "logs/tables/dense_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("collect_dense"),
        code=code("collect_dense"),
    shell:
        "python -m earlyphase collect --spec {params.spec:q} --code {params.code:q} "
        "--out {output.table:q} > {log:q} 2>&1"


rule collect_imp:
    """One table of the evaluations of all rounds of a network."""
    input:
        metrics=needs("collect_imp", "metrics"),
    output:
        table="results/tables/imp_{dataset}_{model}.csv",
    log:
        "logs/tables/imp_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("collect_imp"),
        code=code("collect_imp"),
    shell:
        "python -m earlyphase collect --spec {params.spec:q} --code {params.code:q} "
        "--out {output.table:q} > {log:q} 2>&1"


rule collect_perturbed:
    """One table of the evaluations of all perturbed tickets of a network."""
    input:
        metrics=needs("collect_perturbed", "metrics"),
    output:
        table="results/tables/perturbed_{dataset}_{model}.csv",
    log:
        "logs/tables/perturbed_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("collect_perturbed"),
        code=code("collect_perturbed"),
    shell:
        "python -m earlyphase collect --spec {params.spec:q} --code {params.code:q} "
        "--out {output.table:q} > {log:q} 2>&1"


rule figure:
    """Draw one figure of one network, and write the numbers it shows."""
    input:
        dense="results/tables/dense_{dataset}_{model}.csv",
        imp="results/tables/imp_{dataset}_{model}.csv",
        perturbed=needs("figure", "perturbed"),
    output:
        svg=report(
            "results/figures/{figure}_{dataset}_{model}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "data": "{dataset}", "network": "{model}"},
        ),
        png="results/figures/{figure}_{dataset}_{model}.png",
        table="results/figures/{figure}_{dataset}_{model}.csv",
    log:
        "logs/figures/{figure}_{dataset}_{model}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("figure"),
        code=code("figure"),
    shell:
        "python -m earlyphase figure --spec {params.spec:q} --code {params.code:q} "
        "--dense {input.dense:q} --imp {input.imp:q} --perturbed {input.perturbed:q} "
        "--out-svg {output.svg:q} --out-png {output.png:q} --out-table {output.table:q} > {log:q} 2>&1"


rule claims:
    """Judge the paper's claims on every network of the study."""
    input:
        dense=needs("claims", "dense"),
        imp=needs("claims", "imp"),
        perturbed=needs("claims", "perturbed"),
    output:
        table=report(
            "results/claims.csv", caption="../report/claims.rst", category="Claims"
        ),
    log:
        "logs/claims.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("claims"),
        code=code("claims"),
    shell:
        "python -m earlyphase claims --spec {params.spec:q} --code {params.code:q} "
        "--dense {input.dense:q} --imp {input.imp:q} --perturbed {input.perturbed:q} --out {output.table:q} > {log:q} 2>&1"
