"""What a number of a claim may be."""

from typing import Annotated

Share = Annotated[float, {"minimum": 0, "maximum": 1}]  # of weights, of training, of a gradient
Points = Annotated[float, {"minimum": 0}]  # percentage points of accuracy
