"""Written by tools/stubs.py."""

from fallline.arrays.optimizer import Optimizer as Optimizer

from fallline.arrays.optimizer import Named
Adadelta: type[Named]
Adagrad: type[Named]
Adam: type[Named]
AdamW: type[Named]
AMSGrad: type[Named]
Adamax: type[Named]
AdamP: type[Named]
AdEMAMix: type[Named]
SGD: type[Named]
LAMB: type[Named]
LARS: type[Named]
Lion: type[Named]
Momentum: type[Named]
NAdam: type[Named]
Nesterov: type[Named]
Prodigy: type[Named]
RAdam: type[Named]
RMSprop: type[Named]

__all__: list[str]
