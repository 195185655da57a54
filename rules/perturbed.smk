rule perturb:
    """Perturb the ticket of a round at iteration k and train it once."""
    input:
        data="results/data/{dataset}.safetensors",
        rewind="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        initial="results/dense/{dataset}/{model}/seed{seed}/{task}/it0.safetensors",
        final=needs("perturb", "final"),
        mask="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/mask.safetensors",
    output:
        metrics="results/perturbed/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}.csv",
        run="results/perturbed/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}.json",
    log:
        "logs/perturbed/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("perturb"),
    params:
        spec=spec("perturb"),
        code=code("perturb"),
        resume=resume_file,
        execution=execution,
    message:
        "{wildcards.perturbation}: round {wildcards.round} of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase perturb --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--rewind {input.rewind:q} --initial {input.initial:q} --final {input.final:q} --mask {input.mask:q} "
        "--resume {params.resume:q} {params.execution} "
        "--out-metrics {output.metrics:q} --out-run {output.run:q} > {log:q} 2>&1"
