# What the rules of all stages inherit. Their command hands a job its spec, code and files on standard input, a line
# each, because an argument of a command has a limit. An edit of this command redoes everything for everybody.
#
# Priorities follow the paper: Figure 1 first, and so the dense networks and their rounds; a chain of rounds is serial,
# too. Whatever is drawn is drawn as soon as its tables are there. What depends on pretraining waits with it.
rule job:
    log:
        "logs/{rule}.log",
    conda:
        "../envs/earlyphase.yaml"
    params:
        files=files,
        means="",
    shell:
        "python -m earlyphase job {params.means} "
        "<<< {params.spec:q}$'\\n'{params.code:q}$'\\n'{params.files:q} > {log:q} 2>&1"


# What the rules of stages that compute with a network inherit.
use rule job as training with:
    log:
        "logs/{rule}.log",
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=megabytes,
        runtime=minutes,
    params:
        means=means,
