rule dense:
    """Train the dense network once, keeping its state at every k of the study."""
    input:
        data="results/data/{dataset}.safetensors",
        start=needs("dense", "start"),
    output:
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
        metrics="results/dense/{dataset}/{model}/seed{seed}/{task}/metrics.csv",
        run="results/dense/{dataset}/{model}/seed{seed}/{task}/run.json",
    log:
        "logs/dense/{dataset}/{model}/seed{seed}/{task}.log",
    priority: 1  # a chain is serial: what leads on goes before perturbed tickets
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("dense"),
    params:
        spec=spec("dense"),
        code=code("dense"),
        keep=kept_iterations,
        start=lambda wildcards, input: f"--start {input.start}" if input.start else "",
        resume=resume_file,
        execution=execution,
    message:
        "Train {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase dense --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "{params.start} --keep {params.keep} --resume {params.resume:q} {params.execution} "
        "--out-trajectory {output.trajectory:q} --out-metrics {output.metrics:q} --out-run {output.run:q} "
        "> {log:q} 2>&1"


rule checkpoint:
    """Take the state at iteration k out of the dense run."""
    input:
        data="results/data/{dataset}.safetensors",
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
    output:
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
    log:
        "logs/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("checkpoint"),
    params:
        spec=spec("checkpoint"),
        code=code("checkpoint"),
        resume=resume_file,
        execution=execution,
    message:
        "State of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase checkpoint --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--trajectory {input.trajectory:q} --resume {params.resume:q} {params.execution} "
        "--out {output.state:q} > {log:q} 2>&1"
