rule imp_round:
    """Prune the network of the round before, rewind what is left to iteration k, train it."""
    input:
        data="results/data/{dataset}.safetensors",
        rewind="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        weights=needs("imp_round", "weights"),
        mask=needs("imp_round", "mask"),
    output:
        mask="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/mask.safetensors",
        weights="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/weights.safetensors",
        metrics="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/metrics.csv",
        run="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/run.json",
    log:
        "logs/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}.log",
    priority: 1  # a chain is serial: what leads on goes before perturbed tickets
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("imp_round"),
    params:
        spec=spec("imp_round"),
        code=code("imp_round"),
        mask=lambda wildcards, input: f"--mask {input.mask}" if input.mask else "",
        resume=resume_file,
        execution=execution,
    message:
        "Round {wildcards.round} of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase imp_round --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--rewind {input.rewind:q} --weights {input.weights:q} {params.mask} "
        "--resume {params.resume:q} {params.execution} "
        "--out-mask {output.mask:q} --out-weights {output.weights:q} "
        "--out-metrics {output.metrics:q} --out-run {output.run:q} > {log:q} 2>&1"
