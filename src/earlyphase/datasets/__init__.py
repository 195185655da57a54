"""Named data sets as arrays that training reads.

A new data set is one registered function from keyword arguments to a `DataSet`, in a module of this folder or
of one's own. A library is imported by the function that needs it: a data set that does not use torchvision
does not wait for it.
"""

from earlyphase.datasets.data_set import DataSet
from earlyphase.datasets.downloads import cifar10, cifar100, fashion_mnist
from earlyphase.datasets.embedded import digits, photo_digits
from earlyphase.datasets.image_files import imagefolder
from earlyphase.datasets.synthetic import synthetic
from earlyphase.registry import dataset

__all__ = [
    "DataSet",
    "cifar10",
    "cifar100",
    "dataset",
    "digits",
    "fashion_mnist",
    "imagefolder",
    "photo_digits",
    "synthetic",
]
