rule pretrain:
    """Train the dense network on another task first."""
    input:
        data="results/data/{dataset}.safetensors",
    output:
        state="results/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.safetensors",
        metrics="results/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.csv",
        run="results/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.json",
    log:
        "logs/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.log",
    priority: 1  # a chain is serial: what leads on goes before perturbed tickets
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("pretrain"),
    params:
        spec=spec("pretrain"),
        code=code("pretrain"),
        resume=resume_file,
        execution=execution,
    message:
        "Pretrain {wildcards.model} on {wildcards.dataset}: {wildcards.pretraining} for {wildcards.iterations} iterations, seed {wildcards.seed}"
    shell:
        "python -m earlyphase pretrain --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--resume {params.resume:q} {params.execution} "
        "--out-state {output.state:q} --out-metrics {output.metrics:q} --out-run {output.run:q} "
        "> {log:q} 2>&1"


rule pretrain_ticket:
    """Train the ticket of a round, pruned and perturbed already, on another task first."""
    input:
        data="results/data/{dataset}.safetensors",
        rewind="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        initial="results/dense/{dataset}/{model}/seed{seed}/{task}/it0.safetensors",
        final=needs("pretrain_ticket", "final"),
        mask="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/mask.safetensors",
    output:
        state="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/state.safetensors",
        mask="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/mask.safetensors",
        metrics="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/pretraining.csv",
        run="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/pretraining.json",
    log:
        "logs/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/pretraining.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("pretrain_ticket"),
    params:
        spec=spec("pretrain_ticket"),
        code=code("pretrain_ticket"),
        resume=resume_file,
        execution=execution,
    message:
        "Pretrain {wildcards.perturbation}, round {wildcards.round} of {wildcards.model} on {wildcards.dataset}: {wildcards.pretraining} for {wildcards.iterations} iterations, k = {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase pretrain_ticket --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--rewind {input.rewind:q} --initial {input.initial:q} --final {input.final:q} --mask {input.mask:q} "
        "--resume {params.resume:q} {params.execution} "
        "--out-state {output.state:q} --out-mask {output.mask:q} "
        "--out-metrics {output.metrics:q} --out-run {output.run:q} > {log:q} 2>&1"


rule train_ticket:
    """Train a pretrained ticket on the task of its run."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/state.safetensors",
        mask="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/mask.safetensors",
    output:
        metrics="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/metrics.csv",
        run="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/run.json",
    log:
        "logs/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/metrics.log",
    conda:
        "../envs/earlyphase.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes("train_ticket"),
    params:
        spec=spec("train_ticket"),
        code=code("train_ticket"),
        resume=resume_file,
        execution=execution,
    message:
        "{wildcards.perturbation} after {wildcards.pretraining}, {wildcards.iterations} iterations: round {wildcards.round} of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
    shell:
        "python -m earlyphase train_ticket --spec {params.spec:q} --code {params.code:q} --data {input.data:q} "
        "--state {input.state:q} --mask {input.mask:q} --resume {params.resume:q} {params.execution} "
        "--out-metrics {output.metrics:q} --out-run {output.run:q} > {log:q} 2>&1"
