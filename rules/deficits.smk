rule deficit:
    """Train the dense network with a deficit in the iterations first to end - 1."""
    input:
        data="results/data/{dataset}.safetensors",
    output:
        metrics="results/deficits/{dataset}/{model}/seed{seed}/{task}/{regime}/{deficit}-{first}-{end}/it{stop}/metrics.csv",
        run="results/deficits/{dataset}/{model}/seed{seed}/{task}/{regime}/{deficit}-{first}-{end}/it{stop}/run.json",
    log:
        "logs/deficits/{dataset}/{model}/seed{seed}/{task}/{regime}/{deficit}-{first}-{end}/it{stop}.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("deficit"),
    params:
        spec=spec("deficit"),
        code=code("deficit"),
        resume=resume_file,
        execution=execution,
    message:
        "{wildcards.deficit} in iterations {wildcards.first} to {wildcards.end}, {wildcards.regime}: {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase deficit --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--resume {params.resume:q} {params.execution} "
        "--out-metrics {output.metrics:q} --out-run {output.run:q} > {log:q} 2>&1"
