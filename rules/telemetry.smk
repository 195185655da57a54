rule telemetry:
    """Replay a dense run and write down how its weights, gradients and accuracy change."""
    input:
        data="results/data/{dataset}.safetensors",
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
    output:
        state="results/telemetry/{dataset}/{model}/seed{seed}/{task}/state.csv",
        traces="results/telemetry/{dataset}/{model}/seed{seed}/{task}/traces.csv",
        evaluations="results/telemetry/{dataset}/{model}/seed{seed}/{task}/evaluations.csv",
        run="results/telemetry/{dataset}/{model}/seed{seed}/{task}/run.json",
    log:
        "logs/telemetry/{dataset}/{model}/seed{seed}/{task}.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("telemetry"),
    params:
        spec=spec("telemetry"),
        code=code("telemetry"),
        resume=resume_file,
        execution=execution,
    message:
        "Telemetry of {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase telemetry --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--trajectory {input.trajectory:q} --resume {params.resume:q} {params.execution} "
        "--out-state {output.state:q} --out-traces {output.traces:q} "
        "--out-evaluations {output.evaluations:q} --out-run {output.run:q} > {log:q} 2>&1"


rule curvature:
    """Find the Hessian's top subspace after k iterations, and what lies in it."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        initial="results/dense/{dataset}/{model}/seed{seed}/{task}/it0.safetensors",
    output:
        eigenpairs="results/curvature/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        row="results/curvature/{dataset}/{model}/seed{seed}/{task}/it{k}.csv",
    log:
        "logs/curvature/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("curvature"),
    params:
        spec=spec("curvature"),
        code=code("curvature"),
        resume=resume_file,
        execution=execution,
    message:
        "Curvature of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase curvature --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--state {input.state:q} --initial {input.initial:q} --resume {params.resume:q} {params.execution} "
        "--out-eigenpairs {output.eigenpairs:q} --out-row {output.row:q} > {log:q} 2>&1"


rule fisher:
    """Estimate the trace of the Fisher information after k iterations, and of the empirical one."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
    output:
        row="results/fisher/{dataset}/{model}/seed{seed}/{task}/it{k}.csv",
    log:
        "logs/fisher/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("fisher"),
    params:
        spec=spec("fisher"),
        code=code("fisher"),
        resume=resume_file,
        execution=execution,
    message:
        "Fisher information of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase fisher --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--state {input.state:q} --resume {params.resume:q} {params.execution} "
        "--out-row {output.row:q} > {log:q} 2>&1"


rule pairs:
    """Compare the subspaces, and the signs of weights, of a dense run between all pairs of times."""
    input:
        eigenpairs=needs("pairs", "eigenpairs"),
        states=needs("pairs", "states"),
    output:
        table="results/curvature/{dataset}/{model}/seed{seed}/{task}/pairs.csv",
    log:
        "logs/curvature/{dataset}/{model}/seed{seed}/{task}/pairs.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        spec=spec("pairs"),
        code=code("pairs"),
    message:
        "Subspaces of {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase pairs --spec {params.spec:q} --code {params.code:q} "
        "--eigenpairs {input.eigenpairs:q} --states {input.states:q} --out {output.table:q} > {log:q} 2>&1"
