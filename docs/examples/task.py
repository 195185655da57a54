from dataclasses import replace
from typing import Annotated

from earlyphase import InvalidInput, Task, task


@task
def coarse(task: Task, seed: int, *, groups: Annotated[int, {"minimum": 2}]) -> Task:
    """Tell apart only what a class's number leaves when it is divided by `groups`: 2, even and odd."""
    if groups > task.classes:
        raise InvalidInput(f"coarse: groups is {groups}, more than the {task.classes} classes there are")
    train, test = (replace(images, labels=images.labels % groups) for images in (task.train, task.test))
    return replace(task, train=train, test=test, classes=groups)
