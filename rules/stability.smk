rule stability:
    """Train a second copy from iteration k under other noise of SGD; measure the line between the two.

    Round 0 is the dense network, any other the ticket of that round.
    """
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        first=needs("stability", "first"),
        mask=needs("stability", "mask"),
        trajectory=needs("stability", "trajectory"),
    output:
        pair="results/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/pair.csv",
        line="results/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/line.csv",
        run="results/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/run.json",
    log:
        "logs/stability/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}.log",
    wildcard_constraints:
        round=r"\d+",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("stability"),
    params:
        spec=spec("stability"),
        code=code("stability"),
        mask=lambda wildcards, input: f"--mask {input.mask}" if input.mask else "",
        trajectory=lambda wildcards, input: (
            f"--trajectory {input.trajectory}" if input.trajectory else ""
        ),
        resume=resume_file,
        execution=execution,
    message:
        "Second copy of {wildcards.model} on {wildcards.dataset}, round {wildcards.round}, from k = {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase stability --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--state {input.state:q} --first {input.first:q} {params.mask} {params.trajectory} "
        "--resume {params.resume:q} {params.execution} "
        "--out-pair {output.pair:q} --out-line {output.line:q} --out-run {output.run:q} > {log:q} 2>&1"
