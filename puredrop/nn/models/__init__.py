"""Small models, each in the plain, Monte-Carlo, variational and concrete form by an argument."""

from .convolutional import LeNet, ResNet
from .dense import MLP
from .recurrent import LSTMLanguageModel
from .transformers import BERT, GPT

__all__ = ["BERT", "GPT", "MLP", "LSTMLanguageModel", "LeNet", "ResNet"]
